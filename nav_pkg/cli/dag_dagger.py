"""The command dag_dagger.py: run rounds of DAgger on a cluster."""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.cluster.plans.dagger import Dagger
from nav_pkg.cluster.plans.run import run


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    return run(Dagger, argv)
