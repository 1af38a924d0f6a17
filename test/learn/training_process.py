"""A training in a process of its own, to be killed."""

import sys

from nav_pkg.cli import main
from nav_pkg.learn.training import offline


def train(argv):
    """Run main.py, saving after every batch as for long ones: else a kill leaves nothing to resume from."""
    offline.SAVE_SECONDS, offline.SAVE_SHARE = 0, 1e9
    sys.stdout = sys.stderr
    main.main(argv)
