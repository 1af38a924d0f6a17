"""Turn crashed recordings into runs and move damaged ones to quarantine/."""

from __future__ import annotations

import argparse

from nav_pkg.config.parser import Parser
from nav_pkg.data import repair
from nav_pkg.data.progress import progress
from nav_pkg.data.reader import load_dataset


def add_flags(parser: Parser) -> None:
    """None beside the dataset and --data_root."""


def run(args: argparse.Namespace) -> int:
    """Repair a dataset and print what was done."""
    dataset = load_dataset(args.dataset, args.data_root, check=False)
    done = repair.repair_dataset(dataset, lambda runs: progress(runs, "runs"))
    for line in done:
        print(line)
    print(f"{len(done)} repairs" if done else "nothing to repair")
    dataset.require_checked()  # an error that only its owner can mend comes last
    if dataset.has_splits:
        dataset.splits()
    return 0
