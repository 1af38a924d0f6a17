"""dag_evaluate: fly checkpoints on a cluster as evaluate.py does, one job each; a report compares them.

The checkpoints are those of -m, or the models that a DAG has written under the tag: all of them, or those of
--seeds and --number_of_models. For rounds of DAgger it is the last round. The tag of this DAG is then
TAG/evaluation.

Example:
    dag_evaluate.py -t tiny --number_of_runs 10 --directions both
    dag_evaluate.py -t compared -m tiny/seed_123 alex/seed_123 --number_of_runs 10
"""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.cluster.plans.base import run
from nav_pkg.cluster.plans.evaluate import Evaluate


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    return run(Evaluate, argv)
