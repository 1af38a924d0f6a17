#!/usr/bin/env python3
"""Tabulate, rank and compare trainings and flights: see results.py --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nav_pkg.start import run  # noqa: E402

if __name__ == "__main__":
    run("results")
