"""From a plan to a DAG in the queue: files written, checked, handed to HTCondor, continued or begun anew.

`htcondor2` is imported where it is used: it reads its configuration (CONDOR_CONFIG) when it is imported,
and plans are made and tested without it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from nav_pkg.cluster import describe
from nav_pkg.cluster.plan import LOCAL_KINDS, Job, Plan
from nav_pkg.cluster.status import has_ended, read_nodes
from nav_pkg.core import DataError, SimulatorError, UsageError
from nav_pkg.data import files

PLAN_FILE = "plan.json"
SUBMITTED_FILE = "submitted.json"
STATUS_FILE = "nodes.status"
NODE_LOG = "nodes.log"

EXPRESSIONS = ("requirements", "rank", "on_exit_remove", "on_exit_hold", "on_exit_hold_reason")
EXPRESSIONS += ("periodic_release", "request_memory")
"""What of a submit description is an expression."""

OURS = frozenset(
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
"""Files that tell a job's log or recording from other folders."""

_REMOVED = 3
"""JobStatus of a job that is being removed: it may save what it has."""
_STALE = (".condor.sub", ".lib.out", ".lib.err", ".dagman.log", ".lock")

DAGMAN = {
    "DAGMAN_DEFAULT_NODE_LOG": NODE_LOG,
    "DAGMAN_MAX_SUBMITS_PER_INTERVAL": "100",
    "DAGMAN_USE_STRICT": "0",
}
"""DAGMan's settings for our DAGs: all events in one log, beside the DAG file, also below /tmp."""


def write(plan: Plan, retry: bool = True) -> Path:
    """Write all files of a plan: submit descriptions, DAG file, one spec a job, and plan.json last.

    Args:
        plan: a checked one.
        retry: try again what failed.

    Returns:
        The DAG file.

    Raises:
        DataError: the disk does not take them.
    """
    try:
        for folder in describe.paths_of(plan).values():
            folder.mkdir(parents=True, exist_ok=True)
        for job in plan.jobs:
            text = json.dumps(plan.spec(job), ensure_ascii=True, sort_keys=True)
            _write(plan.folder / "jobs" / f"{job.name}.json", text + "\n")
        _write_dag(plan, retry)
    except OSError as error:
        raise files.disk_error(plan.folder, error, "--summary_dir") from error
    record = {"command": plan.command, "tag": plan.tag, "configuration": plan.configuration}
    record.update(summary_dir=str(plan.summary_dir), **_places(plan))
    record["jobs"] = [
        {
            "name": job.name,
            "kind": job.kind,
            "seconds": job.seconds,
            "total": job.total,
            "unit": job.unit,
            "outputs": job.outputs,
        }
        for job in plan.jobs
    ]
    files.atomic_write(plan.folder / PLAN_FILE, files.to_json(record), "--summary_dir")
    return plan.file


def _places(plan: Plan) -> Dict[str, Any]:
    """Where the jobs find their files, which has to be the same for a DAG to be continued."""
    return {"data_root": str(plan.data_root), "file_transfer": plan.hosts.file_transfer}


def _write(path: Path, text: str) -> None:
    """Write a file as a whole, unflushed: of ten thousand, plan.json alone, written last, counts."""
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def _write_dag(plan: Plan, retry: bool) -> None:
    from htcondor2 import Submit, dags

    layers = plan.layers()
    dag = dags.DAG(
        dagman_config=_settings(plan),
        node_status_file=dags.NodeStatusFile(Path(STATUS_FILE), 5, True),
    )
    made: Dict[str, Any] = {}
    place: Dict[str, Tuple[str, int]] = {}
    for name, jobs in layers.items():
        made[name] = dag.layer(
            name=name,
            submit_description=Submit(describe.description(plan, jobs, retry)),
            vars=[describe.variables(plan, job) for job in jobs],
            retries=1 if retry else None,
            retry_unless_exit=UsageError.code if retry else None,
            post=_unpack(plan, jobs),
        )
        place.update((job.name, (name, i)) for i, job in enumerate(jobs))
    for (parent, child), pairs in _edges(plan, place).items():
        made[child].add_parents(made[parent], edge=_edge(pairs))
    names = {(layer, i): job.name for layer, jobs in layers.items() for i, job in enumerate(jobs)}
    dags.write_dag(dag, plan.folder, plan.file.name, _formatter(names))
    for name in layers:  # again, with a head that says what it is
        _write(plan.folder / f"{name}.sub", describe.text(made[name].submit_description, name, plan))


