#!/usr/bin/env python3
"""Evaluate checkpoints in flight (see evaluate.py --help)."""

from nav_pkg.cli import evaluate, flags

if __name__ == "__main__":
    flags.run(evaluate.main)
