"""Smaller datasets out of a dataset: nested, split as it is, made of links, and each whole or not there.

The training runs stand in an order that a seed fixes; every subset takes frames from its front. So a
smaller subset's frames are all in a larger one. Runs for validation and test are the dataset's own.
"""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Sequence

from nav_pkg.core import UsageError
from nav_pkg.data import format as fmt
from nav_pkg.data.info import order_key
from nav_pkg.data.links import LinkedDataset, Taken
from nav_pkg.data.reader import Dataset

SIZES = (100_000, 50_000, 20_000, 10_000, 5_000, 1_000, 500)
"""Frames to train on of the subsets that are made when nobody says."""

NEAR = 10
"""Whole runs are taken when their frames differ from what was asked for by at most a tenth of it."""


def subset_name(name: str, frames: int) -> str:
    """The name of a subset: `esatv3_10K`, `esatv3_2500`."""
    return f"{name}_{frames // 1000}K" if frames % 1000 == 0 else f"{name}_{frames}"


def choose(lengths: Sequence[int], frames: int) -> list[int]:
    """How many frames to take of each run.

    Whole runs where possible: as many as come nearest to what is asked for, when that is near
    enough. Else all whole runs that fit, and the first frames of the next. More frames asked for
    never give less of any run, so subsets are nested.

    Args:
        lengths: frames of each run, in order.
        frames: asked for, at least 1 and at most the sum.

    Returns:
        Frames from the front of each run; runs of which nothing is taken are left out at the end.
    """
    sums = list(accumulate(lengths))
    nearest = min(range(len(sums)), key=lambda i: (abs(sums[i] - frames), i))
    if abs(sums[nearest] - frames) * NEAR <= frames:
        return list(lengths[: nearest + 1])
    taken = []
    for length in lengths:
        taken.append(min(length, frames))
        frames -= taken[-1]
        if not frames:
            break
    return taken


class Subset(LinkedDataset):
    """A subset to make.

    Args:
        dataset: a dataset with splits.
        frames: asked for, to train on.
        destination: the subset's folder.
        seed: of the order of the training runs.

    Attributes:
        taken: what it holds, in the order of its lists.

    Raises:
        UsageError: the training set has fewer frames.
        DataError: the dataset's lists or runs are damaged.
    """

    def __init__(self, dataset: Dataset, frames: int, destination: Path, seed: int = 123):
        self.dataset, self.frames = dataset, frames
        parts = dataset.splits()
        runs = sorted(parts["train"], key=lambda run: (order_key(seed, run.name), run.name))
        lengths = [len(run) for run in runs]
        if frames < 1:
            raise UsageError(f"--frames {frames}: a subset has at least 1 frame to train on")
        if frames > sum(lengths):
            raise UsageError(
                f"--frames {frames}: the training set of {dataset.path} has only {sum(lengths)} frames; "
                "ask for fewer"
            )
        taken = [Taken("train", run, n) for run, n in zip(runs, choose(lengths, frames))]
        for part in ("val", "test"):
            taken += [Taken(part, run, len(run)) for run in parts[part]]
        origin = {"dataset": dataset.name, "frames": frames, "random_seed": seed}
        super().__init__(
            destination,
            taken,
            [dataset],
            {**dataset.description, fmt.SUBSET_OF: origin},
            {**origin, "dataset": str(dataset.path.resolve())},
        )
