#!/usr/bin/env python3
"""Train models on a cluster, and fly them (see dag_train_and_evaluate.py --help)."""

from nav_pkg.cli import dag_train_and_evaluate, flags

if __name__ == "__main__":
    flags.run(dag_train_and_evaluate.main)
