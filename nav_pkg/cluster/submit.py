"""The queue of the pool: query the jobs of a DAG, and submit a DAG.

The functions import `htcondor2` themselves, because CONDOR_CONFIG must be set first.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import List

from nav_pkg import schemas
from nav_pkg.cluster import existing_dag
from nav_pkg.cluster.plan import STATUS_FILE, SUBMITTED_FILE, DagPlan
from nav_pkg.cluster.status import has_ended
from nav_pkg.core import SimulatorError, UsageError
from nav_pkg.data import files

_REMOVED = 3
"""JobStatus of a removed job, which may still be saving its state."""
REMOVED_LIMIT = 180.0
"""Seconds to wait until removed jobs leave the queue; they have 120 s to save and transfer their files."""
_STALE = (".condor.sub", ".lib.out", ".lib.err", ".dagman.log", ".lock")


def in_queue(folder: Path) -> List[int]:
    """The cluster ids of a DAG's queued jobs, DAGMan's first, without removed jobs.

    Raises:
        SimulatorError: the schedd does not answer.
        UsageError: the DAG was submitted to another pool and may be running there.
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
    """Wait until removed jobs of a DAG have transferred their saved files, which the next jobs resume from.

    Raises:
        SimulatorError: the schedd does not answer, or the jobs take too long.
    """
    deadline, announced = time.monotonic() + REMOVED_LIMIT, False
    while _jobs(folder, f"JobStatus == {_REMOVED}"):
        if time.monotonic() > deadline:
            raise SimulatorError(
                f"{folder}: jobs that were removed are still in the queue after {REMOVED_LIMIT:g} s: see "
                "condor_q; condor_rm -forcex removes them without their results"
            )
        if not announced:
            print(
                f"waiting for removed jobs that still save their state (at most {REMOVED_LIMIT:g} s)",
                flush=True,
            )
        announced = True
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


def submit(plan: DagPlan) -> int:
    """Submit a written DAG to HTCondor; DAGMan resumes from the newest rescue file, if any.

    Returns:
        The cluster id of its DAGMan job.

    Raises:
        SimulatorError: HTCondor rejects the DAG (code 4: may succeed when repeated).
    """
    import htcondor2

    before = os.getcwd()
    try:
        os.chdir(plan.folder)  # the DAG's files are named relative to it
        # Left by a DAGMan that has ended (see `in_queue`); the new one would wait for its lost jobs.
        for stale in (STATUS_FILE, *(f"{plan.file.name}{ending}" for ending in _STALE)):
            Path(stale).unlink(missing_ok=True)
        options = {"batch-name": plan.tag, "force": 0}
        sub = htcondor2.Submit.from_dag(plan.file.name, options)
        cluster = htcondor2.Schedd().submit(sub).cluster()
    except htcondor2.HTCondorException as error:
        raise SimulatorError(f"HTCondor rejects the DAG {plan.file}: {error}") from error
    finally:
        os.chdir(before)
    record = {"cluster": cluster, "time": time.time(), "rescue": len(existing_dag.rescues(plan))}
    record["pool"] = os.environ.get("CONDOR_CONFIG", "")
    files.atomic_write(plan.folder / SUBMITTED_FILE, files.to_json(record), "--summary_dir")
    return cluster
