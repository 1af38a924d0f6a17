"""dagger.py: dataset aggregation (Ross, Gordon and Bagnell 2011): fly, add the flights, train, repeat.

Each round flies with a mixture of expert and network, adds these flights with the expert's labels to the
dataset, trains the network on all data, and flies the network without the expert. Every step is an ordinary
command, printed before it runs, in a folder of its round. The same command resumes an interrupted run.

Example:
    dagger.py -t my_dagger --dataset esatv3_expert --checkpoint_path my_training --rounds 3 --runs 2 \
        --loss CrossEntropy --learning_rate 0.01 --max_episodes 10
"""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.cli import entry
from nav_pkg.sim import preflight
from nav_pkg.studies.dagger import Rounds, split


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    rounds = Rounds(*split(argv))
    preflight.check(window="--graphics" in rounds.flight)
    entry.raise_on_stop_signals()
    rounds.run()
    return 0
