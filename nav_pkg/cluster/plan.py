"""The plan of a DAG, independent of HTCondor: jobs, resource requests and dependencies."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

from nav_pkg.core import UsageError

FORMAT = 1
"""Version of the job spec, the file that the wrapper reads."""

KINDS = (
    "record",
    "clean",
    "merge",
    "verify",
    "scratch",
    "train",
    "evaluate",
    "online",
    "dagger",
    "report",
)

LOCAL_KINDS = ("clean", "merge", "verify", "report", "dagger")
"""Kinds that run on the submitting host with file transfer, because all their inputs are there."""

PLAN_FILE = "plan.json"
SUBMITTED_FILE = "submitted.json"
STATUS_FILE = "nodes.status"
NODE_LOG = "nodes.log"

CODE = "nav_pkg.tar.gz"
"""Archive of the checkout, which HTCondor transfers to hosts without one."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}\Z")
_PATH = re.compile(r"[A-Za-z0-9_/.:@%+=~-]+\Z")


def condor_path(path: Path, chosen_by: str) -> Path:
    """Check that HTCondor's files can contain a path unchanged, and return it.

    DAG files have no quoting, submit files expand `$(...)`, and commas separate the files to transfer. So a
    space, quote, dollar or comma in a path would change its meaning.

    Args:
        path: an absolute path.
        chosen_by: the flag that sets the path, for the error message.

    Raises:
        UsageError: the path has characters other than letters, digits and `_ / . : @ % + = ~ -`.
    """
    if not _PATH.match(str(path)):
        raise UsageError(
            f"{str(path)!r}: HTCondor's files can't hold this path (letters, digits and _/.:@%+=~- only): "
            f"choose another {chosen_by}"
        )
    return path


def tar_name(folder_name: str) -> str:
    """The unique name of the tar of a folder `data/...` or `log/...`."""
    return folder_name.replace("/", "~")


@dataclass(frozen=True)
class Resources:
    """The resource request of a job.

    Attributes:
        cpus: processor cores.
        memory: memory, MB.
        disk: disk space of the job's scratch folder, MB.
        gpus: number of GPUs; 0 for none.
        gpu_memory: least memory of each GPU, MB; 0 for any.
    """

    cpus: int = 1
    memory: int = 1000
    disk: int = 1000
    gpus: int = 0
    gpu_memory: int = 0


@dataclass(frozen=True)
class DagNode:
    """A node of the DAG.

    Attributes:
        name: name of the node, unique in its plan.
        kind: one of `KINDS`; jobs of a kind in the same layer share a submit description.
        command: script and arguments, without --summary_dir and --data_root, which the environment gives.
        resources: the resource request.
        wall_time: wall time in seconds, at whose end the job must save its state; 0 for no limit.
        retries: how often the job is tried again after a failure.
        parents: names of the jobs that must be done first.
        simulator: whether the job starts Gazebo.
        datasets: names of the datasets that the job reads.
        checkpoints: log folders, below the folder of all logs, whose checkpoints the job reads.
        copy_dataset: whether to copy the datasets to the host's local disk, once per host.
        outputs: folders that the job writes: `log/...` and `data/...`, below --summary_dir and --data_root.
        total: number of frames, episodes or runs of the job, for its progress; 0 if unknown.
        unit: the unit of `total`.
        seconds: expected duration in seconds, by measured rates; 0 if unknown.
    """

    name: str
    kind: str
    command: Tuple[str, ...]
    resources: Resources = Resources()
    wall_time: float = 0.0
    retries: int = 2
    parents: Tuple[str, ...] = ()
    simulator: bool = False
    datasets: Tuple[str, ...] = ()
    checkpoints: Tuple[str, ...] = ()
    copy_dataset: bool = False
    outputs: Tuple[str, ...] = ()
    total: int = 0
    unit: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Hosts:
    """The hosts on which jobs may run, and the policy for sharing them.

    Attributes:
        greenlist: the only hosts to use; empty for all.
        blacklist: hosts not to use.
        nice: whether jobs of other users have priority.
        image: container image in which jobs run; empty for the project's own set-up.
        file_transfer: whether HTCondor transfers files, because the hosts share no file system with this one.
        max_jobs: most jobs of the DAG in the queue at once; 0 for no limit.
    """

    greenlist: Tuple[str, ...] = ()
    blacklist: Tuple[str, ...] = ()
    nice: bool = True
    image: str = ""
    file_transfer: bool = False
    max_jobs: int = 0


