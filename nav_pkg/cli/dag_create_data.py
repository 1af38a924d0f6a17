"""The command dag_create_data.py: record a dataset on a cluster."""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.cluster.plans.base import run
from nav_pkg.cluster.plans.create_data import CreateData


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    return run(CreateData, argv)
