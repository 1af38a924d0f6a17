"""The command dag_evaluate.py: fly checkpoints on a cluster."""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.cluster.plans.evaluate import Evaluate
from nav_pkg.cluster.plans.run import run


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    return run(Evaluate, argv)
