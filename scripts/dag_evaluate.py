#!/usr/bin/env python3
"""Fly checkpoints on a cluster (see dag_evaluate.py --help)."""

from nav_pkg.cli import dag_evaluate, flags

if __name__ == "__main__":
    flags.run(dag_evaluate.main)
