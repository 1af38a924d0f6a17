"""Write the HTCondor files of a plan, and validate them.

The functions import `htcondor2` themselves: it reads its configuration (CONDOR_CONFIG) at import, and plans
are made and tested without it.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from nav_pkg import schemas
from nav_pkg.cluster import describe
from nav_pkg.cluster.plan import NODE_LOG, PLAN_FILE, STATUS_FILE, DagNode, DagPlan
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import files

EXPRESSIONS = ("requirements", "rank", "on_exit_remove", "on_exit_hold", "on_exit_hold_reason")
EXPRESSIONS += ("periodic_release", "request_memory")
"""Keys of a submit description whose values are expressions."""

DAGMAN = {
    "DAGMAN_DEFAULT_NODE_LOG": NODE_LOG,
    "DAGMAN_MAX_SUBMITS_PER_INTERVAL": "100",
    "DAGMAN_USE_STRICT": "0",
}
"""DAGMan's settings for our DAGs: one log for all events next to the DAG file, even below /tmp."""


def write(plan: DagPlan, retry: bool = True) -> Path:
    """Write all files of a plan: submit descriptions, DAG file, one spec per job, and plan.json last.

    Args:
        plan: a checked plan.
        retry: whether failed jobs are tried again.

    Returns:
        The DAG file.

    Raises:
        DataError: a file cannot be written.
    """
    try:
        for folder in describe.paths_of(plan).values():
            folder.mkdir(parents=True, exist_ok=True)
        for job in plan.jobs:
            spec = {**plan.spec(job), **({} if retry else {"retries": 0})}
            text = json.dumps(spec, ensure_ascii=True, sort_keys=True)
            _write(plan.folder / "jobs" / f"{job.name}.json", text + "\n")
        _write_dag(plan, retry)
    except OSError as error:
        raise files.disk_error(plan.folder, error, "--summary_dir") from error
    record = {"command": plan.command, "tag": plan.tag, "configuration": plan.configuration}
    record.update(summary_dir=str(plan.summary_dir), **plan.places())
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


def _write(path: Path, text: str) -> None:
    """Write a file atomically without fsync: of up to ten thousand files, only plan.json must be durable."""
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def _write_dag(plan: DagPlan, retry: bool) -> None:
    from htcondor2 import Submit, dags

    layers = plan.layers()
    dag = dags.DAG(
        dagman_config=_settings(plan),
        node_status_file=dags.NodeStatusFile(Path(STATUS_FILE), 5, True),
    )
    dag_layers: Dict[str, Any] = {}
    place: Dict[str, Tuple[str, int]] = {}
    for name, jobs in layers.items():
        dag_layers[name] = dag.layer(
            name=name,
            submit_description=Submit(describe.description(plan, jobs, retry)),
            vars=[describe.variables(plan, job) for job in jobs],
            retries=1 if retry else None,
            retry_unless_exit=UsageError.code if retry else None,
            post=_unpack(plan, jobs),
        )
        place.update((job.name, (name, i)) for i, job in enumerate(jobs))
    for (parent, child), pairs in _edges(plan, place).items():
        dag_layers[child].add_parents(dag_layers[parent], edge=_edge(pairs))
    names = {(layer, i): job.name for layer, jobs in layers.items() for i, job in enumerate(jobs)}
    dags.write_dag(dag, plan.folder, plan.file.name, _formatter(names))
    for name in layers:  # rewrite with a comment at the head
        _write(plan.folder / f"{name}.sub", describe.text(dag_layers[name].submit_description, name, plan))


def _settings(plan: DagPlan) -> Dict[str, str]:
    more = {"DAGMAN_MAX_JOBS_SUBMITTED": str(plan.hosts.max_jobs)} if plan.hosts.max_jobs else {}
    return {**DAGMAN, **more}


def _unpack(plan: DagPlan, jobs: Sequence[DagNode]) -> Optional[Any]:
    """The POST script that unpacks the transferred output of a job; None without file transfer."""
    if not plan.transferred(jobs[0]):
        return None
    from htcondor2 import dags

    script = str(plan.root / "setup" / "condor_unpack")
    return dags.Script(script, [str(plan.folder), "$JOB", "$RETURN"])


def _edges(
    plan: DagPlan, place: Mapping[str, Tuple[str, int]]
) -> Dict[Tuple[str, str], Dict[Tuple[int, ...], List[int]]]:
    """By parent and child layer, the child numbers grouped by equal sets of parent numbers."""
    edges: Dict[Tuple[str, str], Dict[Tuple[int, ...], List[int]]] = {}
    for job in plan.jobs:
        layer, number = place[job.name]
        by_layer: Dict[str, List[int]] = {}
        for parent in job.parents:
            by_layer.setdefault(place[parent][0], []).append(place[parent][1])
        for parent_layer, numbers in by_layer.items():
            pairs = edges.setdefault((parent_layer, layer), {})
            pairs.setdefault(tuple(sorted(numbers)), []).append(number)
    return edges


def _edge(pairs: Mapping[Tuple[int, ...], List[int]]) -> Any:
    from htcondor2 import dags

    class Edge(dags.BaseEdge):
        """Edges between parents and children from the plan."""

        def get_edges(self, parent: Any, child: Any, join_factory: Any) -> Iterable[Any]:
            return [(parents, tuple(children)) for parents, children in pairs.items()]

    return Edge()


def _formatter(names: Mapping[Tuple[str, int], str]) -> Any:
    from htcondor2 import dags

    back = {name: place for place, name in names.items()}

    class Formatter(dags.NodeNameFormatter):
        """Names nodes after their jobs."""

        def generate(self, layer_name: str, node_index: int) -> str:
            return names[layer_name, node_index]

        def parse(self, node_name: str) -> Tuple[str, int]:
            return back[node_name]

    return Formatter()


def validate(plan: DagPlan) -> None:
    """Read the written files and compare them with the plan; needs no pool.

    Raises:
        DataError: a file differs from the plan, or HTCondor would reject it.
    """
    import classad2
    from htcondor2 import Submit

    dag = files.read_text(plan.file)
    nodes = re.findall(r"^JOB (\S+) (\S+)$", dag, re.MULTILINE)
    if sorted(name for name, _ in nodes) != sorted(job.name for job in plan.jobs):
        raise DataError(f"{plan.file}: does not hold the {len(plan.jobs)} jobs of the plan; write it again")
    for name in plan.layers():
        file = plan.folder / f"{name}.sub"
        try:
            description = Submit(files.read_text(file))
            for key in EXPRESSIONS:
                if key in description:
                    classad2.ExprTree(re.sub(r"\$\(\w+\)", "0", description[key]))
        except Exception as error:  # htcondor2 raises several types of its own
            raise DataError(f"{file}: HTCondor rejects it: {error}") from error
    for job in plan.jobs:
        file = plan.folder / "jobs" / f"{job.name}.json"
        if files.read_json(file, schemas.SPEC)["command"] != list(job.command):
            raise DataError(f"{file}: is not what was to be written; write it again")
