"""The queue: whether a DAG is in it, and handing one to HTCondor.

`htcondor2` is imported where it is used, after CONDOR_CONFIG is known.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import List

from nav_pkg import schemas
from nav_pkg.cluster import existing_dag
from nav_pkg.cluster.plan import STATUS_FILE, SUBMITTED_FILE, Plan
from nav_pkg.cluster.status import has_ended
from nav_pkg.core import SimulatorError, UsageError
from nav_pkg.data import files

_REMOVED = 3
"""JobStatus of a job that is being removed: it may save what it has."""
REMOVED_LIMIT = 180.0
"""Seconds for jobs that were removed to leave: they have 120 to save and to bring it home."""
_STALE = (".condor.sub", ".lib.out", ".lib.err", ".dagman.log", ".lock")


def in_queue(folder: Path) -> List[int]:
    """The cluster ids of a DAG's jobs that are in the queue, DAGMan's first; not of those being removed.

    Raises:
        SimulatorError: no schedd answers.
        UsageError: it was submitted to another pool, where it may be running.
    """
    record = folder / SUBMITTED_FILE
    last = files.read_json(record, schemas.SUBMITTED) if record.exists() else {}
    pool = os.environ.get("CONDOR_CONFIG", "")
    if last.get("pool", pool) != pool and not has_ended(folder):
        raise UsageError(
            f"{folder}: this DAG was submitted to the pool of {last['pool']}, and may be running there: set "
            f"CONDOR_CONFIG to it and use condor_rm {last.get('cluster')}, or choose another -t"
        )
    return _jobs(folder, f"JobStatus != {_REMOVED}")


def wait_for_removed(folder: Path) -> None:
    """Wait for a DAG's jobs that were removed and bring home what they have: the next ones begin with it.

    Raises:
        SimulatorError: no schedd answers, or they take too long.
    """
    deadline, told = time.monotonic() + REMOVED_LIMIT, False
    while _jobs(folder, f"JobStatus == {_REMOVED}"):
        if time.monotonic() > deadline:
            raise SimulatorError(
                f"{folder}: jobs that were removed are still in the queue after {REMOVED_LIMIT:g} s: see "
                "condor_q; condor_rm -forcex lets them go, without what they have"
            )
        if not told:
            print(
                f"waiting for jobs that were removed and still save (at most {REMOVED_LIMIT:g} s)", flush=True
            )
        told = True
        time.sleep(0.5)


def _jobs(folder: Path, condition: str) -> List[int]:
    """The cluster ids of a DAG's jobs that meet a condition, DAGMan's first."""
    import classad2
    import htcondor2

    here = f"Iwd == {classad2.quote(str(folder))} && {condition}"
    try:
        return sorted(ad["ClusterId"] for ad in htcondor2.Schedd().query(here, ["ClusterId"]))
    except htcondor2.HTCondorException as error:
        raise SimulatorError(
            f"the pool's schedd does not answer: {error}; see scripts/pool.py status"
        ) from error


def submit(plan: Plan) -> int:
    """Hand a written DAG to HTCondor; a rescue file of an earlier try is taken up.

    Returns:
        The cluster id of its DAGMan job.

    Raises:
        SimulatorError: HTCondor does not take it (code 4: may work when run again).
    """
    import htcondor2

    before = os.getcwd()
    try:
        os.chdir(plan.folder)  # the DAG's files are named relative to it
        # of a DAGMan that is not there any more (`in_queue`); it would wait for jobs that are gone, too
        for stale in (STATUS_FILE, *(f"{plan.file.name}{ending}" for ending in _STALE)):
            Path(stale).unlink(missing_ok=True)
        options = {"batch-name": plan.tag, "force": 0}
        sub = htcondor2.Submit.from_dag(plan.file.name, options)
        cluster = htcondor2.Schedd().submit(sub).cluster()
    except htcondor2.HTCondorException as error:
        raise SimulatorError(f"HTCondor does not take the DAG {plan.file}: {error}") from error
    finally:
        os.chdir(before)
    record = {"cluster": cluster, "time": time.time(), "rescue": len(existing_dag.rescues(plan))}
    record["pool"] = os.environ.get("CONDOR_CONFIG", "")
    files.atomic_write(plan.folder / SUBMITTED_FILE, files.to_json(record), "--summary_dir")
    return cluster
