#!/usr/bin/env python3
"""The expert node."""

from nav_pkg.ros import expert, shell

if __name__ == "__main__":
    shell.run(expert.main)
