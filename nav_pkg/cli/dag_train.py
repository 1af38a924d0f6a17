"""The command dag_train.py: train models on a cluster."""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.cluster.plans.run import run
from nav_pkg.cluster.plans.train import Train


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    return run(Train, argv)
