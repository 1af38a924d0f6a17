#!/usr/bin/env python3
"""Measure (see bench.py --help)."""

from nav_pkg.cli import bench, flags

if __name__ == "__main__":
    flags.run(bench.main)
