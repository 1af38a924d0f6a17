#!/usr/bin/env python3
"""Fly runs in the simulator (see run_script.py --help)."""

from nav_pkg.cli import flags, run_script

if __name__ == "__main__":
    flags.run(run_script.main)
