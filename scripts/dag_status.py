#!/usr/bin/env python3
"""Watch a DAG (see dag_status.py --help)."""

from nav_pkg.cli import dag_status, flags

if __name__ == "__main__":
    flags.run(dag_status.main)
