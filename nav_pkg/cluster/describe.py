"""HTCondor submit descriptions, one for each kind of job.

The only user text in them are host names and paths, which `DagPlan.check` has checked. The command line of a
job is in its spec, a JSON file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Mapping, Sequence

from nav_pkg.cluster.plan import LOCAL_KINDS, DagNode, DagPlan
from nav_pkg.core import EXIT_CHECKPOINTED, EXIT_LAST, DataError, SimulatorError, UsageError

WRONG = (UsageError.code, DataError.code)
"""Exit codes that a retry would only repeat: HTCondor holds the job at once."""

OTHER_HOST_SECONDS = 120
"""Seconds that a job whose simulator failed waits for another host before it may use the same one."""

RELEASED = (6, 7, 8, 12, 13, 14, 34, 47)
"""Hold codes of transient failures: no start, no output or input file, failed transfers, no folder (a file
server did not answer), too little memory (the job then requests twice as much), wall time (it resumes)."""

MOST_HOLDS = 5
VACATE_SECONDS = 120
"""Seconds that a job has to save its state when it is evicted."""

LIMIT = "nav_pkg_simulators"
"""The name of the concurrency limit of jobs that start a simulator (`NAV_PKG_SIMULATORS_LIMIT`)."""


def requirements(plan: DagPlan) -> str:
    """The requirements expression for the host of a job."""
    parts = []
    if plan.hosts.greenlist:
        parts.append(_named(plan.hosts.greenlist))
    if plan.hosts.blacklist:
        parts.append(f"!{_named(plan.hosts.blacklist)}")
    failed = f"MY.ExitCode =?= {SimulatorError.code} && MY.LastRemoteHost isnt undefined"
    elsewhere = 'TARGET.Machine isnt split(MY.LastRemoteHost, "@")[1]'
    waited = f"time() - MY.EnteredCurrentStatus > {OTHER_HOST_SECONDS}"
    parts.append(f"(!({failed}) || {elsewhere} || {waited})")
    return " && ".join(parts)


def _named(hosts: Sequence[str]) -> str:
    """An expression that is true on the given hosts.

    A host is given by its full name or the part before the first dot; `*` matches any text.
    """
    pattern = "|".join(host.replace(".", "[.]").replace("*", ".*") for host in hosts)
    names = ("TARGET.Machine", 'split(TARGET.Machine, ".")[0]')
    return "(" + " || ".join(f'regexp("^({pattern})$", {name}, "i")' for name in names) + ")"


def description(plan: DagPlan, jobs: Sequence[DagNode], retry: bool = True) -> Dict[str, str]:
    """The submit description of jobs of one kind; `variables` gives the values that differ between jobs.

    Args:
        plan: the plan that contains the jobs.
        jobs: jobs of one kind.
        retry: whether failed jobs are tried again.
    """
    first = jobs[0]
    local = plan.hosts.file_transfer and first.kind in LOCAL_KINDS
    transferred = plan.transferred(first)
    commands: Dict[str, str] = {
        "universe": "local" if local else "container" if plan.hosts.image else "vanilla",
        "executable": str(plan.root / "setup" / "condor_job"),
        "arguments": "$(nav_name).json" if transferred else "jobs/$(nav_name).json",
        "initialdir": str(plan.folder),
        "output": "out/$(nav_name).out",
        "error": "out/$(nav_name).err",
        "notification": "never",
        "getenv": "HOME",
        "request_cpus": "$(cpus)",
        "request_memory": "ifThenElse(LastHoldReasonCode =?= 34, 2 * $(memory), $(memory))",
        "request_disk": "$(disk)MB",
    }
    if plan.hosts.image and not local:
        commands["container_image"] = plan.hosts.image
    if any(job.resources.gpus for job in jobs):
        commands["request_gpus"] = "$(gpus)"
        if any(job.resources.gpu_memory for job in jobs):
            commands["gpus_minimum_memory"] = "$(gpu_memory)"
    if not local:
        commands["requirements"] = requirements(plan)
        commands["rank"] = "TARGET.Mips ?: 0" if first.simulator else "TARGET.KFlops ?: 0"
        commands.update(_transfer(plan, transferred))
    if any(job.wall_time for job in jobs):
        commands["allowed_execute_duration"] = "$(duration)"
    if first.simulator:
        commands["concurrency_limits"] = LIMIT
    if plan.hosts.nice:
        commands["nice_user"] = "true"
    commands.update(_policy(first, retry, transferred, local))
    commands["My.NavPkgTag"] = f'"{plan.tag}"'
    return commands


def _transfer(plan: DagPlan, transferred: bool) -> Dict[str, str]:
    if not transferred:
        return {"should_transfer_files": "NO", "transfer_executable": "false"}
    return {
        "should_transfer_files": "YES",
        "when_to_transfer_output": "ON_EXIT_OR_EVICT",
        "transfer_executable": "true",
        # a host with the checkout at the same path need not set up the transferred code
        "environment": f'"NAV_PKG_ROOT={plan.root}"',
        "transfer_input_files": "jobs/$(nav_name).json$(more_files)",
        "transfer_output_files": "$(nav_name).tar",
        "transfer_checkpoint_files": "$(nav_name).tar",
        "want_io_proxy": "true",  # uplink.py sends the state to the submitting host
        "transfer_output_remaps": '"$(nav_name).tar = transfer/$(nav_name).tar"',
    }


def _policy(job: DagNode, retry: bool, transferred: bool, local: bool) -> Dict[str, str]:
    """The policy for jobs that ended, were held or are evicted.

    A job that saved a checkpoint (exit code 85) returns to the queue without limit, and its wall time starts
    again. HTCondor counts this exit as a completion, like a failure. Therefore the wrapper counts failures,
    and its exit code tells when no retry is left. Failures before the wrapper starts, or that kill it, are
    limited by the number of completions: three times the allowed tries, plus one for each wall time since
    submission. With file transfer the saved files must move with the job, which `checkpoint_exit_code` does.
    (On a shared file system it would restart the job in place, although other jobs wait.)
    """
    most = job.retries if retry else 0
    if transferred:
        again = {"max_retries": str(most), "checkpoint_exit_code": str(EXIT_CHECKPOINTED)}
    else:
        done = "(ExitBySignal is false && ExitCode == 0)"
        failed = f"(ExitBySignal || ExitCode != {EXIT_CHECKPOINTED})"
        # light jobs run in the local universe, which does not count completions
        count = "NumJobStarts" if local else "NumJobCompletions"
        slices = "(time() - QDate) / (0.8 * (AllowedExecuteDuration ?: 1.0E9))"
        last = f"(ExitBySignal is false && ExitCode > {EXIT_LAST})"
        again = {"on_exit_remove": f"{done} || {last} || ({failed} && {count} > {3 * (most + 1)} + {slices})"}
    wrong = " || ".join(f"ExitCode == {code}" for code in WRONG)
    codes = ", ".join(map(str, RELEASED))
    return {
        **again,
        "on_exit_hold": f"ExitBySignal is false && ({wrong})",
        "on_exit_hold_reason": 'strcat("exit code ", ExitCode, ": wrong use or bad data; see ", Err)',
        "on_exit_hold_subcode": "ExitCode",
        "periodic_release": f"member(HoldReasonCode, {{{codes}}}) && (NumHolds ?: 0) <= {MOST_HOLDS}",
        "kill_sig": "SIGTERM",
        "want_graceful_removal": "true",
        "job_max_vacate_time": str(VACATE_SECONDS),
    }


def variables(plan: DagPlan, job: DagNode) -> Dict[str, str]:
    """The values of a job's VARS line, for the variables of its submit description."""
    asks = job.resources
    values = {
        "nav_name": job.name,
        "cpus": str(asks.cpus),
        "memory": str(asks.memory),
        "disk": str(asks.disk),
        "duration": str(max(1, int(job.wall_time))) if job.wall_time else "undefined",
    }
    if asks.gpus:
        values.update(gpus=str(asks.gpus), gpu_memory=str(asks.gpu_memory))
    if plan.transferred(job):
        values["more_files"] = "".join(f", {path}" for path in plan.transfer_in(job))
    return values


def text(commands: Mapping[str, str], kind: str, plan: DagPlan) -> str:
    """The text of a submit description file, with a comment at its head."""
    head = f"# {kind} jobs of {plan.command} -t {plan.tag}; what differs from job to job is in the DAG file\n"
    return head + "".join(f"{key} = {value}\n" for key, value in commands.items()) + "queue\n"


def paths_of(plan: DagPlan) -> Dict[str, Path]:
    """The subfolders of the DAG's folder, by name."""
    return {name: plan.folder / name for name in ("jobs", "out", "state", "transfer")}
