"""The command main.py: train a network, or run it as the learner node."""

from __future__ import annotations

import os
import sys
from typing import Optional, Sequence

from nav_pkg.config.learner import parse
from nav_pkg.learn.training import prechecks


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command; return the exit code."""
    args = parse(sys.argv[1:] if argv is None else argv)
    # Before torch is loaded: otherwise its waiting threads spin on cores that other processes need.
    # tiny_net in lock-step on two cores: 2.9 times real time, with spinning 1.8. Offline beside other
    # programs (load 20): 44 frames/s, with spinning 20.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if args.online:
        import nav_pkg.ros.learner

        return nav_pkg.ros.learner.main(args)
    from nav_pkg.learn.training.stop import Stop

    with Stop(args.wall_time) as stop:  # handle signals before the slow import of torch
        prechecks.training(args)
        from nav_pkg.learn.training.offline import train

        return train(args, stop)
