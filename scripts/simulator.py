#!/usr/bin/env python3
"""Run Gazebo with a world and a robot (see simulator.py --help)."""

from nav_pkg.cli import flags, simulator

if __name__ == "__main__":
    flags.run(simulator.main)
