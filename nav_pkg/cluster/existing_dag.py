"""State of a tag's existing folder: empty, the same DAG to resume, or something else."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

from nav_pkg import schemas
from nav_pkg.cluster.plan import LOCAL_KINDS, PLAN_FILE, STATUS_FILE, SUBMITTED_FILE, DagPlan
from nav_pkg.cluster.status import read_nodes
from nav_pkg.config.parser import by_flag
from nav_pkg.core import UsageError
from nav_pkg.data import files

JOB_OUTPUTS = frozenset(
    {
        "run_conf.json",
        "config.json",
        "my-model",
        "evaluation_conf.json",
        "dagger.json",
        "dataset.json",
        "round_1",
    }
)
"""File names by which a log or recording of a job is recognised."""


def state_of(plan: DagPlan) -> str:
    """The state of a tag's folder: `nothing`, the `same` DAG, `other` content, or a `done` DAG.

    A finished DAG with jobs that must run again (`changed`) counts as `same`.

    Raises:
        DataError: plan.json is damaged.
    """
    file = plan.folder / PLAN_FILE
    if not file.exists():
        return "other" if any(path.exists() for path in _outputs(plan)) else "nothing"
    before = files.read_json(file, schemas.PLAN)
    same = before.get("command") == plan.command
    same = same and all(before.get(name) == value for name, value in plan.places().items())
    if not same or _by_flag(before.get("configuration")) != _configuration(plan):
        return "other"
    return "done" if is_done(plan.folder) and not changed(plan) else "same"


def changed(plan: DagPlan) -> List[str]:
    """The jobs whose command has changed since the last submission, and all their descendants.

    Only kinds in LOCAL_KINDS are compared, because they rewrite all their output. Jobs of other kinds resume
    from their output and reject other flags themselves.
    """
    names: Dict[str, None] = {}
    for job in plan.jobs:
        spec = plan.folder / "jobs" / f"{job.name}.json"
        anew = job.kind in LOCAL_KINDS and spec.exists()
        other = anew and files.read_json(spec, schemas.SPEC)["command"] != [*job.command]
        if other or any(parent in names for parent in job.parents):
            names[job.name] = None
    return list(names)


def _outputs(plan: DagPlan) -> Iterator[Path]:
    roots = {"log": plan.summary_dir, "data": plan.data_root}
    for output in (output for job in plan.jobs for output in job.outputs):
        kind, _, name = output.partition("/")
        yield roots[kind] / name


def _outputs_before(plan: DagPlan) -> Iterator[Path]:
    """The output folders of the tag's last submitted DAG, except those in another data root.

    That DAG may have had more jobs than the plan.
    """
    file = plan.folder / PLAN_FILE
    submitted = file.exists() and (plan.folder / SUBMITTED_FILE).exists()
    before = files.read_json(file, schemas.PLAN) if submitted else {}
    roots = {"log": plan.summary_dir}
    if before.get("data_root") == str(plan.data_root):
        roots["data"] = plan.data_root
    for output in (output for job in before.get("jobs") or [] for output in job.get("outputs") or []):
        kind, _, name = output.partition("/")
        if kind in roots and name and ".." not in Path(name).parts and not Path(name).is_absolute():
            yield roots[kind] / name


def differences(plan: DagPlan) -> str:
    """The first difference of the tag's DAG from the plan, as text; empty without DAG or difference."""
    file = plan.folder / PLAN_FILE
    if not file.exists():
        return ""
    before = files.read_json(file, schemas.PLAN)
    if before.get("command") != plan.command:
        return f"{before.get('command')}, not {plan.command}"
    for name, value in plan.places().items():
        if before.get(name) != value:
            return f"--{name} {before.get(name)}, now {value}"
    old, new = _by_flag(before.get("configuration")), _configuration(plan)
    if old == new:
        return ""
    where, before_value, now_value = files.first_difference(old, new)
    return f"{where[where.find('.-') + 1 :]} {before_value}, now {now_value}"  # the flag is enough


def _configuration(plan: DagPlan) -> Any:
    return _by_flag(json.loads(files.to_json(dict(plan.configuration))))


def _by_flag(value: Any) -> Any:
    """Convert the command lines in a configuration to flags with values; leave other values unchanged."""
    if isinstance(value, dict):
        return {key: _by_flag(item) for key, item in value.items()}
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        return value
    return {name: " ".join(words) or True for name, words in by_flag(value).items()}


def is_done(folder: Path) -> bool:
    """Whether all nodes of a DAG are done."""
    nodes = read_nodes(folder / STATUS_FILE)
    return bool(nodes) and all(node["status"] == "done" for node in nodes.values())


