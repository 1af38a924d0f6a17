#!/usr/bin/env python3
"""Record a dataset on a cluster (see dag_create_data.py --help)."""

from nav_pkg.cli import dag_create_data, flags

if __name__ == "__main__":
    flags.run(dag_create_data.main)
