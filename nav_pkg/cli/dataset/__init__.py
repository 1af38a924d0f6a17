"""Inspect, verify and repair datasets, and prepare them for training."""

from __future__ import annotations

import argparse
import sys
from types import ModuleType
from typing import Dict, Optional, Sequence, Tuple

from nav_pkg.cli.dataset import (
    convert,
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
from nav_pkg.config import dataset as configs
from nav_pkg.config import setting as settings
from nav_pkg.config.parser import Parser
from nav_pkg.config.setting import from_values
from nav_pkg.core import UsageError, nearest_name

EXAMPLES = """
    dataset.py info mine
    dataset.py view mine --run 00000_esatv3 --output run.mp4
    dataset.py subset mine --frames 10000 1000"""

ACTIONS: Dict[str, Tuple[ModuleType, type]] = {
    "info": (info, configs.InfoConfig),
    "verify": (verify, configs.VerifyConfig),
    "repair": (repair, configs.DatasetConfig),
    "view": (view, configs.ViewConfig),
    "subset": (subset, configs.SubsetConfig),
    "merge": (merge, configs.MergeConfig),
    "gather": (gather, configs.GatherConfig),
    "convert": (convert, configs.ConvertConfig),
    "stats": (stats, configs.StatsConfig),
    "pack": (pack, configs.PackConfig),
    "rename": (rename, configs.RenameConfig),
    "remove": (remove, configs.RemoveConfig),
}
"""Action -> module and settings, in the order of the help. A module has a docstring, and `run`."""


def make_parser(action: Optional[str] = None) -> Parser:
    """Make the parser of an action, or that of the command before its action is known."""
    if action is None:
        lines = [f"  {name:8}{module.__doc__}" for name, (module, _) in ACTIONS.items()]
        parser = Parser(
            prog="dataset.py",
            description=f"{__doc__}\n\nExamples:{EXAMPLES}\n\nactions:\n" + "\n".join(lines),
            epilog="`dataset.py ACTION --help` shows the flags of an action.",
        )
        parser.add_argument("action", choices=tuple(ACTIONS), metavar="ACTION", help="one of the above")
        parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
        return parser
    module, config = ACTIONS[action]
    return settings.make_parser(config, f"dataset.py {action}", str(module.__doc__))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help") or argv[0] not in ACTIONS:
        if argv and argv[0] not in ("-h", "--help"):
            raise UsageError(f"dataset.py: unknown action {argv[0]!r}{nearest_name(argv[0], list(ACTIONS))}")
        make_parser().parse_args(argv)
    module, config = ACTIONS[argv[0]]
    return module.run(from_values(config, vars(make_parser(argv[0]).parse_args(argv[1:]))))
