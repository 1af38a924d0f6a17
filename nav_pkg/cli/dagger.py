"""The command dagger.py: dataset aggregation on this machine."""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.ending import raise_on_stop_signals
from nav_pkg.sim import preflight
from nav_pkg.studies.dagger import Rounds, split


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    rounds = Rounds(*split(argv))
    preflight.check(window="--graphics" in rounds.flight)
    raise_on_stop_signals()
    rounds.run()
    return 0
