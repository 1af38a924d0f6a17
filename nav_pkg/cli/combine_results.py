"""Plot learning curves of several trainings in one figure, with a table and the data as CSV.

Example:
    combine_results.py --log_folders ref/1 shifted/1 --legend_names reference shifted
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Optional, Sequence

from nav_pkg.config.parser import Parser
from nav_pkg.config.paths import summary_dir
from nav_pkg.config.types import whole
from nav_pkg.core import UsageError


def make_parser() -> Parser:
    """The parser of combine_results.py."""
    p = Parser(prog="combine_results.py", description=__doc__)
    add = p.add_argument
    add(
        "--log_folders",
        nargs="+",
        required=True,
        metavar="FOLDER",
        help="log folders of trainings, or folders that hold one training per seed (seed_N)",
    )
    add("--legend_names", nargs="+", metavar="NAME", help="name of each curve (default: its folder)")
    add("--mother_dir", type=Path, default=summary_dir(), help="folder of the --log_folders")
    add(
        "--tags",
        nargs="+",
        default=["Loss_val_accuracy"],
        metavar="TAG",
        help="TensorBoard names of the scalars to plot, one figure each",
    )
    add(
        "--subsample",
        type=whole(1, 10**9),
        default=1,
        help="draw every n-th point; the table uses all points",
    )
    add("--cutend", type=int, default=-1, help="gradient step at which the curves are cut; -1: no cut")
    add(
        "--seeds",
        choices=("mean", "all"),
        default="mean",
        help="mean: one curve with a band of one standard deviation; all: one curve per seed",
    )
    add("--title", default="", help="title of the figure, and the name of its files")
    add("--blog_destination", type=Path, help="folder for the files (default: combined/ in --mother_dir)")
    add(
        "--headless",
        action="store_true",
        help="has no effect: no window is ever opened (published command lines contain this flag)",
    )
    return p


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
    trainings = {name: combine.find_members(mother / folder) for name, folder in zip(names, args.log_folders)}
    for tag in args.tags:
        name = "_".join(filter(None, [args.title, tag if len(args.tags) > 1 or not args.title else ""]))
        stem = (args.blog_destination or mother / "combined") / re.sub(r"[^A-Za-z0-9_.-]+", "_", name)
        look = {"subsample": args.subsample, "cutend": args.cutend, "each": args.seeds == "all"}
        print(combine.write(tag, trainings, stem, args.title, **look))
    return 0
