"""evaluate.py: fly checkpoints under all combinations of conditions, and report the results.

Every run starts at a seeded pose along the route, and the network flies without the expert. The flights are
recorded; the measures go to evaluation.json, evaluation.csv and evaluation.html in the log folder. The same
command resumes an interrupted evaluation.

Examples:
    evaluate.py -m tiny/first tiny/second -n 10 --control_delays 0 0.1 0.2 --jobs 2
    evaluate.py -t robust -m tiny/first -n 5 --directions both --perturbations none light:0.5 noise:0.1
"""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.cli import entry
from nav_pkg.sim import preflight
from nav_pkg.studies.evaluation import EvaluationRunner, split


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    command = EvaluationRunner(*split(argv))
    preflight.check(window=not {"-g", "--graphics"}.isdisjoint(command.rest))
    entry.raise_on_stop_signals()
    command.open()
    command.fly()
    command.report()
    return 0