def _settings(plan: Plan) -> Dict[str, str]:
    more = {"DAGMAN_MAX_JOBS_SUBMITTED": str(plan.hosts.max_jobs)} if plan.hosts.max_jobs else {}
    return {**DAGMAN, **more}


def _unpack(plan: Plan, jobs: Sequence[Job]) -> Optional[Any]:
    """What brings a job's files to their places where HTCondor has brought them to this host."""
    if not plan.transferred(jobs[0]):
        return None
    from htcondor2 import dags

    script = str(plan.root / "setup" / "condor_unpack")
    return dags.Script(script, [str(plan.folder), "$JOB", "$RETURN"])


def _edges(
    plan: Plan, place: Mapping[str, Tuple[str, int]]
) -> Dict[Tuple[str, str], Dict[Tuple[int, ...], List[int]]]:
    """Between layers: children (by number) with the same parents (by number) together."""
    found: Dict[Tuple[str, str], Dict[Tuple[int, ...], List[int]]] = {}
    for job in plan.jobs:
        layer, number = place[job.name]
        by_layer: Dict[str, List[int]] = {}
        for parent in job.parents:
            by_layer.setdefault(place[parent][0], []).append(place[parent][1])
        for parent_layer, numbers in by_layer.items():
            pairs = found.setdefault((parent_layer, layer), {})
            pairs.setdefault(tuple(sorted(numbers)), []).append(number)
    return found


def _edge(pairs: Mapping[Tuple[int, ...], List[int]]) -> Any:
    from htcondor2 import dags

    class Edge(dags.BaseEdge):
        """Parents and children as the plan has them."""

        def get_edges(self, parent: Any, child: Any, join_factory: Any) -> Iterable[Any]:
            return [(parents, tuple(children)) for parents, children in pairs.items()]

    return Edge()


def _formatter(names: Mapping[Tuple[str, int], str]) -> Any:
    from htcondor2 import dags

    back = {name: place for place, name in names.items()}

    class Formatter(dags.NodeNameFormatter):
        """Nodes are called as their jobs."""

        def generate(self, layer_name: str, node_index: int) -> str:
            return names[layer_name, node_index]

        def parse(self, node_name: str) -> Tuple[str, int]:
            return back[node_name]

    return Formatter()


# Checking what was written.


def validate(plan: Plan) -> None:
    """Read the written files back and hold them against the plan; no pool is needed.

    Raises:
        DataError: a file is not what was to be written, or HTCondor would not take it.
    """
    import classad2
    from htcondor2 import Submit

    dag = plan.file.read_text(encoding="utf-8")
    nodes = re.findall(r"^JOB (\S+) (\S+)$", dag, re.MULTILINE)
    if sorted(name for name, _ in nodes) != sorted(job.name for job in plan.jobs):
        raise DataError(f"{plan.file}: does not hold the {len(plan.jobs)} jobs of the plan; write it again")
    for name in plan.layers():
        file = plan.folder / f"{name}.sub"
        try:
            made = Submit(file.read_text(encoding="utf-8"))
            for key in EXPRESSIONS:
                if key in made:
                    classad2.ExprTree(re.sub(r"\$\(\w+\)", "0", made[key]))
        except Exception as error:  # htcondor2 has kinds of its own for each
            raise DataError(f"{file}: HTCondor does not take it: {error}") from error
    for job in plan.jobs:
        file = plan.folder / "jobs" / f"{job.name}.json"
        if files.read_json(file)["command"] != list(job.command):
            raise DataError(f"{file}: is not what was to be written; write it again")


# Beginning, continuing, beginning anew.


