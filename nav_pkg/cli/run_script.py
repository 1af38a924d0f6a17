"""The command run_script.py: fly a session."""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.ending import raise_on_stop_signals
from nav_pkg.session.arguments import split, uses_ros
from nav_pkg.session.session import Session
from nav_pkg.sim import preflight


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    args, learner_flags = split(argv)
    if uses_ros(args):
        preflight.check(window=args.graphics)
    raise_on_stop_signals()
    return Session(args, learner_flags).fly()
