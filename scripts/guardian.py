#!/usr/bin/env python3
"""The guardian node."""

from nav_pkg.ros import guardian, shell

if __name__ == "__main__":
    shell.run(guardian.main)
