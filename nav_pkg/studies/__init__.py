"""Sessions and trainings combined: evaluation, DAgger, the demo, and studies over grids and seeds."""
