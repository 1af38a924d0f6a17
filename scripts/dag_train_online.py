#!/usr/bin/env python3
"""Learn in flight on a cluster (see dag_train_online.py --help)."""

from nav_pkg.cli import dag_train_online, flags

if __name__ == "__main__":
    flags.run(dag_train_online.main)
