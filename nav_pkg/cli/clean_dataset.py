"""clean_dataset.py: make a training dataset out of recordings: good runs, cut, split by run."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Iterator, Optional, Sequence

from nav_pkg.config import paths, types
from nav_pkg.config.parser import Parser
from nav_pkg.core import DataError, Outcome, UsageError
from nav_pkg.data import clean
from nav_pkg.data.progress import progress
from nav_pkg.data.reader import Dataset, find_datasets


def make_parser() -> Parser:
    """The parser of clean_dataset.py."""
    parser = Parser(prog="clean_dataset.py", description=__doc__)
    add = parser.add_argument
    add("--data_root", type=Path, default=paths.data_root(), help="folder of all datasets")
    add("--startswith", default="", help="take the datasets whose names begin like this")
    add("--endswith", default="", help="and end like this")
    add("--sources", nargs="+", type=types.name, default=None, help="take the datasets of these names alone")
    add("--destination", type=types.name, default="new_dataset", help="name of the dataset to make")
    add(
        "--outcomes",
        nargs="+",
        choices=[item.value for item in Outcome],
        default=["success"],
        help="take runs that ended like this",
    )
    table = "-1: by world, as in the documentation"
    add("--min_distance", type=float, default=-1, help=f"drop runs that flew fewer metres; {table}")
    add("--min_rgb", type=int, default=-1, help=f"drop runs with fewer colour images; {table}")
    add("--max_rgb", type=int, default=-1, help=f"drop runs with more colour images; {table}")
    add("--min_depth", type=int, default=-1, help="drop runs with fewer depth images; -1: no limit")
    add(
        "--max_depth_rgb_difference",
        type=int,
        default=-1,
        help="drop runs whose numbers of depth and colour images differ more; -1: no limit",
    )
    add("--allow_gaps", action="store_true", help="take runs in which frames of their bag were missing")
    add("--minimum_number_of_success", type=int, default=1, help="with fewer runs than this, make nothing")
    add("--val_len", type=int, default=10, help="runs for validation")
    add("--test_len", type=int, default=10, help="runs for test")
    add("--random_seed", type=int, default=123, help="chooses these runs")
    group = parser.add_mutually_exclusive_group()
    for how, text in (
        ("link", "hard-link the images (no space, sources stay; the default)"),
        ("copy", "copy the images"),
        ("move", "remove the runs that were taken from their sources, at the very end"),
    ):
        group.add_argument(f"--{how}", dest="how", action="store_const", const=how, default="link", help=text)
    add("--owr", action="store_true", help="replace the destination if it exists")
    add("--again", action="store_true", help="replace the destination if it was made of the same datasets")
    add("--dry_run", action="store_true", help="only say what would be done")
    return parser


def _sources(args: argparse.Namespace, root: Path) -> dict[str, Dataset]:
    destination = root / args.destination
    names = {path.relative_to(root).as_posix(): path for path in find_datasets(root) if path != destination}
    chosen = {
        name: Dataset(path)
        for name, path in names.items()
        if name.startswith(args.startswith)
        and name.endswith(args.endswith)
        and (args.sources is None or name in args.sources)
    }
    missing = sorted({*(args.sources or ())} - {*chosen})
    if missing:
        raise DataError(f"{root / missing[0]}: no such dataset; see --sources")
    if not chosen:
        known = f"; there are: {', '.join(sorted(names))}" if names else ""
        pattern = f"{args.startswith}*{args.endswith}"
        raise DataError(f"{root}: no dataset is named {pattern!r}{known}; see --startswith, --endswith")
    if not any(dataset.runs for dataset in chosen.values()):
        raise DataError(f"{', '.join(str(d.path) for d in chosen.values())}: no runs; record some first")
    return chosen


def parse(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Parse the command line.

    Raises:
        UsageError: a flag is unknown, or its value can't be.
    """
    args = make_parser().parse_args(argv)
    for flag in ("val_len", "test_len", "minimum_number_of_success", "random_seed"):
        if getattr(args, flag) < 0:
            raise UsageError(
                f"clean_dataset.py: --{flag} {getattr(args, flag)} must not be negative: give 0 or more"
            )
    if math.isnan(args.min_distance):
        raise UsageError("clean_dataset.py: --min_distance nan is no distance: give metres, or -1")
    if 0 <= args.max_rgb < args.min_rgb:
        raise UsageError(f"clean_dataset.py: --min_rgb {args.min_rgb} exceeds --max_rgb {args.max_rgb}")
    return args


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The command."""
    args = parse(argv)
    root = args.data_root.expanduser()
    if not root.is_dir():
        raise DataError(f"{root}: no such data root; set --data_root or NAV_PKG_DATA")

    def bar(items: list) -> Iterator:
        return progress(items, "runs")

    destination = root / args.destination
    sources = _sources(args, root)
    if args.again and not args.owr:
        clean.refuse_others(destination, list(sources))
    overwrite = args.owr or args.again
    clean.check_destination(destination, overwrite)
    limits = clean.Limits(
        tuple(args.outcomes),
        args.min_distance,
        args.min_rgb,
        args.max_rgb,
        args.min_depth,
        args.max_depth_rgb_difference,
        args.allow_gaps,
    )
    plan = clean.make_plan(sources, limits, args.val_len, args.test_len, args.random_seed, bar)
    for path, why in plan.dropped:
        print(f"dropped {path}: {why}")
    for note in plan.notes:
        print(f"note: {note}")
    for line in plan.warnings:
        print(f"warning: {line}")
    if len(plan.kept) < max(1, args.minimum_number_of_success):
        raise DataError(
            f"{len(plan.kept)} runs pass, {max(1, args.minimum_number_of_success)} are asked for "
            f"(--minimum_number_of_success); {destination} was not made; record more or loosen the limits"
        )
    for item in plan.kept:
        print(f"{item.part:5} {item.name} = {item.run.path} frames {item.first} to {item.last - 1}")
    if args.dry_run:
        print(f"dry run: {destination} was not made")
        return 0
    clean.execute(plan, destination, args.random_seed, args.how, overwrite, bar)
    frames = sum(item.last - item.first for item in plan.kept)
    print(f"{destination}: {len(plan.kept)} runs, {frames} frames")
    return 0
