#!/usr/bin/env python3
"""Rounds of DAgger on a cluster (see dag_dagger.py --help)."""

from nav_pkg.cli import dag_dagger, flags

if __name__ == "__main__":
    flags.run(dag_dagger.main)
