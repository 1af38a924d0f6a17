"""Nested subsets of a dataset, made of links, with the dataset's split; each is made atomically.

A seed determines the order of the training runs. Every subset takes frames from the start of this order, so
a larger subset contains all frames of a smaller one. The validation and test runs are those of the dataset.
"""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Sequence

from nav_pkg.config.dataset import SUBSET_SIZES, SubsetConfig
from nav_pkg.core import UsageError
from nav_pkg.data import format as fmt
from nav_pkg.data.info import order_key
from nav_pkg.data.links import LinkedDataset, RunSelection
from nav_pkg.data.reader import Dataset, load_dataset

NEAR = 10
"""Only whole runs are taken if their frames differ from the requested number by at most 1/NEAR of it."""


def subset_name(name: str, frames: int) -> str:
    """The name of a subset: `esatv3_10K`, `esatv3_2500`."""
    return f"{name}_{frames // 1000}K" if frames % 1000 == 0 else f"{name}_{frames}"


def choose(lengths: Sequence[int], frames: int) -> list[int]:
    """Choose how many frames to take from each run.

    If possible, only whole runs are taken: the number of runs whose frames come nearest to the request, if
    it is near enough (see `NEAR`). Otherwise all whole runs that fit are taken, plus the first frames of the
    next run. A larger request never takes fewer frames of any run, so subsets are nested.

    Args:
        lengths: number of frames of each run, in order.
        frames: requested number of frames, at least 1 and at most the sum of `lengths`.

    Returns:
        Number of frames from the start of each run; runs at the end from which nothing is taken are omitted.
    """
    sums = list(accumulate(lengths))
    nearest = min(range(len(sums)), key=lambda i: (abs(sums[i] - frames), i))
    if abs(sums[nearest] - frames) * NEAR <= frames:
        return list(lengths[: nearest + 1])
    selected_runs = []
    for length in lengths:
        selected_runs.append(min(length, frames))
        frames -= selected_runs[-1]
        if not frames:
            break
    return selected_runs


class Subset(LinkedDataset):
    """A subset to be made from a dataset.

    Args:
        dataset: a dataset with splits.
        frames: requested number of training frames.
        destination: the subset's folder.
        seed: determines the order of the training runs.

    Attributes:
        selected_runs: its runs, in the order of its lists.

    Raises:
        UsageError: `frames` is below 1, or the training set has fewer frames.
        DataError: the dataset's lists or runs are damaged.
    """

    def __init__(self, dataset: Dataset, frames: int, destination: Path, seed: int = 123):
        self.dataset, self.frames = dataset, frames
        parts = dataset.splits()
        runs = sorted(parts["train"], key=lambda run: (order_key(seed, run.name), run.name))
        lengths = [len(run) for run in runs]
        if frames < 1:
            raise UsageError(f"--frames {frames}: a subset needs at least 1 training frame")
        if frames > sum(lengths):
            raise UsageError(
                f"--frames {frames}: the training set of {dataset.path} has only {sum(lengths)} frames; "
                "give fewer"
            )
        selected_runs = [RunSelection("train", run, n) for run, n in zip(runs, choose(lengths, frames))]
        for part in ("val", "test"):
            selected_runs += [RunSelection(part, run, len(run)) for run in parts[part]]
        origin = {"dataset": dataset.name, "frames": frames, "random_seed": seed}
        super().__init__(
            destination,
            selected_runs,
            [dataset],
            {**dataset.description, fmt.SUBSET_OF: origin},
            {**origin, "dataset": str(dataset.path.resolve())},
        )


def subsets_of(config: SubsetConfig) -> tuple[list[Subset], list[str]]:
    """The subsets that the flags of `dataset.py subset` ask for.

    Returns:
        The subsets, and a line for each that is larger than the training set and is left out.

    Raises:
        UsageError: all that are asked for are larger, or the training set is smaller than all usual sizes.
    """
    wanted, too_large = [], []
    for name in config.dataset:
        dataset = load_dataset(name, config.data_root)
        sizes = config.frames or _usual(dataset)
        count = sum(len(run) for run in dataset.split("train"))
        if any(frames <= count for frames in sizes):  # otherwise the first one raises the error
            too_large += [
                f"not made: --frames {frames}: the training set of {dataset.path} has only {count} frames"
                for frames in sizes
                if frames > count
            ]
            sizes = [frames for frames in sizes if frames <= count]
        for frames in sizes:
            place = dataset.path.with_name(subset_name(dataset.path.resolve().name, frames))
            if config.destination:
                place = config.data_root.expanduser() / config.destination
            wanted.append(Subset(dataset, frames, place, config.random_seed))
    return wanted, too_large


def _usual(dataset: Dataset) -> list[int]:
    count = sum(len(run) for run in dataset.split("train"))
    sizes = [size for size in SUBSET_SIZES if size < count]
    if not sizes:
        raise UsageError(
            f"dataset.py subset: the training set of {dataset.path} has {count} frames, fewer than any usual "
            "subset: give --frames"
        )
    return sizes
