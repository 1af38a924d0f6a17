"""Combinations of sessions and trainings: evaluation, DAgger, the demo, and studies over grids and seeds."""
