"""Cost of a DAG with many jobs: computed files, transfers and schedd load; measured time to write it."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List

from nav_pkg.cluster import client, write
from nav_pkg.cluster.plan import DagNode, DagPlan, Resources
from nav_pkg.core import ROOT
from nav_pkg.studies import workload
from nav_pkg.studies.workload import Work

EVENTS_A_JOB = 6
"""Events per job in the node log: submitted, started, three updates of its size, ended."""


def synthetic(recorders: int, trainings: int, folder: Path) -> DagPlan:
    """Make a plan of recorders, merge, cleaning, trainings on the result, and report."""
    jobs: List[DagNode] = [
        DagNode(f"r{i}", "record", ("run_script.py", "-t", f"big/r{i}"), Resources(2, 1900, 700), 3600.0, 4)
        for i in range(recorders)
    ]
    names = tuple(job.name for job in jobs)
    jobs.append(DagNode("merge", "merge", ("dataset.py", "gather"), parents=names))
    jobs.append(DagNode("clean", "clean", ("clean_dataset.py",), parents=("merge",)))
    trained = [
        DagNode(f"m_{i}_train", "train", ("main.py", "-t", f"big/m_{i}"), parents=("clean",))
        for i in range(trainings)
    ]
    ends = tuple(job.name for job in trained)
    jobs += [*trained, DagNode("report", "report", ("dag_report.py",), parents=ends or ("clean",))]
    return DagPlan("dag_create_data.py", "big", folder, folder, ROOT, tuple(jobs))


@dataclass(frozen=True)
class Written:
    """Cost of writing a DAG: seconds, memory added to the process (MB), size of the DAG file, files."""

    jobs: int
    seconds: float
    memory: float
    dag_bytes: int
    files: int


def written(plan: DagPlan) -> Written:
    """Write and validate a plan, and measure the cost."""
    client.offline()
    import htcondor2.dags  # noqa: F401  do not measure its import

    before = _memory()
    begin = time.monotonic()
    plan.check()
    file = write.write(plan)
    write.validate(plan)
    seconds = time.monotonic() - begin
    count = sum(1 for path in plan.folder.rglob("*") if path.is_file())
    return Written(len(plan.jobs), seconds, _memory() - before, file.stat().st_size, count)


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def recording(recorders: int, runs: int, frames: int = 2420) -> Dict[str, float]:
    """Compute the cost of recorders.

    Args:
        recorders: number of jobs.
        runs: runs per recorder.
        frames: frames per run.
    """
    work = workload.flights(runs, frames, workload.RECORDED)
    return {**_load(recorders, work), "frames": recorders * runs * frames}


def training(models: int, network: str, dataset_frames: int, episodes: int, hosts: int) -> Dict[str, float]:
    """Compute the cost of trainings of a network.

    Args:
        models: number of jobs.
        network: name of the network in the registry.
        dataset_frames: frames of the dataset.
        episodes: episodes per training.
        hosts: number of hosts on which the jobs run; packs are made once per host.
    """
    flags = {"batch_size": 64, "max_episodes": episodes}
    work = workload.training(network, flags, dataset_frames, dataset_frames // 20, dataset_frames // 20)
    side = workload.rate_of(network).side
    figures = _load(models, work)
    figures["dataset_gb"] = dataset_frames * workload.USUAL.megabytes / 1000
    figures["packs_gb_a_host"] = dataset_frames * 3 * side**2 / 1e9
    figures["read_gb_shared"] = figures["dataset_gb"] + hosts * figures["packs_gb_a_host"]
    figures["read_gb_transferred"] = models * figures["dataset_gb"]
    figures["left_gb"] = models * workload.rate_of(network).parameters * 8 / 1000
    return figures


def _load(jobs: int, work: Work) -> Dict[str, float]:
    """Cost of equal jobs: core-hours, disk, files, and events in the node log."""
    return {
        "jobs": jobs,
        "seconds_a_job": work.seconds,
        "core_hours": jobs * 2 * work.seconds / 3600,
        "left_gb": jobs * work.disk / 1000,
        "files": jobs * work.files,
        "dag_files": 4 * jobs,
        "log_events": EVENTS_A_JOB * jobs,
    }


def table() -> List[str]:
    """The computed table of docs/scaling.md."""
    rows = ["| what | 1,000 recorders of 10 runs | 300 trainings of tiny_net | 300 trainings of alex_net |"]
    rows.append("|---|---|---|---|")
    recorders = recording(1000, 10)
    tiny = training(300, "tiny_net", 200_000, 100, 50)
    alex = training(300, "alex_net", 200_000, 100, 50)
    for quantity, key, form in (
        ("minutes a job", "seconds_a_job", "{:,.0f}"),
        ("core-hours, two cores a job", "core_hours", "{:,.0f}"),
        ("frames recorded", "frames", "{:,.0f}"),
        ("left on disk, GB", "left_gb", "{:,.0f}"),
        ("files left", "files", "{:,.0f}"),
        ("dataset, GB", "dataset_gb", "{:,.1f}"),
        ("packs a host, GB", "packs_gb_a_host", "{:,.1f}"),
        ("read from a shared file system by 50 hosts, GB", "read_gb_shared", "{:,.0f}"),
        ("sent with file transfer, GB", "read_gb_transferred", "{:,.0f}"),
        ("files of the DAG: spec, output, errors, state", "dag_files", "{:,.0f}"),
        ("events in the nodes' log", "log_events", "{:,.0f}"),
    ):
        cells = []
        for column in (recorders, tiny, alex):
            value = column.get(key)
            value = value / 60 if value is not None and key == "seconds_a_job" else value
            cells.append("" if value is None else form.format(value))
        rows.append(f"| {quantity} | {' | '.join(cells)} |")
    return rows


if __name__ == "__main__":
    print("\n".join(table()))
