#!/usr/bin/env python3
"""A personal HTCondor pool on this machine (see pool.py --help)."""

from nav_pkg.cli import flags, pool

if __name__ == "__main__":
    flags.run(pool.main)
