"""Load the samples of a dataset on disk: splits, packs, labels and warnings about them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, Sequence

import numpy as np

from nav_pkg.config import paths
from nav_pkg.core import DataError
from nav_pkg.data import format as fmt
from nav_pkg.data import overlap
from nav_pkg.data.info import channel_statistics
from nav_pkg.data.packs.pack import Pack, open_packs
from nav_pkg.data.reader import Dataset, Run
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.batches.recovery import Recovery, recovery_samples
from nav_pkg.learn.batches.samples import Samples

TOLERANCE = 0.05
"""Difference between a dataset's own channel statistics and those of the flags that causes a warning."""

_STATISTICS_IMAGES = 1000


class Splits:
    """The runs of a dataset for training, validation and test.

    Args:
        dataset: the dataset.

    Attributes:
        runs: the runs by split: `train`, `val`, `test`.
        facts: name, hash of the content, and camera, for checkpoints and configurations.
        warnings: problems of the splits, one line each.

    Raises:
        DataError: the validation set is empty, or the cameras of the runs differ.
    """

    def __init__(self, dataset: Dataset):
        self.runs = dataset.splits()
        if not self.runs["val"]:
            raise DataError(
                f"{dataset.path}/val_set.txt: no runs to validate on: clean_dataset.py --val_len 1, "
                "with at least two runs"
            )
        self.facts: dict[str, Any] = {
            "name": dataset.name,
            "hash": _content_hash(self.runs),
            "camera": camera_of([run for part in self.runs.values() for run in part]),
        }
        self.warnings = overlap.split_warnings(self.runs)


def _content_hash(runs: Mapping[str, list[Run]]) -> str:
    """SHA-256 of the dataset: the runs of each split, in order, with their content."""
    for run in {run.path: run for part in runs.values() for run in part}.values():
        run.check_sum(fmt.FRAMES_FILE)  # images are checked when they are packed
    text = "".join(f"{part} {run.name} {run.content_hash()}\n" for part in runs for run in runs[part])
    return hashlib.sha256(text.encode()).hexdigest()


def camera_of(runs: Sequence[Run]) -> list[int]:
    """Width and height of the colour images, pixels; all runs must have the same."""
    size: Optional[list[int]] = None
    for run in runs:
        shape = (run.facts.get("sensors") or {}).get("rgb")
        if not shape:
            raise DataError(f"{run.path}: has no colour images: leave the run out of the splits")
        camera = [int(shape[1]), int(shape[0])]
        if size is not None and camera != size:
            raise DataError(
                f"{run.path}: its camera gives {camera[0]}x{camera[1]}, that of {runs[0].name} "
                f"{size[0]}x{size[1]}: a dataset to learn from has one camera; split it"
            )
        size = camera
    return size or []


def load_samples(
    runs: Sequence[Run],
    preprocessing: Preprocessing,
    source: str = "expert",
    subsample: int = 1,
    copy: bool = False,
    in_memory: bool = False,
    workers: int = 0,
    tick: Callable[[int], None] = lambda frames: None,
    recovery: Optional[Recovery] = None,
) -> Samples:
    """Load the frames of runs; create packs that are missing.

    Args:
        runs: the runs of a split.
        preprocessing: resizes each image to the network's input size.
        source: whose command is the label: `expert` or `applied`.
        subsample: learn from every n-th frame of each run.
        copy: use packs on this node's own disk; packs that exist elsewhere are copied there.
        in_memory: copy all images into memory.
        workers: cores used to create packs; 0 for all.
        tick: called with the number of frames just read; may raise to stop.
        recovery: also load the images of side cameras; None: only those of the first camera.

    Raises:
        DataError: an image is damaged, a label is not finite, no run has the requested side cameras, or
            disk or memory is not sufficient.
    """
    yaw = _labels(runs, source)
    cache: Path = paths.node_dir() if copy else paths.cache_dir()

    def packs(of: Sequence[Run], camera: str = "") -> list[Pack]:
        return open_packs(
            of,
            preprocessing.size,
            cache=cache,
            source=paths.cache_dir() if copy else None,
            workers=workers,
            tick=tick,
            camera=camera,
        )

    images = [pack.images for pack in packs(runs)]
    names = [run.name for run in runs]
    if recovery is not None:
        more = recovery_samples(runs, yaw, recovery, packs)
        images, yaw, names = (own + others for own, others in zip((images, yaw, names), more))
    samples = Samples(images, yaw, names, subsample)
    return samples.in_memory(tick) if in_memory else samples


def _labels(runs: Sequence[Run], source: str) -> list[np.ndarray]:
    """The labels of each run: float64 (frames,), rad/s, all finite."""
    yaw = [run.frames[f"{source}_yaw"] for run in runs]
    for run, labels in zip(runs, yaw):
        bad = np.flatnonzero(~np.isfinite(labels))
        if len(bad):
            raise DataError(
                f"{run.path}/frames.csv: frame {bad[0]}: {source}_yaw is {labels[bad[0]]}: leave the run out"
            )
    return yaw


def only_labels(runs: Sequence[Run], preprocessing: Preprocessing, source: str = "expert") -> Samples:
    """The frames of runs with black images that take no memory, for uses that need the labels only."""
    black = [np.broadcast_to(np.uint8(0), (len(run), *preprocessing.size, 3)) for run in runs]
    return Samples(black, _labels(runs, source), [run.name for run in runs])


def warnings(samples: Samples, action_space: ActionSpace, preprocessing: Preprocessing) -> list[str]:
    """Warnings about a training set for the user, one line each.

    Args:
        samples: the training set.
        action_space: checked for classes without frames.
        preprocessing: its means and deviations are compared with those of the images.
    """
    lines = []
    if action_space.discrete:
        counts = np.bincount(
            action_space.classes(samples.yaw[samples.frames]), minlength=action_space.quantity
        )
        for name, count in zip(action_space.class_names(), counts):
            if not count:
                lines.append(f"the training set has no frame of class {name!r}, which will never be learned")
    if preprocessing.mode == "scaled":
        chosen = np.linspace(0, len(samples.yaw) - 1, min(_STATISTICS_IMAGES, len(samples.yaw)))
        images = np.empty((len(chosen), *samples.images[0].shape[1:]), np.uint8)
        samples.gather(chosen.astype(np.int64), images)
        for flag, own, given in zip(
            ("--scale_means", "--scale_stds"),
            channel_statistics(images),
            (preprocessing.means, preprocessing.stds),
        ):
            if max(abs(a - b) for a, b in zip(own, given)) > TOLERANCE:
                lines.append(
                    f"{flag} {_text(given)}: the training set's own are {_text(own)} (red green blue, "
                    "see dataset.py stats)"
                )
    return lines


def _text(values: Sequence[float]) -> str:
    return " ".join(f"{value:.3g}" for value in values)
