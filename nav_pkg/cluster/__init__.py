"""The HTCondor cluster: plans of jobs, submit and DAG files, the job wrapper, the personal pool."""
