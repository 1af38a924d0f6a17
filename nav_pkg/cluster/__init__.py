"""The cluster: plans of jobs, HTCondor's files for them, the job wrapper, the personal pool."""
