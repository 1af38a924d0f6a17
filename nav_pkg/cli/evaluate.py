"""The command evaluate.py: fly checkpoints and measure them."""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.ending import raise_on_stop_signals
from nav_pkg.sim import preflight
from nav_pkg.studies.evaluation import EvaluationRunner, split


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    command = EvaluationRunner(*split(argv))
    preflight.check(window=not {"-g", "--graphics"}.isdisjoint(command.rest))
    raise_on_stop_signals()
    command.open()
    command.fly()
    command.report()
    return 0
