#!/usr/bin/env python3
"""The recorder node."""

from nav_pkg.ros import recorder, shell

if __name__ == "__main__":
    shell.run(recorder.main)
