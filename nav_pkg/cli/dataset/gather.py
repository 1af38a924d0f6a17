"""Join recordings whose runs have different numbers (the shards of a session)."""

from __future__ import annotations

import argparse

from nav_pkg.config import types
from nav_pkg.config.parser import Parser
from nav_pkg.data.gather import GatheredDataset
from nav_pkg.data.links import make_datasets
from nav_pkg.data.progress import progress
from nav_pkg.data.reader import load_dataset


def add_flags(parser: Parser) -> None:
    """Add all flags except --data_root."""
    add = parser.add_argument
    add("dataset", nargs="+", help="names below --data_root, or paths that begin with /, . or ~")
    add("--destination", type=types.name, required=True, help="name of the new dataset below --data_root")
    add("--owr", action="store_true", help="replace an existing dataset")


def run(args: argparse.Namespace) -> int:
    """Merge recordings into one."""
    sources = [load_dataset(name, args.data_root) for name in args.dataset]
    gathered = GatheredDataset(sources, args.data_root.expanduser() / args.destination)
    make_datasets([gathered], args.owr, lambda items: progress(items, "runs"))
    frames = sum(item.frames for item in gathered.selected_runs)
    print(f"{gathered.destination}: {len(gathered.selected_runs)} runs, {frames} frames")
    return 0