def state_of(plan: Plan) -> str:
    """What a tag's folder holds: `nothing`, the `same` DAG, `other` things, or a `done` DAG.

    A done DAG some of whose jobs are to be done again (`changed`) is the same one, not yet done.

    Raises:
        DataError: plan.json is damaged.
    """
    file = plan.folder / PLAN_FILE
    if not file.exists():
        return "other" if any(path.exists() for path in _outputs(plan)) else "nothing"
    before = files.read_json(file)
    same = before.get("command") == plan.command
    same = same and all(before.get(name) == value for name, value in _places(plan).items())
    if not same or _by_flag(before.get("configuration")) != _configuration(plan):
        return "other"
    return "done" if is_done(plan.folder) and not changed(plan) else "same"


def changed(plan: Plan) -> List[str]:
    """The jobs whose command is another than at the last submission, and those that come after them.

    Only of the kinds that make all they leave anew each time: others go on with what they have made, and
    refuse other flags themselves.
    """
    found: Dict[str, None] = {}
    for job in plan.jobs:
        spec = plan.folder / "jobs" / f"{job.name}.json"
        anew = job.kind in LOCAL_KINDS and spec.exists()
        other = anew and files.read_json(spec)["command"] != [*job.command]
        if other or any(parent in found for parent in job.parents):
            found[job.name] = None
    return list(found)


def _outputs(plan: Plan) -> Iterator[Path]:
    roots = {"log": plan.summary_dir, "data": plan.data_root}
    for place in (place for job in plan.jobs for place in job.outputs):
        kind, _, name = place.partition("/")
        yield roots[kind] / name


def _outputs_before(plan: Plan) -> Iterator[Path]:
    """What the jobs of the tag's last DAG wrote, of which there may be more; not in another data root."""
    file = plan.folder / PLAN_FILE
    before = files.read_json(file) if file.exists() else {}
    roots = {"log": plan.summary_dir}
    if before.get("data_root") == str(plan.data_root):
        roots["data"] = plan.data_root
    for place in (place for job in before.get("jobs") or [] for place in job.get("outputs") or []):
        kind, _, name = place.partition("/")
        if kind in roots and name and ".." not in Path(name).parts and not Path(name).is_absolute():
            yield roots[kind] / name


def differences(plan: Plan) -> str:
    """How a tag's DAG differs from the plan, in a few words; empty when it has none."""
    file = plan.folder / PLAN_FILE
    if not file.exists():
        return ""
    before = files.read_json(file)
    if before.get("command") != plan.command:
        return f"{before.get('command')}, not {plan.command}"
    for name, value in _places(plan).items():
        if before.get(name) != value:
            return f"--{name} {before.get(name)}, not {value}"
    old, new = _by_flag(before.get("configuration")), _configuration(plan)
    if old == new:
        return ""
    where, one, other = files.first_difference(old, new)
    return f"{where[where.find('.-') + 1 :]} {one}, not {other}"  # a flag's name says whose it is


def _configuration(plan: Plan) -> Any:
    return _by_flag(json.loads(files.to_json(dict(plan.configuration))))


def _by_flag(value: Any) -> Any:
    """Command lines in a configuration as flags and their values; anything else as it is."""
    if isinstance(value, dict):
        return {key: _by_flag(item) for key, item in value.items()}
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        return value
    found: Dict[str, List[str]] = {}
    name = ""
    for word in value:
        if re.match("--?[A-Za-z]", word):
            name, equals, rest = word.partition("=")
            found[name] = [rest] if equals else []
        else:
            found.setdefault(name, []).append(word)
    return {name: " ".join(words) or True for name, words in found.items()}


def is_done(folder: Path) -> bool:
    """Whether a DAG has come to its end and all of its nodes are done."""
    nodes = read_nodes(folder / STATUS_FILE)
    return bool(nodes) and all(node["status"] == "done" for node in nodes.values())


