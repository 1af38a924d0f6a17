"""combine_results.py: learning curves of several trainings in one figure, with its data and a table.

Example: combine_results.py --log_folders ref/1 shifted/1 --legend_names reference shifted
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Optional, Sequence

from nav_pkg.config.parser import Parser
from nav_pkg.config.paths import summary_dir
from nav_pkg.config.types import whole
from nav_pkg.core import UsageError


def make_parser() -> Parser:
    """The parser of combine_results.py."""
    p = Parser(prog="combine_results.py", description=__doc__, formatter_class=_Help)
    add = p.add_argument
    add(
        "--log_folders",
        nargs="+",
        required=True,
        metavar="FOLDER",
        help="log folders of trainings, or folders of several seeds (seed_N)",
    )
    add("--legend_names", nargs="+", metavar="NAME", help="a name for each; default: the folders")
    add("--mother_dir", type=Path, default=summary_dir(), help="folder that --log_folders lie in")
    add(
        "--tags",
        nargs="+",
        default=["Loss_val_accuracy"],
        metavar="TAG",
        help="scalars, one figure each, by TensorBoard's names",
    )
    add(
        "--subsample",
        type=whole(1, 10**9),
        default=1,
        help="draw every n-th point (the table takes all)",
    )
    add("--cutend", type=int, default=-1, help="gradient step at which curves end; -1: where they end")
    add(
        "--seeds",
        choices=("mean", "all"),
        default="mean",
        help="mean: mean and band of one standard deviation; all: a curve each",
    )
    add("--title", default="", help="of the figure; names its files, too")
    add(
        "--blog_destination", type=Path, help="folder that gets the files; default: combined/ in --mother_dir"
    )
    add(
        "--headless",
        action="store_true",
        help="taken for the published command lines: no window is opened anyway",
    )
    return p


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the line break before the example."""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    args = make_parser().parse_args(argv)
    names = args.legend_names or args.log_folders
    if len(names) != len(args.log_folders):
        raise UsageError(
            f"{len(names)} --legend_names for {len(args.log_folders)} --log_folders: give one each"
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise UsageError(
            f"--legend_names or --log_folders has {twice!r} twice: give each curve a name of its own"
        )
    if args.cutend < -1:
        raise UsageError(f"--cutend {args.cutend}: give a gradient step, or -1 for all")
    from nav_pkg.report import combine  # matplotlib takes a second

    mother = args.mother_dir.expanduser()
    trainings = {name: combine.members(mother / folder) for name, folder in zip(names, args.log_folders)}
    for tag in args.tags:
        name = "_".join(filter(None, [args.title, tag if len(args.tags) > 1 or not args.title else ""]))
        stem = (args.blog_destination or mother / "combined") / re.sub(r"[^A-Za-z0-9_.-]+", "_", name)
        look = {"subsample": args.subsample, "cutend": args.cutend, "each": args.seeds == "all"}
        print(combine.write(tag, trainings, stem, args.title, **look))
    return 0
