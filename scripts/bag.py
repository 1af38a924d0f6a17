#!/usr/bin/env python3
"""The bag node."""

from nav_pkg.ros import bag, shell

if __name__ == "__main__":
    shell.run(bag.main)
