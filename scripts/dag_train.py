#!/usr/bin/env python3
"""Train models on a cluster (see dag_train.py --help)."""

from nav_pkg.cli import dag_train, flags

if __name__ == "__main__":
    flags.run(dag_train.main)
