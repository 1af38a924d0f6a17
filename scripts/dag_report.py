#!/usr/bin/env python3
"""Compare the models of a DAG (see dag_report.py --help)."""

from nav_pkg.cli import dag_report, flags

if __name__ == "__main__":
    flags.run(dag_report.main)
