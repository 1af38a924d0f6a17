"""Make smaller datasets from a dataset's training frames, with hard links."""

from __future__ import annotations

import argparse
from collections import Counter

from nav_pkg.config import types
from nav_pkg.config.parser import Parser
from nav_pkg.core import UsageError
from nav_pkg.data import subset
from nav_pkg.data.links import make_datasets
from nav_pkg.data.progress import progress, say
from nav_pkg.data.reader import Dataset, load_dataset


def add_flags(parser: Parser) -> None:
    """Add all flags except --data_root."""
    add = parser.add_argument
    add("dataset", nargs="+", help="names below --data_root, or paths that begin with /, . or ~")
    add(
        "--frames",
        type=int,
        nargs="+",
        default=None,
        help="training frames, one subset each; larger numbers are left out "
        f"(default: each of {', '.join(map(str, subset.SIZES))} below it)",
    )
    add(
        "--destination",
        type=types.name,
        default=None,
        help="name of a single subset below --data_root (default: NAME_10K, NAME_500, ...)",
    )
    add("--random_seed", type=int, default=123, help="seed of the order of the training runs")
    add("--owr", action="store_true", help="replace existing subsets")


def run(args: argparse.Namespace) -> int:
    """Make subsets."""
    if args.random_seed < 0:
        raise UsageError(f"dataset.py subset: --random_seed {args.random_seed} must not be negative")
    if args.destination and (len(args.dataset) > 1 or len(args.frames or ()) != 1):
        raise UsageError(
            f"dataset.py subset: --destination {args.destination} names one subset: give one dataset and "
            "one number of --frames with it"
        )
    wanted = []
    impossible = []
    for name in args.dataset:
        dataset = load_dataset(name, args.data_root)
        sizes = args.frames or _usual(dataset)
        there = sum(len(run) for run in dataset.split("train"))
        too_many = [frames for frames in sizes if frames > there]
        if len(too_many) < len(sizes):  # otherwise the first one raises the error
            impossible += [(dataset, frames, there) for frames in too_many]
            sizes = [frames for frames in sizes if frames <= there]
        for frames in sizes:
            place = dataset.path.with_name(subset.subset_name(dataset.path.resolve().name, frames))
            if args.destination:
                place = args.data_root.expanduser() / args.destination
            wanted.append(subset.Subset(dataset, frames, place, args.random_seed))
    make_datasets(wanted, args.owr, lambda items: progress(items, "runs"))
    for made in wanted:
        runs = Counter(item.part for item in made.selected_runs)
        cut = "".join(
            f"; {item.run.name} is cut to its first {item.frames} of {len(item.run)} frames"
            for item in made.selected_runs
            if item.frames < len(item.run)
        )
        print(
            f"{made.destination}: train {runs['train']} runs, {made.training_frames} frames; "
            f"val {runs['val']}, test {runs['test']} runs{cut}"
        )
        for line in made.warnings():
            print(f"warning: {made.destination}: {line}")
    for dataset, frames, there in impossible:
        say(f"not made: --frames {frames}: the training set of {dataset.path} has only {there} frames")
    return 0


def _usual(dataset: Dataset) -> list[int]:
    there = sum(len(run) for run in dataset.split("train"))
    sizes = [size for size in subset.SIZES if size < there]
    if not sizes:
        raise UsageError(
            f"dataset.py subset: the training set of {dataset.path} has {there} frames, fewer than any usual "
            "subset: give --frames"
        )
    return sizes
