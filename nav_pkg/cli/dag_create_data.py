"""dag_create_data: recorders side by side on a cluster; what they fly becomes one dataset.

The recorders share the runs of one session: run i is the same flight, and the dataset has the same bytes,
whoever flies it. Their recordings are gathered under the tag, cleaned and split into --destination, and
verified there.

Example:
    dag_create_data.py -t collect --number_of_recorders 4 --number_of_runs 2 --destination mine --val_len 1
"""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.cluster.plans.base import run
from nav_pkg.cluster.plans.create_data import CreateData


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    return run(CreateData, argv)
