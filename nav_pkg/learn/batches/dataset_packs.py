"""The packs of all runs that a training reads: made ahead of it, verified, removed (`dataset.py pack`)."""

from __future__ import annotations

import time
from collections import Counter
from typing import List, Tuple

from nav_pkg import nets
from nav_pkg.config import paths
from nav_pkg.core import DataError
from nav_pkg.data import format as fmt
from nav_pkg.data.packs import pack
from nav_pkg.data.progress import Bar
from nav_pkg.data.reader import Dataset, Run


class DatasetPacks:
    """The packs of a dataset's images at a network's input size.

    Args:
        dataset: the dataset.
        network: name of the network.
        recovery: whether the recovery cameras of the training runs are packed as well.

    Raises:
        DataError: the dataset has no runs, or no recovery cameras.
    """

    def __init__(self, dataset: Dataset, network: str, recovery: bool = False):
        self.size = nets.spec(nets.canonical(network)).input_size
        self.runs = _packed_runs(dataset)
        self.cameras = _cameras(dataset, self.runs, recovery)
        self.unit = f"images of {self.size[0]}x{self.size[1]}"
        self.frames = sum(len(run) for _, some in self.cameras for run in some)

    def make(self) -> str:
        """Make the packs that are missing; say how many images that were, and how fast."""
        start = time.monotonic()
        packed: Counter = Counter()

        class Counting(Bar):
            """A progress bar that also counts for the summary."""

            def add(self, count: int) -> None:
                packed[self.unit] += count
                super().add(count)

        packs = [
            item
            for camera, some in self.cameras
            for item in pack.open_packs(some, self.size, bar=Counting, camera=camera)
        ]
        seconds = time.monotonic() - start
        total = sum({item.path: item.images.nbytes for item in packs}.values())
        count = packed["images packed"]
        speed = f"{count} were packed in {seconds:.1f} s, {count / seconds:.0f} images/s" if count else ""
        return (
            f"{len(self.runs)} runs, {self.frames} {self.unit}, {total / 1e6:,.1f} MB in "
            f"{paths.cache_dir()}: {speed or 'all are there'}"
        )

    def verify(self) -> Tuple[List[str], str]:
        """Compare all images and packs.

        Returns:
            The problems, one line each, and a summary.
        """
        start = time.monotonic()
        problems = [
            line
            for camera, some in self.cameras
            for line in pack.verify_packs(some, self.size, camera=camera)
        ]
        return problems, (
            f"{len(self.runs)} runs, {self.frames} {self.unit} compared in "
            f"{time.monotonic() - start:.1f} s, {len(problems)} problems"
        )

    def remove(self) -> str:
        """Remove the packs; say how many there were, and their size."""
        removed = [pack.remove_packs(some, self.size, camera=camera) for camera, some in self.cameras]
        count, size_bytes = (sum(numbers) for numbers in zip(*removed))
        return f"{count} packs of {self.unit} removed, {size_bytes / 1e6:,.1f} MB"


def _cameras(dataset: Dataset, runs: List[Run], recovery: bool) -> List[Tuple[str, List[Run]]]:
    """The cameras to pack (the front camera is ""), each with its runs."""
    groups: List[Tuple[str, List[Run]]] = [("", runs)]
    if not recovery:
        return groups
    learned = dataset.split("train") if dataset.has_splits else runs
    for camera in fmt.SIDE_CAMERAS:
        some = [run for run in learned if camera in run.side_cameras]
        if some:
            groups.append((camera, some))
    if len(groups) == 1:
        raise DataError(f"{dataset.path}: no training run has recovery cameras; leave --recovery_cameras out")
    return groups


def _packed_runs(dataset: Dataset) -> List[Run]:
    """The runs that training reads: those of all parts, or all runs of a dataset without parts."""
    if not dataset.has_splits:
        return dataset.require_runs()
    return [run for runs in dataset.splits().values() for run in runs]
