"""dag_train: train a network from several seeds, and with several learning rates, on a cluster.

main.py trains model i with the i-th of --seeds in the log folder TAG/seed_<seed>; a report compares all
models. With --learning_rates each rate gets this number of models, in TAG/lr_<rate>/seed_<seed>.

Example:
    dag_train.py -t tiny --dataset mine --discrete --loss CrossEntropy --number_of_models 3
"""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.cluster.plans.base import run
from nav_pkg.cluster.plans.train import Train


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    return run(Train, argv)
