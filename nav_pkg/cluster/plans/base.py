"""The common part of all cluster commands: check flags, plan, estimate, write, submit, resume.

A command (`dag_train.py` and so on) defines the scripts that its jobs run, and its jobs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from pathlib import Path
from typing import (
    Any,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from nav_pkg.cluster import command_line, estimate
from nav_pkg.cluster.command_line import Layer
from nav_pkg.cluster.plan import DagNode, DagPlan, Hosts
from nav_pkg.cluster.plans.portable import portable
from nav_pkg.config import cluster as cluster_config
from nav_pkg.config import paths
from nav_pkg.config.cluster import ClusterConfig
from nav_pkg.config.parser import Parser
from nav_pkg.config.reports import DagReportConfig
from nav_pkg.config.session import FILES, SessionConfig
from nav_pkg.config.setting import from_values, to_argv
from nav_pkg.core import ROOT, DataError, UsageError
from nav_pkg.data import files
from nav_pkg.data.reader import Dataset, load_dataset
from nav_pkg.session import plan_files
from nav_pkg.sim import description
from nav_pkg.sim.cameras import side_cameras
from nav_pkg.studies import workload
from nav_pkg.studies.workload import Work

CPUS = 2
MOST_TAG = 180
"""Most characters of a tag, which is part of file names (`dag_file_TAG.dagman.out`) of at most 255."""
RETRIES = {"record": 4, "report": 3, "evaluate": 3, "online": 4}
"""Retries of failed jobs by kind; 2 for other kinds."""


class PlannedJob(NamedTuple):
    """A job and its estimated cost."""

    job: DagNode
    work: Work


class DagCommand:
    """A cluster command; subclasses define its jobs.

    Attributes:
        name: name of the command, e.g. `dag_train.py`.
        about: what its help says, with an example.
        shared: flags that go to every script that has them.
        gpu_jobs: whether any of its jobs uses GPUs.

    Args:
        argv: the command line.

    Raises:
        NavError: a flag or value is wrong.
    """

    name = ""
    about = ""
    shared: Tuple[str, ...] = ("--speed", "--turn_speed")
    gpu_jobs = True

    def __init__(self, argv: Sequence[str]):
        own = cluster_config.make_parser(self.name, self.about)
        if any(word in ("-h", "--help") for word in argv):
            own.parse_args(["--help"])
        args, self.words = command_line.route(self.name, own, self.layers(), argv, self.shared)
        self.config = from_values(ClusterConfig, vars(args))
        home = Path(self.config.home or ".").expanduser()
        self.summary_dir = self._folder(home, self.config.summary_dir, paths.summary_dir())
        self.data_root = self._folder(home, self.config.data_root, paths.data_root())
        transfer = self.config.file_transfer
        self.words = {
            script: portable(words, self.name, self.summary_dir, transfer)
            for script, words in self.words.items()
        }
        self.tag: str = self.config.log_tag
        if len(self.tag) > MOST_TAG:
            raise UsageError(
                f"{self.name}: -t {self.tag[:20]}...: a tag of {len(self.tag)} characters, which HTCondor's "
                f"file names have to hold: at most {MOST_TAG}"
            )
        self.gpus = 0
        self.warnings: List[str] = []

    @staticmethod
    def _folder(home: Path, given: Optional[str], default: Path) -> Path:
        return (home / Path(given).expanduser() if given else default).resolve()

    # Defined by subclasses.

    def layers(self) -> List[Layer]:
        """The scripts that the command's jobs run."""
        raise NotImplementedError

    def check(self) -> None:
        """Check the scripts' flags with their own parsers, and the scripts' inputs.

        Raises:
            NavError: a script would reject them.
        """
        raise NotImplementedError

    def jobs(self) -> List[PlannedJob]:
        """The jobs, parents before children."""
        raise NotImplementedError

    def configuration(self) -> Dict[str, Any]:
        """Values that must be equal to resume a DAG."""
        return {"flags": self.words}

    def check_places(self, resumes: bool) -> None:
        """Check the existing contents of the output folders, before anything is deleted.

        Args:
            resumes: whether the DAG is resumed, so that its jobs may have written there.

        Raises:
            NavError: this DAG must not replace the contents.
        """

    def prepare(self) -> None:
        """Create files that the jobs need, after all checks have passed."""

    def output(self) -> Path:
        """The main result of the DAG, shown to the user when the DAG is done."""
        return self.summary_dir / self.tag / "report.html"

    # Parts that commands share.

    @contextlib.contextmanager
    def folders(self) -> Iterator[None]:
        """Set NAV_PKG_LOG and NAV_PKG_DATA, so that the scripts' checks use the jobs' folders.

        Stdout is discarded meanwhile.
        """
        names = {"NAV_PKG_LOG": str(self.summary_dir), "NAV_PKG_DATA": str(self.data_root)}
        before = {name: os.environ.get(name) for name in names}
        os.environ.update(names)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value

    def plan_job(self, kind: str, name: str, command: Sequence[Any], work: Work, **more: Any) -> PlannedJob:
        """Make a job with a resource request from the flags, else from the estimate.

        Args:
            kind: kind of the job.
            name: name of its node.
            command: script and arguments.
            work: estimated cost.
            more: other values of `DagNode`; also `wall_flag`, the flag of its wall time (without one, the job
                is light), `gpumem`, the memory of its GPUs in MB (without it, the job uses no GPU), and
                `reads`, the MB of datasets that do not exist yet.
        """
        reads = more.pop("reads", None)
        flag = more.pop("wall_flag", "")
        gpumem = more.pop("gpumem", None)
        wall = getattr(self.config, flag) if flag else None
        heavy = bool(flag)  # flags do not apply to light jobs, which only do I/O
        if flag and wall:
            estimate.check_wall_time(f"{self.name}: --{flag}", wall, work, f"a {kind} job")
        if heavy:
            self.warn(estimate.memory_warning(work, self.config.rammem or 0.0, f"a {kind} job"))
        space = work
        if heavy and self.config.file_transfer:  # a tar and its content coexist
            if reads is None:
                reads = sum(self._megabytes(name) for name in more.get("datasets", ()))
            space = dataclasses.replace(work, disk=2 * (work.disk + reads))
        asks = estimate.resources(
            space,
            (self.config.cpus or CPUS) if heavy else 1,
            (self.config.rammem or 0.0) if heavy else 0.0,
            (self.config.diskmem or 0.0) if heavy else 0.0,
            self.gpus if gpumem else 0,
            gpumem or 0,
        )
        return PlannedJob(
            DagNode(
                name=name,
                kind=kind,
                command=tuple(map(str, command)),
                resources=asks,
                # light jobs save no checkpoint: with a wall time they could restart without end
                wall_time=float(wall or estimate.wall_time(work)) if heavy else 0.0,
                retries=RETRIES.get(kind, 2),
                seconds=round(work.seconds, 1),
                **more,
            ),
            work,
        )

    def report_job(self, models: Iterable[str], parents: Sequence[PlannedJob]) -> PlannedJob:
        """The job that compares models.

        Args:
            models: their log folders, below the tag's.
            parents: the jobs that it waits for.
        """
        return self.plan_job(
            "report",
            "report",
            ["dag_report.py", *to_argv(DagReportConfig(log_tag=self.tag, models=tuple(models)))],
            Work(30.0, 500.0, 20.0, 0.0, 6),
            parents=tuple(parent.job.name for parent in parents),
        )

    def _megabytes(self, name: str) -> float:
        return sum(map(len, self.dataset(name).runs)) * workload.USUAL.megabytes

    def warn(self, text: str) -> None:
        """Add a warning unless it is empty or already known."""
        if text and text not in self.warnings:
            self.warnings.append(text)

    def dataset(self, name: str) -> Dataset:
        """Load a dataset that jobs will read.

        Raises:
            DataError: the dataset does not exist.
        """
        return load_dataset(name, self.data_root)

    def _image(self, kind: str, image: str) -> str:
        """Convert an image name for HTCondor, which takes all but docker://NAME and .sif for a folder."""
        if kind == "docker" and not image.startswith("docker://"):
            if image.endswith(".sif"):
                raise UsageError(f"{self.name}: --image {image} is Apptainer's: give -pe sing")
            return f"docker://{image}"
        if kind == "sing" and "://" not in image:
            file = Path(image).expanduser().resolve()  # jobs start in another folder
            if not file.exists():
                raise UsageError(
                    f"{self.name}: --image {file}: no such file; docs/cluster.md says how to build one; one "
                    "of a registry begins with docker://"
                )
            return str(file)
        return image

    def plan(self) -> Tuple[DagPlan, Dict[str, Work]]:
        """Make and check the plan.

        Returns:
            The plan, and the estimated costs by job.

        Raises:
            UsageError: HTCondor's files cannot represent the plan.
        """
        asked = self.jobs()
        config = self.config
        container = config.python_environment != "virtualenv"
        if container != bool(config.image):
            raise UsageError(
                f"{self.name}: --python_environment {config.python_environment} and --image "
                f"{config.image or 'not given'}: a container needs both, the project's own set-up neither"
            )
        image = self._image(config.python_environment, config.image or "")
        plan = DagPlan(
            command=self.name,
            tag=self.tag,
            summary_dir=self.summary_dir,
            data_root=self.data_root,
            root=ROOT,
            jobs=tuple(planned.job for planned in asked),
            hosts=Hosts(
                greenlist=self._hosts("greenlist"),
                blacklist=self._hosts("blacklist"),
                nice=not config.not_nice,
                image=image,
                file_transfer=config.file_transfer,
                max_jobs=config.max_jobs,
            ),
            configuration=self._identified(self.configuration()),
        )
        plan.check()
        return plan, {planned.job.name: planned.work for planned in asked}

    def _identified(self, configuration: Dict[str, Any]) -> Dict[str, Any]:
        """Add the digests of the plan files, because the files may change before a resume."""
        plans = plan_files.digests(word for words in self.words.values() for word in words)
        return {**configuration, "plans": plans} if plans else configuration

    def _hosts(self, kind: str) -> Tuple[str, ...]:
        given = tuple(getattr(self.config, kind) or ())
        if given or not getattr(self.config, f"use_{kind}"):
            return given
        file = ROOT / "config" / "cluster" / f"{kind}.txt"
        lines = files.read_text(file).splitlines() if file.exists() else []
        hosts = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
        if not hosts:
            raise UsageError(f"{self.name}: --use_{kind}: {file} names no host: write some there, one a line")
        return hosts


