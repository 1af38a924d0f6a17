"""Show channel means and deviations (as flags of main.py) and the share of each class."""

from __future__ import annotations

import argparse

from nav_pkg.config.parser import Parser
from nav_pkg.core import UsageError
from nav_pkg.data import files, statistics
from nav_pkg.data.reader import load_dataset


def add_flags(parser: Parser) -> None:
    """Add all flags except the dataset and --data_root."""
    parser.add_argument(
        "--images", type=int, default=2000, help="number of images from which the colours are computed"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print means, deviations and shares of the classes."""
    if args.images < 1:
        raise UsageError(f"dataset.py stats: --images {args.images} must be 1 or more")
    found = statistics.dataset_statistics(load_dataset(args.dataset, args.data_root), args.images)
    print(files.to_json(found) if args.json else statistics.as_text(found) + "\n", end="")
    return 0
