"""What a DAG is made of before HTCondor comes in: jobs, what they need, and who waits for whom."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

from nav_pkg.core import UsageError

FORMAT = 1
"""Version of a job's spec, the file that its wrapper reads."""

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
"""Kinds that run on the submitting host where there is no shared file system: all they read is there."""

PLAN_FILE = "plan.json"
SUBMITTED_FILE = "submitted.json"
STATUS_FILE = "nodes.status"
NODE_LOG = "nodes.log"

CODE = "nav_pkg.tar.gz"
"""The checkout, where HTCondor brings it to hosts without one."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}\Z")
_PATH = re.compile(r"[A-Za-z0-9_/.:@%+=~-]+\Z")


def condor_path(path: Path, chosen_by: str) -> Path:
    """A path that HTCondor's files can hold as it is.

    DAG files have no quoting, submit files expand `$(...)`, and files to transfer are parted by commas: a
    space, a quote, a dollar or a comma in a path would become something else.

    Args:
        path: absolute.
        chosen_by: the flag that chooses it, for the message.

    Raises:
        UsageError: it holds another character than letters, digits and `_ / . : @ % + = ~ -`.
    """
    if not _PATH.match(str(path)):
        raise UsageError(
            f"{str(path)!r}: HTCondor's files can't hold this path (letters, digits and _/.:@%+=~- only): "
            f"choose another {chosen_by}"
        )
    return path


def tar_name(place: str) -> str:
    """The name of the tar of `data/...` or `log/...`: another one for each."""
    return place.replace("/", "~")


@dataclass(frozen=True)
class Resources:
    """What a job asks of its host.

    Attributes:
        cpus: processor cores.
        memory: MB.
        disk: MB of the job's scratch folder.
        gpus: number of GPUs; 0 for none.
        gpu_memory: least memory of each, MB; 0 for any.
    """

    cpus: int = 1
    memory: int = 1000
    disk: int = 1000
    gpus: int = 0
    gpu_memory: int = 0


@dataclass(frozen=True)
class Job:
    """One node of the DAG.

    Attributes:
        name: of the node, unique in its plan.
        kind: one of `KINDS`; jobs of a kind share a submit description.
        command: script and arguments; no folder of all logs or datasets, which come by the environment.
        resources: what it asks of its host.
        wall_time: seconds that it may run until it is asked to save itself; 0 for no limit.
        retries: how often a job that failed is tried again.
        parents: names of the jobs that have to be done before.
        simulator: starts Gazebo.
        datasets: names of the datasets that it reads.
        checkpoints: log folders, below the folder of all logs, whose checkpoints it reads.
        copy_dataset: bring what is read to the host's own disk, once a host.
        outputs: folders that it writes: `log/...` and `data/...`, below the folders of all logs and data.
        total: frames, episodes or runs that it does, for its progress; 0 when unknown.
        unit: what `total` counts.
        seconds: how long it is expected to take, by measured rates; 0 when unknown.
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
    """On which hosts jobs may run, and how they share them with others.

    Attributes:
        greenlist: the only hosts that are taken; empty for all.
        blacklist: hosts that are not.
        nice: let everyone else's jobs go first.
        image: container image that jobs run in; empty for the project's own set-up.
        file_transfer: the hosts share no file system with this one.
        max_jobs: most jobs of the DAG in the queue at once; 0 for no limit.
    """

    greenlist: Tuple[str, ...] = ()
    blacklist: Tuple[str, ...] = ()
    nice: bool = True
    image: str = ""
    file_transfer: bool = False
    max_jobs: int = 0


