"""The settings of clean_dataset.py: which runs are taken, how they are split."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Optional, Sequence

from nav_pkg.config import paths, types
from nav_pkg.config.parser import Parser
from nav_pkg.core import Outcome, UsageError

ABOUT = "clean_dataset.py: make a training dataset out of recordings: good runs, cut, split by run."


def make_parser() -> Parser:
    """The parser of clean_dataset.py."""
    parser = Parser(prog="clean_dataset.py", description=ABOUT)
    add = parser.add_argument
    add("--data_root", type=Path, default=paths.data_root(), help="folder of all datasets")
    add("--startswith", default="", help="take the datasets whose names begin like this")
    add("--endswith", default="", help="and end like this")
    add(
        "--sources",
        nargs="+",
        type=types.name,
        default=None,
        help="clean only the datasets of these names (that --startswith and --endswith allow)",
    )
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
