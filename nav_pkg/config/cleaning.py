"""The settings of clean_dataset.py: which runs are taken, how they are split."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Optional, Sequence

from nav_pkg.config import paths, types
from nav_pkg.config.parser import Parser
from nav_pkg.core import Outcome, UsageError

ABOUT = """Make a training dataset from recordings: select good runs, cut them, and split them by run.

Example:
    clean_dataset.py --sources collect/mine --destination mine --val_len 1 --test_len 1
"""


def make_parser() -> Parser:
    """The parser of clean_dataset.py."""
    parser = Parser(prog="clean_dataset.py", description=ABOUT)
    add = parser.add_argument
    add("--data_root", type=Path, default=paths.data_root(), help="folder of all datasets")
    add("--startswith", default="", help="clean the datasets whose names begin with this text")
    add("--endswith", default="", help="clean the datasets whose names end with this text")
    add(
        "--sources",
        nargs="+",
        type=types.name,
        default=None,
        help="clean the datasets of these names, if --startswith and --endswith also match (default: all)",
    )
    add("--destination", type=types.name, default="new_dataset", help="name of the new dataset")
    add(
        "--outcomes",
        nargs="+",
        choices=[item.value for item in Outcome],
        default=["success"],
        help="keep runs with these outcomes",
    )
    table = "-1: the world's limit (docs/dataset.md)"
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
    add("--allow_gaps", action="store_true", help="keep runs made from a bag in which frames were missing")
    add("--minimum_number_of_success", type=int, default=1, help="make no dataset if fewer runs are kept")
    add("--val_len", type=int, default=10, help="number of runs for validation")
    add("--test_len", type=int, default=10, help="number of runs for test")
    add("--random_seed", type=int, default=123, help="seed of the split")
    group = parser.add_mutually_exclusive_group()
    for how, text in (
        ("link", "hard-link the images: needs no space, and the sources stay (the default)"),
        ("copy", "copy the images"),
        ("move", "move the images: remove the kept runs from their sources at the very end"),
    ):
        group.add_argument(f"--{how}", dest="how", action="store_const", const=how, default="link", help=text)
    add("--owr", action="store_true", help="replace the destination if it exists")
    add("--again", action="store_true", help="replace the destination if it was made from the same datasets")
    add("--dry_run", action="store_true", help="show the selected runs and make no dataset")
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
