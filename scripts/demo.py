#!/usr/bin/env python3
"""Collect, train, fly and report in one go: see demo.py --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nav_pkg.cli.demo import main  # noqa: E402
from nav_pkg.cli.flags import run  # noqa: E402

if __name__ == "__main__":
    run(main)
