"""dag_train_and_evaluate: train models on a cluster as dag_train.py does, and fly each as evaluate.py does.

Model i is trained in TAG/seed_<seed>, and its flights go to TAG/seed_<seed>/evaluation; a report compares
all models. Flags of evaluate.py and run_script.py apply to the flights.

Example:
    dag_train_and_evaluate.py -t tiny --dataset mine --discrete --loss CrossEntropy --number_of_runs 10
"""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.cluster.plans.base import run
from nav_pkg.cluster.plans.train_and_evaluate import TrainAndEvaluate


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    return run(TrainAndEvaluate, argv)