def begin_anew(plan: Plan) -> None:
    """Remove what a tag's DAG made: its files, its jobs' logs and datasets.

    Raises:
        UsageError: another wrapper's, or something that is no DAG's, stands there.
    """
    if not (plan.folder / PLAN_FILE).exists() and plan.folder.exists() and any(plan.folder.iterdir()):
        raise UsageError(f"--owr: {plan.folder} was not made by {plan.command}; remove it yourself")
    every = dict.fromkeys([*_outputs(plan), *_outputs_before(plan)])
    paths = [path for path in every if path.exists() or path.is_symlink()]
    for path in paths:
        if path.is_symlink() or not path.is_dir() or not _ours(path):
            raise UsageError(f"--owr: {path} holds something else than what a job writes; remove it yourself")
        for inner in path.glob("*/**/dataset.json") if plan.data_root in path.parents else ():
            if not any(other in inner.parents for other in paths if other != path):
                raise UsageError(f"--owr: {inner.parent} lies in {path}, which would go: move or remove it")
    for path in (plan.folder, *paths):
        if path.exists():
            files.remove_tree(path)


def _ours(path: Path) -> bool:
    """Whether a folder is one that a job of ours made: a log, a recording, or empty."""
    entries = [entry.name for entry in path.iterdir()]
    return not entries or bool({*entries} & OURS)


def existing(plan: Plan) -> Path:
    """The first folder of a plan's jobs that is there already; the tag's when there is none."""
    return next((path for path in _outputs(plan) if path.exists()), plan.summary_dir / plan.tag)


@contextlib.contextmanager
def locked(plan: Plan) -> Iterator[None]:
    """Hold a tag's folder against a second submission at the same moment.

    Raises:
        UsageError: another process writes or submits the same tag.
    """
    try:
        lock = files.lock_beside(plan.folder)
    except OSError as error:
        raise files.disk_error(plan.folder, error, "--summary_dir") from error
    if lock is None:
        raise UsageError(f"-t {plan.tag}: is being submitted by another process; wait, or choose another -t")
    try:
        yield
    finally:
        os.close(lock)


# The queue.


def in_queue(folder: Path) -> List[int]:
    """The cluster ids of a DAG's jobs that are in the queue, DAGMan's first; not of those being removed.

    Raises:
        SimulatorError: no schedd answers.
        UsageError: it was submitted to another pool, where it may be running.
    """
    import classad2
    import htcondor2

    record = folder / SUBMITTED_FILE
    last = files.read_json(record) if record.exists() else {}
    pool = os.environ.get("CONDOR_CONFIG", "")
    if last.get("pool", pool) != pool and not has_ended(folder):
        raise UsageError(
            f"{folder}: this DAG was submitted to the pool of {last['pool']}, and may be running there: set "
            f"CONDOR_CONFIG to it and use condor_rm {last.get('cluster')}, or choose another -t"
        )
    here = f"Iwd == {classad2.quote(str(folder))} && JobStatus != {_REMOVED}"
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
    record = {"cluster": cluster, "time": time.time(), "rescue": len(rescues(plan))}
    record["pool"] = os.environ.get("CONDOR_CONFIG", "")
    files.atomic_write(plan.folder / SUBMITTED_FILE, files.to_json(record), "--summary_dir")
    return cluster


def rescues(plan: Plan) -> List[Path]:
    """The rescue files of a DAG, the oldest first."""
    return sorted(plan.folder.glob(f"{plan.file.name}.rescue*"))


def make_rescue(plan: Plan) -> Optional[Path]:
    """Write a rescue file where DAGMan's own would not do.

    That is where a DAG was cut off without one (its host died): its nodes' status says what is done; and
    where jobs are to be done again (`changed`).

    Returns:
        The file; None where the last one will do, or nothing is done yet.
    """
    record = plan.folder / SUBMITTED_FILE
    taken = int(files.read_json(record).get("rescue", 0)) if record.exists() else 0
    there, again = rescues(plan), changed(plan)
    written = len(there) > taken  # by the last DAGMan
    if written:
        done = re.findall(r"^DONE (\S+)", there[-1].read_text(encoding="utf-8"), re.MULTILINE)
    else:
        nodes = read_nodes(plan.folder / STATUS_FILE)
        done = [name for name, node in nodes.items() if node["status"] == "done"]
    if not done or (written and not again):
        return None
    file = plan.folder / f"{plan.file.name}.rescue{len(there) + 1:03d}"
    lines = [f"DONE {name}\n" for name in done if name not in again]
    files.atomic_write(file, "".join(lines), "--summary_dir")
    if again:  # what it says of them no longer holds
        (plan.folder / STATUS_FILE).unlink(missing_ok=True)
    return file
