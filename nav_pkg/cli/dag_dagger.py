"""dag_dagger: rounds of DAgger on a cluster, from several seeds; each step of each round is a job.

Every seed has its own rounds, like those of dagger.py, in TAG/seed_<seed>: fly, add, train, evaluate. A
finished job is not repeated when another job fails. At the end dagger.py makes the table of each seed, and a
report compares the last networks.

Example:
    dag_dagger.py -t d --dataset mine --checkpoint_path tiny/seed_123 --rounds 3 --runs 4 \
        --loss CrossEntropy --learning_rate 0.01 --max_episodes 10
"""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.cluster.plans.base import run
from nav_pkg.cluster.plans.dagger import Dagger


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    return run(Dagger, argv)