@dataclass(frozen=True)
class DagPlan:
    """All jobs of a DAG.

    Attributes:
        command: the cluster command that made the plan, e.g. `dag_train.py`.
        tag: name of the DAG's log folder.
        summary_dir: folder of all logs, absolute.
        data_root: folder of all datasets, absolute.
        root: the checkout whose scripts the jobs run.
        jobs: the jobs, parents before children.
        hosts: the hosts on which they may run.
        configuration: values that must be equal to resume the DAG (plain JSON types).
    """

    command: str
    tag: str
    summary_dir: Path
    data_root: Path
    root: Path
    jobs: Tuple[DagNode, ...]
    hosts: Hosts = Hosts()
    configuration: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder of the DAG's HTCondor files."""
        return dag_folder(self.summary_dir, self.tag)

    @property
    def file(self) -> Path:
        """The DAG file."""
        return self.folder / dag_file_name(self.tag)

    def places(self) -> Dict[str, Any]:
        """The location of the jobs' files, which must be equal to resume a DAG."""
        return {"data_root": str(self.data_root), "file_transfer": self.hosts.file_transfer}

    def check(self) -> None:
        """Check that HTCondor's files can represent the plan.

        Raises:
            UsageError: a path or name is not possible, or the plan has no jobs.
            ValueError: the jobs are not a DAG in order (a bug in the planner).
        """
        condor_path(self.folder, "--summary_dir or -t")
        condor_path(self.root, "folder for the checkout")
        if self.hosts.image:
            condor_path(Path(self.hosts.image), "--image")
        for host in (*self.hosts.greenlist, *self.hosts.blacklist):
            if not re.match(r"[A-Za-z0-9*][A-Za-z0-9.*_-]*\Z", host):
                raise UsageError(f"{host!r} is not a host's name: see --greenlist and --blacklist")
        for folder_name in self.folders_before():
            condor_path(Path("/") / folder_name, "name")
            if "~" in folder_name:
                raise UsageError(
                    f"{self.command}: {folder_name}: '~' stands for '/' in names of tars: rename it"
                )
        if not self.jobs:
            raise UsageError(f"{self.command}: nothing to do: the DAG has no jobs")
        known: set = set()
        for job in self.jobs:
            if not _NAME.match(job.name) or job.kind not in KINDS or job.name in known:
                raise ValueError(f"job {job.name!r} of kind {job.kind!r}: not a new name or not a kind")
            for parent in job.parents:
                if parent not in known:
                    raise ValueError(f"job {job.name}: its parent {parent!r} does not stand before it")
            known.add(job.name)

    def layers(self) -> Dict[str, List[DagNode]]:
        """The jobs by layer: jobs of one kind at the same depth. A layer's name is also a file name.

        All parents of a layer are in earlier layers. Jobs of one kind do not ensure this: in DAgger, the
        flights of a round wait for the training of the round before.
        """
        depth: Dict[str, int] = {}
        by_depth: Dict[Tuple[str, int], List[DagNode]] = {}
        for job in self.jobs:
            depth[job.name] = 1 + max((depth[parent] for parent in job.parents), default=-1)
            by_depth.setdefault((job.kind, depth[job.name]), []).append(job)
        names: Dict[str, List[DagNode]] = {}
        for kind, jobs in ((kind, jobs) for (kind, _), jobs in by_depth.items()):
            again = sum(name == kind or name.startswith(f"{kind}_") for name in names)
            names[f"{kind}_{again + 1}" if again else kind] = jobs
        return names

    def spec(self, job: DagNode) -> Dict[str, Any]:
        """The spec of a job, which its wrapper reads."""
        transfer = None
        data, log = str(self.data_root), str(self.summary_dir)
        if self.transferred(job):
            data, log = "data", "log"
            transfer = {"in": [str(path) for path in self.transfer_in(job)], "out": list(job.outputs)}
        return {
            "format": FORMAT,
            "name": job.name,
            "kind": job.kind,
            "command": list(job.command),
            "wall_time": float(job.wall_time),
            "simulator": job.simulator,
            "env": {"NAV_PKG_DATA": data, "NAV_PKG_LOG": log},
            "datasets": list(job.datasets),
            "copy_dataset": job.copy_dataset,
            "transfer": transfer,
            "pack": self.packed(job),
            "retries": job.retries,
            "total": job.total,
            "unit": job.unit,
        }

    def transferred(self, job: DagNode) -> bool:
        """Whether HTCondor transfers the job's files."""
        return self.hosts.file_transfer and job.kind not in LOCAL_KINDS

    def transfer_in(self, job: DagNode) -> List[Path]:
        """The tars to transfer to a job: code, datasets, checkpoints, and the output of its earlier tries."""
        if not self.transferred(job):
            return []
        folder = self.folder / "transfer"
        tars = [] if self.hosts.image else [folder / CODE]
        for folder_name in self.folders_in(job):
            writer = self._writer(folder_name)
            tars.append(folder / f"{writer or tar_name(folder_name)}.tar")
        return [*tars, folder / f"{job.name}.tar"]

    def packed(self, job: DagNode) -> List[str]:
        """The outputs that a job on the submitting host packs at its end, for jobs on other hosts."""
        if not self.hosts.file_transfer or self.transferred(job):
            return []
        others = (other for other in self.jobs if self.transferred(other))
        read = {folder_name for other in others for folder_name in self.folders_in(other)}
        return [folder_name for folder_name in job.outputs if folder_name in read]

    def folders_in(self, job: DagNode) -> List[str]:
        """The folders that a job reads: `data/...` and `log/...`."""
        return [f"data/{name}" for name in job.datasets] + [f"log/{name}" for name in job.checkpoints]

    def _writer(self, folder_name: str) -> str:
        """The name of the job that writes a folder; empty if the folder exists before the DAG runs."""
        return next((job.name for job in self.jobs if folder_name in job.outputs), "")

    def folders_before(self) -> List[str]:
        """The folders that jobs on other hosts read and no job of the plan writes."""
        places = [
            folder_name for job in self.jobs if self.transferred(job) for folder_name in self.folders_in(job)
        ]
        return [folder_name for folder_name in dict.fromkeys(places) if not self._writer(folder_name)]


def dag_folder(summary_dir: Path, tag: str) -> Path:
    """The folder of the HTCondor files of a tag's DAG."""
    return summary_dir / tag / "DAG"


def dag_file_name(tag: str) -> str:
    """The name of a tag's DAG file."""
    return f"dag_file_{tag.replace('/', '_')}"
