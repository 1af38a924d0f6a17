#!/usr/bin/env python3
"""The supervisor node."""

from nav_pkg.ros import shell, supervisor

if __name__ == "__main__":
    shell.run(supervisor.main)
