"""Measurements of the system's promised performance, as ratios within one run."""
