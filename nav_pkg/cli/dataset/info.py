"""Show runs, outcomes, classes, colours and size; without a dataset, list all datasets."""

from __future__ import annotations

import argparse

from nav_pkg.config.parser import Parser
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import files, info
from nav_pkg.data.reader import Dataset, find_datasets, load_dataset


def add_flags(parser: Parser) -> None:
    """Add all flags except the dataset and --data_root."""
    parser.add_argument(
        "--images", type=int, default=500, help="number of images from which the colours are computed"
    )
    parser.add_argument("--random_seed", type=int, default=123, help="seed of the choice of these images")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the contents of a dataset; without a dataset, list all."""
    for flag in ("images", "random_seed"):
        if getattr(args, flag) < 0:
            raise UsageError(
                f"dataset.py info: --{flag} {getattr(args, flag)} must not be negative: give 0 or more"
            )
    if args.dataset is None:
        root = args.data_root.expanduser()
        found = find_datasets(root)
        if not found:
            raise DataError(f"{root}: no datasets here; record one, or set --data_root")
        for path in found:
            print(f"{path.relative_to(root).as_posix():40} {len(Dataset(path).runs)} runs")
        return 0
    facts = info.dataset_info(load_dataset(args.dataset, args.data_root), args.images, args.random_seed)
    if args.json:
        print(files.to_json(facts), end="")
    else:
        print(info.as_text(facts))
    if not facts["runs"]:
        raise DataError(f"{facts['path']}: the dataset has no whole runs; record some first")
    return 3 if facts["damaged"] else 0
