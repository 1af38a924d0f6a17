"""Add training runs of other datasets to a dataset, with hard links."""

from __future__ import annotations

import argparse
from collections import Counter

from nav_pkg.config import types
from nav_pkg.config.parser import Parser
from nav_pkg.data.links import make_datasets
from nav_pkg.data.merge import MergedDataset
from nav_pkg.data.progress import progress
from nav_pkg.data.reader import load_dataset


def add_flags(parser: Parser) -> None:
    """Add all flags except the dataset and --data_root."""
    add = parser.add_argument
    add("--add", nargs="+", required=True, help="datasets whose runs are added to the training set")
    add("--destination", type=types.name, required=True, help="name of the new dataset below --data_root")
    add("--owr", action="store_true", help="replace an existing dataset")


def run(args: argparse.Namespace) -> int:
    """Merge a dataset with further training runs."""
    base = load_dataset(args.dataset, args.data_root)
    added = [load_dataset(name, args.data_root) for name in args.add]
    merged = MergedDataset(base, added, args.data_root.expanduser() / args.destination)
    make_datasets([merged], args.owr, lambda items: progress(items, "runs"))
    runs = Counter(item.part for item in merged.selected_runs)
    print(
        f"{merged.destination}: train {runs['train']} runs, {merged.training_frames} frames; "
        f"val {runs['val']}, test {runs['test']} runs"
    )
    for line in merged.warnings():
        print(f"warning: {merged.destination}: {line}")
    return 0
