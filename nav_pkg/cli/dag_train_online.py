"""dag_train_online: learn in flight from several seeds on a cluster; each job has one simulator and network.

Model i is run_script.py --online with the i-th of --seeds in the log folder TAG/seed_<seed>; a report
compares all models.

Example:
    dag_train_online.py -t online --discrete --loss CrossEntropy --number_of_runs 20 --alpha 0.5
"""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.cluster.plans.base import run
from nav_pkg.cluster.plans.train_online import TrainOnline


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    return run(TrainOnline, argv)
