"""The command dag_train_and_evaluate.py: train models on a cluster and fly them."""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.cluster.plans.run import run
from nav_pkg.cluster.plans.train_and_evaluate import TrainAndEvaluate


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    return run(TrainAndEvaluate, argv)
