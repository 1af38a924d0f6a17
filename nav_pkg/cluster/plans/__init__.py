"""DAGs of jobs: one module per command converts a command line to jobs and dependencies."""
