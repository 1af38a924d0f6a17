"""A local, read-only page of datasets, trainings, flights, evaluations, studies and DAGs."""
