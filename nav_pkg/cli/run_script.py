"""run_script.py: fly runs in the simulator, monitored, and repeated until each one counts.

Examples:
    run_script.py -t collect -w esatv3 --random_seed 512 --owr -ds --number_of_runs 2 --alpha 1
    run_script.py -t own -w my_worlds/office.json --owr -ds
    run_script.py -t fly --number_of_runs 3 --checkpoint_path tiny --alpha 0 --start route
"""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.cli import entry
from nav_pkg.session.arguments import split
from nav_pkg.session.session import Session
from nav_pkg.sim import preflight


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    args, learner_flags = split(argv)
    preflight.check(window=args.graphics)
    entry.raise_on_stop_signals()
    return Session(args, learner_flags).fly()
