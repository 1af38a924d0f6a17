"""Rename a dataset, also in the subsets that refer to it."""

from __future__ import annotations

import argparse

from nav_pkg.cli.dataset.references import add_summary_dir, print_references
from nav_pkg.config import types
from nav_pkg.config.parser import Parser
from nav_pkg.data import manage


def add_flags(parser: Parser) -> None:
    """Add all flags except the dataset and --data_root."""
    parser.add_argument("name", type=types.name, help="new name below --data_root")
    add_summary_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Rename a dataset."""
    root = args.data_root.expanduser()
    dataset = manage.open_for_change(args.dataset, root)
    print_references(dataset, args, root)
    print(f"{dataset.path} is now {manage.rename(dataset, args.name, root)}")
    return 0
