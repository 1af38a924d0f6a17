"""Inspect, verify and repair datasets, and prepare them for training."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Optional, Sequence

from nav_pkg.cli.dataset import (
    gather,
    info,
    merge,
    pack,
    remove,
    rename,
    repair,
    stats,
    subset,
    verify,
    view,
)
from nav_pkg.config import paths
from nav_pkg.config.parser import Parser
from nav_pkg.core import UsageError, nearest_name

EXAMPLES = """
    dataset.py info mine
    dataset.py view mine --run 00000_esatv3 --output run.mp4
    dataset.py subset mine --frames 10000 1000"""
ACTIONS = {
    "info": info,
    "verify": verify,
    "repair": repair,
    "view": view,
    "subset": subset,
    "merge": merge,
    "gather": gather,
    "stats": stats,
    "pack": pack,
    "rename": rename,
    "remove": remove,
}
"""Action -> module, in the order of the help; each has a docstring, `add_flags` and `run`."""


def make_parser(action: Optional[str] = None) -> Parser:
    """Make the parser of an action, or that of the command before its action is known."""
    if action is None:
        lines = [f"  {name:8}{module.__doc__}" for name, module in ACTIONS.items()]
        parser = Parser(
            prog="dataset.py",
            description=f"{__doc__}\n\nExamples:{EXAMPLES}\n\nactions:\n" + "\n".join(lines),
            epilog="`dataset.py ACTION --help` shows the flags of an action.",
        )
        parser.add_argument("action", choices=tuple(ACTIONS), metavar="ACTION", help="one of the above")
        parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
        return parser
    parser = Parser(prog=f"dataset.py {action}", description=ACTIONS[action].__doc__)
    more = " (default: list all datasets)" if action == "info" else ""
    if action not in ("subset", "gather"):  # which take several
        parser.add_argument(
            "dataset",
            nargs="?" if more else None,
            help=f"name below --data_root, or a path that begins with /, . or ~{more}",
        )
    parser.add_argument("--data_root", type=Path, default=paths.data_root(), help="folder of all datasets")
    ACTIONS[action].add_flags(parser)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help") or argv[0] not in ACTIONS:
        if argv and argv[0] not in ("-h", "--help"):
            raise UsageError(f"dataset.py: unknown action {argv[0]!r}{nearest_name(argv[0], list(ACTIONS))}")
        make_parser().parse_args(argv)
    return ACTIONS[argv[0]].run(make_parser(argv[0]).parse_args(argv[1:]))