@dataclass(frozen=True)
class Plan:
    """All jobs of a DAG.

    Attributes:
        command: the wrapper that made it, e.g. `dag_train.py`.
        tag: name of the DAG's log folder.
        summary_dir: folder of all logs, absolute.
        data_root: folder of all datasets, absolute.
        root: the checkout whose scripts the jobs run.
        jobs: in an order in which parents stand before their children.
        hosts: where they may run.
        configuration: what has to be the same for the DAG to be continued (plain JSON types).
    """

    command: str
    tag: str
    summary_dir: Path
    data_root: Path
    root: Path
    jobs: Tuple[Job, ...]
    hosts: Hosts = Hosts()
    configuration: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where HTCondor's files of the DAG lie."""
        return dag_folder(self.summary_dir, self.tag)

    @property
    def file(self) -> Path:
        """The DAG file."""
        return self.folder / dag_file_name(self.tag)

    def places(self) -> Dict[str, Any]:
        """Where the jobs find their files, which has to be the same for a DAG to be continued."""
        return {"data_root": str(self.data_root), "file_transfer": self.hosts.file_transfer}

    def check(self) -> None:
        """Raise UsageError when HTCondor could not hold the plan.

        Raises:
            UsageError: a path or name that can't be written, or no job.
            ValueError: the jobs are not a DAG in order (a fault of the planner).
        """
        condor_path(self.folder, "--summary_dir or -t")
        condor_path(self.root, "folder for the checkout")
        if self.hosts.image:
            condor_path(Path(self.hosts.image), "--image")
        for host in (*self.hosts.greenlist, *self.hosts.blacklist):
            if not re.match(r"[A-Za-z0-9*][A-Za-z0-9.*_-]*\Z", host):
                raise UsageError(f"{host!r} is not a host's name: see --greenlist and --blacklist")
        for place in self.places_before():
            condor_path(Path("/") / place, "name")
            if "~" in place:
                raise UsageError(f"{self.command}: {place}: '~' stands for '/' in names of tars: rename it")
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

    def layers(self) -> Dict[str, List[Job]]:
        """Jobs by layer: of one kind and equally far from the start. A layer's name is a file name.

        A layer's parents are earlier layers alone, which jobs of one kind need not be: in DAgger, one
        round's flights wait for the training of the round before.
        """
        depth: Dict[str, int] = {}
        found: Dict[Tuple[str, int], List[Job]] = {}
        for job in self.jobs:
            depth[job.name] = 1 + max((depth[parent] for parent in job.parents), default=-1)
            found.setdefault((job.kind, depth[job.name]), []).append(job)
        names: Dict[str, List[Job]] = {}
        for kind, jobs in ((kind, jobs) for (kind, _), jobs in found.items()):
            again = sum(name == kind or name.startswith(f"{kind}_") for name in names)
            names[f"{kind}_{again + 1}" if again else kind] = jobs
        return names

    def spec(self, job: Job) -> Dict[str, Any]:
        """What the wrapper of a job reads."""
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

    def transferred(self, job: Job) -> bool:
        """Whether HTCondor brings the job's files."""
        return self.hosts.file_transfer and job.kind not in LOCAL_KINDS

    def transfer_in(self, job: Job) -> List[Path]:
        """The tars that a job gets: code, datasets, checkpoints, and what its earlier tries left."""
        if not self.transferred(job):
            return []
        folder = self.folder / "transfer"
        found = [] if self.hosts.image else [folder / CODE]
        for place in self.places_in(job):
            writer = self._writer(place)
            found.append(folder / f"{writer or tar_name(place)}.tar")
        return [*found, folder / f"{job.name}.tar"]

    def packed(self, job: Job) -> List[str]:
        """What a job that runs on the submitting host packs at its end, for those on other hosts."""
        if not self.hosts.file_transfer or self.transferred(job):
            return []
        others = (other for other in self.jobs if self.transferred(other))
        read = {place for other in others for place in self.places_in(other)}
        return [place for place in job.outputs if place in read]

    def places_in(self, job: Job) -> List[str]:
        """What a job reads: `data/...` and `log/...`."""
        return [f"data/{name}" for name in job.datasets] + [f"log/{name}" for name in job.checkpoints]

    def _writer(self, place: str) -> str:
        """The job that writes what another one reads; empty when it is there before."""
        return next((job.name for job in self.jobs if place in job.outputs), "")

    def places_before(self) -> List[str]:
        """All that jobs on other hosts read and that no job writes."""
        places = [place for job in self.jobs if self.transferred(job) for place in self.places_in(job)]
        return [place for place in dict.fromkeys(places) if not self._writer(place)]


def dag_folder(summary_dir: Path, tag: str) -> Path:
    """Where HTCondor's files of a tag's DAG lie."""
    return summary_dir / tag / "DAG"


def dag_file_name(tag: str) -> str:
    """The name of a tag's DAG file."""
    return f"dag_file_{tag.replace('/', '_')}"
