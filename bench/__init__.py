"""Measurements: what the system promises, as ratios within one run."""
