#!/usr/bin/env python3
"""Run rounds of DAgger on a cluster: see dag_dagger.py --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nav_pkg.start import run  # noqa: E402

if __name__ == "__main__":
    run("dag_dagger")
