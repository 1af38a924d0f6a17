"""Resource requests of a DAG's jobs, and their totals, from the estimated workloads."""

from __future__ import annotations

import math
from typing import Dict, List, Mapping, Sequence

from nav_pkg.cluster.plan import DagNode, DagPlan, Resources
from nav_pkg.cluster.status import duration
from nav_pkg.core import UsageError
from nav_pkg.studies.workload import Work

SLACK, LEAST_WALL = 3.0, 1800.0
"""The default wall time is SLACK times the expected seconds, and at least LEAST_WALL seconds."""


def wall_time(work: Work) -> float:
    """The default wall time in seconds: a multiple of the expected time, rounded up to whole minutes."""
    return 60.0 * math.ceil(max(LEAST_WALL, SLACK * work.seconds) / 60)


def margin(wall: float) -> float:
    """Seconds before the end of the wall time at which a job must save its state."""
    return min(300.0, 0.1 * wall)


def check_wall_time(flag: str, wall: float, work: Work, job: str) -> None:
    """Reject a wall time in which a job cannot make progress.

    Raises:
        UsageError: the wall time ends before the first checkpoint.
    """
    if wall and wall - margin(wall) < work.interval:
        need = math.ceil(work.interval / 0.9 if work.interval < 2700 else work.interval + 300)
        raise UsageError(
            f"{flag} {wall:g} is shorter than the time to the first checkpoint of {job} (expected after "
            f"{work.interval:.0f} s): it would begin again and again; give {need} or more, or leave it out"
        )


def resources(
    work: Work,
    cpus: int,
    rammem: float = 0.0,
    diskmem: float = 0.0,
    gpus: int = 0,
    gpu_memory: int = 0,
) -> Resources:
    """The resource request of a job: the user's values (GB), else the estimate plus a quarter."""
    memory = round(1000 * rammem) if rammem else 100 * math.ceil(1.25 * work.memory / 100)
    disk = round(1000 * diskmem) if diskmem else 100 * math.ceil(1.25 * work.disk / 100)
    return Resources(cpus, memory, disk, gpus, gpu_memory if gpus else 0)


def memory_warning(work: Work, rammem: float, job: str) -> str:
    """A warning if the requested memory is below the expected use; else empty."""
    if not rammem or 1000 * rammem >= work.memory:
        return ""
    return (
        f"--rammem {rammem:g} is less than {job} is expected to use ({work.memory / 1000:.1f} GB): it may "
        "be held for it, and is then released with twice as much"
    )


def table(plan: DagPlan, works: Mapping[str, Work]) -> List[str]:
    """The estimate of a plan as lines of text.

    Args:
        plan: the plan.
        works: the estimates by name of the job.
    """
    lines = [
        f"{plan.command} -t {plan.tag}: {len(plan.jobs)} jobs",
        f"{'jobs':24} {'cores':>5} {'memory':>9} {'disk':>9} {'GPUs':>5} {'expected':>9} {'wall time':>9}",
    ]
    for name, jobs in plan.layers().items():
        job = max(jobs, key=lambda candidate: works[candidate.name].seconds)
        asks = job.resources
        lines.append(
            f"{f'{len(jobs)} x {name}':24} {asks.cpus:5} {asks.memory / 1000:6.1f} GB "
            f"{asks.disk / 1000:6.1f} GB "
            f"{asks.gpus:5} {duration(works[job.name].seconds):>9} "
            f"{duration(job.wall_time) if job.wall_time else 'none':>9}"
        )
    return [
        *lines,
        *summary(plan, works),
        "estimated with the rates of docs/performance.md, measured on two cores without a GPU",
    ]


def summary(plan: DagPlan, works: Mapping[str, Work]) -> List[str]:
    """The totals over all jobs of a plan, as lines of text."""
    total, chain = totals(plan.jobs, works), longest(plan.jobs, works)
    return [
        f"core-hours: {total['core_hours']:.1f} expected, "
        f"at most {total['most_core_hours']:.1f} per try by wall time",
        f"the longest chain of jobs: {duration(chain)}; "
        f"with 2 cores in all: {duration(max(chain, total['core_hours'] * 1800))}",
        f"all at once: memory {total['memory'] / 1000:.1f} GB, disk {total['disk'] / 1000:.1f} GB; "
        f"left on disk: {total['left'] / 1000:.1f} GB in {total['files']:,.0f} files",
    ]


def totals(jobs: Sequence[DagNode], works: Mapping[str, Work]) -> Dict[str, float]:
    """Sums over all jobs: core-hours, requested memory and disk (MB), MB and number of files left."""
    return {
        "core_hours": sum(job.resources.cpus * works[job.name].seconds for job in jobs) / 3600,
        "most_core_hours": sum(job.resources.cpus * job.wall_time for job in jobs) / 3600,
        "memory": sum(job.resources.memory for job in jobs),
        "disk": sum(job.resources.disk for job in jobs),
        "left": sum(works[job.name].disk for job in jobs),
        "files": sum(works[job.name].files for job in jobs),
    }


def longest(jobs: Sequence[DagNode], works: Mapping[str, Work]) -> float:
    """Expected seconds of the longest chain of jobs, on a pool with enough machines for all jobs."""
    ends: Dict[str, float] = {}
    for job in jobs:
        ends[job.name] = works[job.name].seconds + max((ends[name] for name in job.parents), default=0.0)
    return max(ends.values(), default=0.0)
