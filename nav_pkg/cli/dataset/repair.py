"""Turn crashed recordings into runs, and move damaged runs to quarantine/."""

from __future__ import annotations

import argparse

from nav_pkg.config.parser import Parser
from nav_pkg.data import repair
from nav_pkg.data.progress import progress
from nav_pkg.data.reader import load_dataset


def add_flags(parser: Parser) -> None:
    """No flags except the dataset and --data_root."""


def run(args: argparse.Namespace) -> int:
    """Repair a dataset and print the repairs."""
    dataset = load_dataset(args.dataset, args.data_root, check=False)
    done = repair.repair_dataset(dataset, lambda runs: progress(runs, "runs"))
    for line in done:
        print(line)
    print(f"{len(done)} repairs" if done else "nothing to repair")
    dataset.require_checked()  # last: an error that only the user can fix
    if dataset.has_splits:
        dataset.splits()
    return 0
