"""The command dag_create_data.py: record a dataset on a cluster."""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.cluster.plans.create_data import CreateData
from nav_pkg.cluster.plans.run import run


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    return run(CreateData, argv)
