"""Decode a dataset's images at a network's input size before training."""

from __future__ import annotations

import argparse
import time
from collections import Counter

from nav_pkg.config import paths
from nav_pkg.config.parser import Parser
from nav_pkg.config.types import network
from nav_pkg.core import DataError
from nav_pkg.data import format as fmt
from nav_pkg.data.packs import pack
from nav_pkg.data.progress import Bar
from nav_pkg.data.reader import Dataset, Run, load_dataset
from nav_pkg.learn import prechecks


def add_flags(parser: Parser) -> None:
    """Add all flags except the dataset and --data_root."""
    parser.add_argument(
        "--network", default="tiny_net", type=network, help="network whose input size is used"
    )
    parser.add_argument(
        "--recovery_cameras",
        action="store_true",
        help="also pack images of the training runs' recovery cameras, for main.py --recovery_compensation",
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--verify", action="store_true", help="compare existing packs with all images; exit code 3 on damage"
    )
    group.add_argument("--remove", action="store_true", help="remove the packs")


def run(args: argparse.Namespace) -> int:
    """Make, verify or remove the packs of a dataset's runs."""
    dataset = load_dataset(args.dataset, args.data_root)
    runs = _packed_runs(dataset)
    prechecks.network(args.network)
    from nav_pkg import nets  # torch takes seconds

    size = nets.spec(nets.canonical(args.network)).input_size
    what = f"images of {size[0]}x{size[1]}"
    groups = _cameras(dataset, runs, args.recovery_cameras)
    if args.remove:
        removed = [pack.remove_packs(some, size, camera=camera) for camera, some in groups]
        count, size_bytes = (sum(numbers) for numbers in zip(*removed))
        print(f"{count} packs of {what} removed, {size_bytes / 1e6:,.1f} MB")
        return 0
    frames = sum(len(run) for _, some in groups for run in some)
    start = time.monotonic()
    if args.verify:
        problems = [line for camera, some in groups for line in pack.verify_packs(some, size, camera=camera)]
        for line in problems:
            print(f"problem: {line}")
        taken = time.monotonic() - start
        print(f"{len(runs)} runs, {frames} {what} compared in {taken:.1f} s, {len(problems)} problems")
        return DataError.code if problems else 0
    done: Counter = Counter()

    class Counting(Bar):
        """A progress bar that also counts for the summary."""

        def add(self, count: int) -> None:
            done[self.unit] += count
            super().add(count)

    packs = [
        item for camera, some in groups for item in pack.open_packs(some, size, bar=Counting, camera=camera)
    ]
    taken = time.monotonic() - start
    total = sum({item.path: item.images.nbytes for item in packs}.values())
    made = done["images packed"]
    speed = f"{made} were packed in {taken:.1f} s, {made / taken:.0f} images/s" if made else "all are there"
    print(f"{len(runs)} runs, {frames} {what}, {total / 1e6:,.1f} MB in {paths.cache_dir()}: {speed}")
    return 0


def _cameras(dataset: Dataset, runs: list[Run], recovery: bool) -> list[tuple[str, list[Run]]]:
    """The cameras to pack (the front camera is ""), each with its runs."""
    groups: list[tuple[str, list[Run]]] = [("", runs)]
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


def _packed_runs(dataset: Dataset) -> list[Run]:
    """The runs that training reads: those of all parts, or all runs of a dataset without parts."""
    if not dataset.has_splits:
        return dataset.require_runs()
    return [run for runs in dataset.splits().values() for run in runs]
