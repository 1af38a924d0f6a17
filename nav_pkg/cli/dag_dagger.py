"""dag_dagger: rounds of DAgger on a cluster, from several seeds, each step of each round a job.

Every seed has rounds of its own, those of dagger.py, in TAG/seed_<seed>: fly, add, learn, fly alone. What
a job did is not done again when another one fails. At the end dagger.py makes each seed's table, and a
report compares the last nets.

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
