"""DAGs of jobs: one module a command, from its command line to the jobs and their order."""
