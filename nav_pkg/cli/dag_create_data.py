"""dag_create_data: record in parallel jobs on a cluster, and make one dataset of all runs.

The recorders share the runs of one session. Run i is the same flight in any job, so the dataset has the same
bytes. The recordings are gathered under the tag, then cleaned and split into --destination, and verified.

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
