"""What all cluster commands do: check the flags, plan, estimate, write HTCondor's files, submit or resume."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Callable, Dict, Mapping, Optional, Sequence

from nav_pkg.cluster import client, condor, estimate, existing_dag, pool, submit, transfer, write
from nav_pkg.cluster.plan import SUBMITTED_FILE, DagPlan
from nav_pkg.cluster.plans.base import DagCommand
from nav_pkg.core import UsageError
from nav_pkg.data import files
from nav_pkg.studies.workload import Work


def run(command: Callable[[Sequence[str]], DagCommand], argv: Optional[Sequence[str]] = None) -> int:
    """Run a cluster command and return the exit code."""
    dag = command(list(sys.argv[1:] if argv is None else argv))
    with dag.folders():
        dag.check()
    config = dag.config
    if config.estimate:
        dag.gpus = config.gpunum or 0 if dag.gpu_jobs else 0
        plan, works = dag.plan()
        _say(estimate.table(plan, works), dag.warnings)
        return 0
    if config.dont_submit:
        client.offline()
        dag.gpus = config.gpunum or 0 if dag.gpu_jobs else 0
    else:
        client.use(pool_environment())
        dag.gpus = _gpus(dag)
    plan, works = dag.plan()
    with existing_dag.locked(plan):
        return _write_and_submit(dag, plan, works)


def _gpus(dag: DagCommand) -> int:
    if not dag.gpu_jobs:
        return 0
    if dag.config.gpunum is not None:
        return int(dag.config.gpunum)
    return 1 if client.Machines.of_pool().gpus else 0


def pool_environment() -> Dict[str, str]:
    """CONDOR_CONFIG and PATH of the configured pool; without one, start the personal pool and use it."""
    return condor.prefix_environment(pool.ensure_pool())


def _write_and_submit(dag: DagCommand, plan: DagPlan, works: Mapping[str, Work]) -> int:
    config = dag.config
    if config.dont_submit and (plan.folder / SUBMITTED_FILE).exists():
        raise UsageError(
            f"--dont_submit: the DAG of -t {plan.tag} was submitted, and may be running with the files that "
            "this would write: choose another -t"
        )
    running = [] if config.dont_submit else submit.in_queue(plan.folder)
    if running:
        raise UsageError(
            f"-t {plan.tag}: its DAG is in the queue (job {running[0]}): see dag_status.py -t {plan.tag}, or "
            f"condor_rm {running[0]}"
        )
    if plan.hosts.file_transfer and not config.dont_submit:
        submit.wait_for_removed(plan.folder)
    state = existing_dag.state_of(plan)
    if state != "other" or config.owr:
        dag.check_places(resumes=state in ("same", "done"))
    rescue: Optional[Path] = None
    if state != "nothing" and config.owr:
        existing_dag.start_over(plan)
    elif state == "done":
        print(f"-t {plan.tag}: this DAG is done; its output: {dag.output()} (--owr starts over)")
        return 0
    elif state == "other":
        difference = existing_dag.differences(plan)
        if not difference:
            raise UsageError(
                f"{existing_dag.existing(plan)}: exists already, not made by a DAG of -t {plan.tag}; choose "
                "another -t, or move it"
            )
        raise UsageError(
            f"{plan.summary_dir / plan.tag}: holds another DAG ({difference}); give the same flags to "
            "continue it, --owr to start over, or another -t"
        )
    elif state == "same":
        rescue = existing_dag.make_rescue(plan)
    dag.prepare()
    transfer.pack(plan)
    write.write(plan, retry=not config.dont_retry)
    write.validate(plan)
    _say(estimate.summary(plan, works), dag.warnings)
    print(f"{len(plan.jobs)} jobs: {plan.file}")
    if config.dont_submit:
        return 0
    for line in client.Machines.of_pool().unfit(plan):
        print(f"warning: {line}", file=sys.stderr)
    cluster = submit.submit(plan)
    done = len(files.read_text(rescue).splitlines()) if rescue else 0
    more = f"; resumes after {done} jobs that are done" if done else ""
    print(f"submitted: job {cluster}{more}; watch it with: python scripts/dag_status.py {plan.tag}")
    return 0


def _say(lines: Sequence[str], warnings: Sequence[str]) -> None:
    print("\n".join(lines))
    for line in warnings:
        print(f"warning: {line}", file=sys.stderr)
