"""The command dag_train_online.py: learn in flight on a cluster."""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.cluster.plans.run import run
from nav_pkg.cluster.plans.train_online import TrainOnline


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    return run(TrainOnline, argv)
