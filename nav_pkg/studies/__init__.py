"""Studies: grids of trainings over seeds, from one small file, run where there is room, reported as pages."""