def camera_data_of(line: SessionConfig) -> workload.CameraData:
    """The camera data of a frame in a session.

    Args:
        line: run_script.py's flags.
    """
    images = 1 + len(side_cameras(description.read_robot(line.robot)))
    return workload.CameraData(
        images * line.width * line.height,
        line.depth_width * line.depth_height,
        bool(line.bag),
        line.storage == FILES,
    )


def models(command: str, config: ClusterConfig) -> List[Tuple[str, int]]:
    """The models that a command trains, as (folder, seed).

    Raises:
        UsageError: there are more models than seeds or names, or a seed or name is given twice.
    """
    seeds = list(config.seeds)
    count = config.number_of_models or len(seeds)
    if count > len(seeds):
        raise UsageError(
            f"{command}: --number_of_models {count} with {len(seeds)} seeds: two models of one seed are the "
            "same model: give as many --seeds"
        )
    names = config.model_names or [f"seed_{seed}" for seed in seeds]
    if len(names) < count:
        raise UsageError(f"{command}: --model_names has {len(names)} names for {count} models: name each")
    chosen = list(zip(names[:count], seeds[:count]))
    for flag, values in (("--seeds", seeds[:count]), ("--model_names", names[:count])):
        for value in values:
            if values.count(value) > 1:
                raise UsageError(f"{command}: {flag} {value} is given twice: each model needs its own")
    return chosen


def refuse_existing(path: Path, flag: str) -> None:
    """Check that a folder does not exist.

    Raises:
        DataError: the folder exists.
    """
    if path.exists():
        raise DataError(f"{path}: exists; choose another {flag}, or --owr to replace it")


def layer(script: str, parser: Parser, *fixed: str, **cures: str) -> Layer:
    """Make the layer of a script.

    Args:
        script: name of the script.
        parser: parser of its flags.
        fixed: flags that the command sets itself.
        cures: likewise, each with advice for the error message.
    """
    table = {flag: "" for flag in fixed}
    table.update({f"--{key}": cure for key, cure in cures.items()})
    return Layer(script, parser, table)
