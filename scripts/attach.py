#!/usr/bin/env python3
"""Attach a terminal to a running session (see attach.py --help)."""

from nav_pkg.cli import attach, flags

if __name__ == "__main__":
    flags.run(attach.main)
