"""Remove a dataset after its name is typed; its subsets keep their files."""

from __future__ import annotations

import argparse
import sys

from nav_pkg.cli.dataset.references import add_summary_dir, print_references
from nav_pkg.config.parser import Parser
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import files, manage
from nav_pkg.data.reader import Dataset


def add_flags(parser: Parser) -> None:
    """Add all flags except the dataset and --data_root."""
    add_summary_dir(parser)
    parser.add_argument("--yes", action="store_true", help="remove without asking for the name")


def run(args: argparse.Namespace) -> int:
    """Remove a dataset."""
    root = args.data_root.expanduser()
    files.sweep_removed((root / args.dataset).parent)  # finish an earlier removal that was killed
    dataset = manage.open_for_change(args.dataset, root)
    what = _what(dataset)
    with manage.exclusive_use(dataset.path):
        pass  # report a conflict before the user is asked
    print_references(dataset, args, root)
    if not args.yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{what}; without a terminal the name cannot be typed: add --yes to remove it")
        print(what)
        answer = input(f"Type {dataset.name} to remove it: ")
        if answer != dataset.name:
            raise UsageError(f"{dataset.path}: not removed, since {answer!r} is not its name")
    manage.remove(dataset)
    print(f"removed {what}")
    return 0


def _what(dataset: Dataset) -> str:
    try:
        return f"{dataset.path}: {len(dataset.runs)} runs, {sum(len(run) for run in dataset.runs)} frames"
    except DataError as error:  # a damaged dataset can be removed, too
        return f"{dataset.path} (damaged: {error})"