def start_over(plan: DagPlan) -> None:
    """Delete the outputs of the tag's DAG and the files of the DAG itself.

    If the DAG was never submitted, no output is deleted.

    Raises:
        UsageError: a folder contains other files, or another process uses it.
    """
    if not (plan.folder / PLAN_FILE).exists() and plan.folder.exists() and any(plan.folder.iterdir()):
        raise UsageError(f"--owr: {plan.folder} was not made by {plan.command}; remove it yourself")
    paths = [path for path in dict.fromkeys(_outputs_before(plan)) if path.exists() or path.is_symlink()]
    for path in _outputs(plan):
        if path.exists() and path not in paths:
            raise UsageError(
                f"--owr: {path} was not made by a DAG of -t {plan.tag}: move or remove it, or choose "
                "another -t"
            )
    for path in paths:
        if path.is_symlink() or not path.is_dir() or not _made_by_job(path):
            raise UsageError(f"--owr: {path} holds files that no job writes; remove it yourself")
        for inner in _within(plan, path):
            if not any(other in (inner, *inner.parents) for other in paths if path in other.parents):
                raise UsageError(
                    f"--owr would delete {path}, which contains {inner}: move or remove {inner} first"
                )
    with contextlib.ExitStack() as locks:
        for path in paths:
            if plan.summary_dir in path.parents:
                locks.callback(os.close, _lock(path))
        for path in (plan.folder, *paths):
            if path.exists():
                files.remove_tree(path)


def _lock(path: Path) -> int:
    lock = files.lock_folder(path)
    if lock is None:
        raise UsageError(
            f"--owr: {path} is in use by another process; a job that was removed may be saving there: try "
            "again in two minutes"
        )
    return lock


def _within(plan: DagPlan, path: Path) -> Iterator[Path]:
    """Find datasets, logs of trainings and DAGs inside an output folder."""
    if plan.data_root in path.parents:
        yield from (file.parent for file in path.glob("*/**/dataset.json"))
    else:
        yield from (file.parent for file in path.glob("*/**/config.json"))
        yield from (file.parent for file in path.glob(f"**/DAG/{PLAN_FILE}"))


def _made_by_job(path: Path) -> bool:
    """Whether our jobs made a folder: it is a log, a recording, or empty."""
    entries = [entry.name for entry in path.iterdir()]
    return not entries or bool({*entries} & JOB_OUTPUTS)


def existing(plan: DagPlan) -> Path:
    """The first output folder of a plan that already exists; if none does, the tag's folder."""
    return next((path for path in _outputs(plan) if path.exists()), plan.summary_dir / plan.tag)


@contextlib.contextmanager
def locked(plan: DagPlan) -> Iterator[None]:
    """Lock a tag's folder against a concurrent submission.

    Raises:
        UsageError: another process writes or submits the same tag.
    """
    try:
        lock = files.lock_folder(plan.folder)
    except OSError as error:
        raise files.disk_error(plan.folder, error, "--summary_dir") from error
    if lock is None:
        raise UsageError(f"-t {plan.tag}: is being submitted by another process; wait, or choose another -t")
    try:
        yield
    finally:
        os.close(lock)


def rescues(plan: DagPlan) -> List[Path]:
    """The rescue files of a DAG, the oldest first."""
    return sorted(plan.folder.glob(f"{plan.file.name}.rescue*"))


def make_rescue(plan: DagPlan) -> Optional[Path]:
    """Write a rescue file if DAGMan's own rescue file is missing or outdated.

    It is missing if the DAG was interrupted, e.g. its host died: the node status file then lists the finished
    nodes. It is outdated if jobs must run again (`changed`).

    Returns:
        The file; None if DAGMan's last rescue file is valid, or no node is done.
    """
    record = plan.folder / SUBMITTED_FILE
    rescues_before = (files.read_json(record, schemas.SUBMITTED).get("rescue") or 0) if record.exists() else 0
    rescue_files, again = rescues(plan), changed(plan)
    written = len(rescue_files) > rescues_before  # a rescue file of the last DAGMan
    if written:
        done = re.findall(r"^DONE (\S+)", files.read_text(rescue_files[-1]), re.MULTILINE)
    else:
        nodes = read_nodes(plan.folder / STATUS_FILE)
        done = [name for name, node in nodes.items() if node["status"] == "done"]
    if not done or (written and not again):
        return None
    file = plan.folder / f"{plan.file.name}.rescue{len(rescue_files) + 1:03d}"
    lines = [f"DONE {name}\n" for name in done if name not in again]
    files.atomic_write(file, "".join(lines), "--summary_dir")
    if again:  # its status of these jobs is outdated
        (plan.folder / STATUS_FILE).unlink(missing_ok=True)
    return file
