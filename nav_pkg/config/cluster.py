"""The settings of the cluster's commands (dag_*.py): models, wall times, resource requests, pool."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional, Tuple

from nav_pkg.config import types
from nav_pkg.config.parser import Parser
from nav_pkg.config.setting import Declared, add_arguments, declared, setting
from nav_pkg.config.types import integer, real

RECORD, TRAIN, BOTH = "dag_create_data.py", "dag_train.py", "dag_train_and_evaluate.py"
EVALUATE, ONLINE, DAGGER = "dag_evaluate.py", "dag_train_online.py", "dag_dagger.py"
STUDY = "study.py"
ALL = (RECORD, TRAIN, BOTH, EVALUATE, ONLINE, DAGGER, STUDY)
MODELS = (TRAIN, BOTH, ONLINE, DAGGER)
"""Commands that train models, one for each of `--seeds`."""
SEEDS = (123, 456, 789)
"""Default seeds of the models."""

LENIENT = "NAV_PKG_ALLOW_UNUSED_FLAGS"
"""The environment variable with the meaning of --allow_unused_flags."""


def _folder(text: str) -> str:
    if not text or "\n" in text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is no folder's name")
    return text


def _host(text: str) -> str:
    if not re.match(r"[A-Za-z0-9*][A-Za-z0-9.*_-]*\Z", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a host's name")
    return text


def _model(text: str) -> str:
    if not re.match(r"[A-Za-z0-9][A-Za-z0-9_.+-]*\Z", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a model's name (letters, digits, '_', '-', '.', '+')"
        )
    if text in ("DAG", "evaluation", "report"):
        raise argparse.ArgumentTypeError(f"{text!r} is another folder of the DAG's: choose another")
    return text


def _cluster(
    default: Any,
    help: str,
    convert: Optional[Callable[[str], Any]] = None,
    commands: Tuple[str, ...] = ALL,
    instead: str = "",
    **more: Any,
) -> Any:
    """A setting of the commands that use it; `instead`: what to do in another command."""
    return setting(default, help, convert, more={"commands": commands, "instead": instead}, **more)


_SECONDS = real(0, open_least=True)
_WALL = "default: estimated"
_ON_TRAIN = "for models it is --wall_time_train"


@dataclass(frozen=True)
class DagConfig:
    """The DAG."""

    log_tag: Optional[str] = _cluster(
        None,
        "tag of the DAG: its log folder below --summary_dir",
        types.name,
        short="-t",
        required=True,
    )
    summary_dir: Optional[str] = _cluster(
        None,
        "folder of all logs (default: environment variable NAV_PKG_LOG or ~/.local/share/nav_pkg/log)",
        _folder,
    )
    data_root: Optional[str] = _cluster(
        None,
        "folder of all datasets (default: environment variable NAV_PKG_DATA or ~/.local/share/nav_pkg/data)",
        _folder,
    )
    home: Optional[str] = _cluster(
        None,
        "base folder of a relative --summary_dir and --data_root (default: the current folder)",
        _folder,
    )
    owr: bool = _cluster(
        False,
        "delete the results of a DAG with this tag, and start over",
    )
    number_of_recorders: int = _cluster(
        10,
        "number of recorder jobs",
        integer(1, 9999),
        commands=(RECORD,),
    )
    destination: str = _cluster(
        "dag_dataset",
        "name of the cleaned dataset",
        types.name,
        commands=(RECORD,),
    )
    seeds: Tuple[int, ...] = _cluster(
        SEEDS,
        "seeds of the models; each model has the folder seed_<seed>",
        integer(0, 2**32 - 1),
        short="--random_numbers",
        nargs="+",
        commands=(*MODELS, EVALUATE),
    )
    number_of_models: Optional[int] = _cluster(
        None,
        "number of models; they have the first of --seeds (default: one model for each seed)",
        integer(1, 9999),
        commands=(*MODELS, EVALUATE),
    )
    learning_rates: Optional[Tuple[float, ...]] = _cluster(
        None,
        "learning rates; each rate is trained with all seeds in the folder lr_<rate without its dot>",
        real(0, open_least=True),
        nargs="+",
        commands=(TRAIN, BOTH),
    )
    model_names: Optional[Tuple[str, ...]] = _cluster(
        None,
        "folder names of the models instead of seed_<seed>, one for each seed",
        _model,
        nargs="+",
        commands=(TRAIN, BOTH),
    )


@dataclass(frozen=True)
class WallTimeConfig:
    """Time limits."""

    wall_time_rec: Optional[float] = _cluster(
        None,
        f"time limit of a recorder job, seconds ({_WALL}); dag_train.py reads it as --wall_time_train",
        _SECONDS,
        commands=(RECORD, TRAIN),
        instead=_ON_TRAIN,
    )
    wall_time_train: Optional[float] = _cluster(
        None,
        f"time limit of a model's training, seconds ({_WALL})",
        _SECONDS,
        commands=(TRAIN, BOTH),
        instead="for recorders it is --wall_time_rec, elsewhere --wall_time",
    )
    wall_time_eva: Optional[float] = _cluster(
        None,
        f"time limit of a model's evaluation, seconds ({_WALL})",
        _SECONDS,
        commands=(BOTH,),
        instead="elsewhere it is --wall_time",
    )
    wall_time: Optional[float] = _cluster(
        None,
        f"time limit of a job, seconds ({_WALL}); dag_train.py reads it as --wall_time_train",
        _SECONDS,
        commands=(TRAIN, EVALUATE, ONLINE, DAGGER, STUDY),
        instead="here it is --wall_time_rec, or --wall_time_train and --wall_time_eva",
    )


@dataclass(frozen=True)
class ResourceConfig:
    """Resources of a job."""

    cpus: Optional[int] = _cluster(
        None,
        "processor cores per job (default: 2)",
        integer(1, 1024),
    )
    rammem: Optional[float] = _cluster(
        None,
        "memory per job, GB (default: estimated)",
        real(0, 10000, open_least=True),
    )
    diskmem: Optional[float] = _cluster(
        None,
        "disk space per job, GB (default: estimated)",
        real(0, 100000, open_least=True),
    )
    gpunum: Optional[int] = _cluster(
        None,
        "GPUs per job with a network (default: 1 if the pool has GPUs, else 0)",
        integer(0, 64),
        commands=(*MODELS, EVALUATE, STUDY),
    )
    gpumem: int = _cluster(
        1900,
        "minimum memory of a GPU, MB",
        integer(1),
        commands=(*MODELS, EVALUATE, STUDY),
    )
    gpumem_train: Optional[int] = _cluster(
        None,
        "--gpumem of training jobs",
        integer(1),
        commands=(BOTH,),
    )
    gpumem_eva: Optional[int] = _cluster(
        None,
        "--gpumem of evaluation jobs",
        integer(1),
        commands=(BOTH,),
    )
    copy_dataset: bool = _cluster(
        False,
        "copy the part of a dataset that jobs read to the local disk of each host, once per host",
        commands=(TRAIN, BOTH, DAGGER, STUDY),
    )


@dataclass(frozen=True)
class PoolConfig:
    """Hosts."""

    use_greenlist: bool = _cluster(
        False,
        "use only the hosts of config/cluster/greenlist.txt",
    )
    greenlist: Optional[Tuple[str, ...]] = _cluster(
        None,
        "use only these hosts",
        _host,
        nargs="+",
    )
    use_blacklist: bool = _cluster(
        False,
        "exclude the hosts of config/cluster/blacklist.txt",
    )
    blacklist: Optional[Tuple[str, ...]] = _cluster(
        None,
        "exclude these hosts",
        _host,
        nargs="+",
    )
    not_nice: bool = _cluster(
        False,
        "run with normal priority (default: nice_user, so that jobs of other users run first)",
    )
    dont_retry: bool = _cluster(
        False,
        "do not retry failed jobs",
    )
    max_jobs: int = _cluster(
        0,
        "maximum number of jobs in the queue; 0: no limit",
        integer(0),
    )
    file_transfer: bool = _cluster(
        False,
        "let HTCondor transfer all files, for hosts without a shared file system",
    )
    python_environment: str = _cluster(
        "virtualenv",
        "environment of the jobs: virtualenv (made by make setup), sing (Apptainer container) or docker",
        str,
        short="-pe",
        choices=("virtualenv", "sing", "docker"),
    )
    image: Optional[str] = _cluster(
        None,
        "container image: a .sif file for sing, a name for docker",
        _folder,
    )


@dataclass(frozen=True)
class SubmissionConfig:
    """Submission."""

    estimate: bool = _cluster(
        False,
        "print jobs, core-hours, memory, disk space and times; submit nothing",
    )
    dont_submit: bool = _cluster(
        False,
        "write and check the files for HTCondor; submit nothing",
    )
    allow_unused_flags: bool = _cluster(
        False,
        f"accept flags that no job uses, with a warning (environment variable {LENIENT}=1)",
    )


@dataclass(frozen=True)
class ClusterConfig(DagConfig, WallTimeConfig, ResourceConfig, PoolConfig, SubmissionConfig):
    """All settings of the cluster's commands; each command has those that name it (`users`)."""


SETTINGS: Dict[str, Declared] = declared(ClusterConfig)
"""By key."""


def users(each: Declared) -> Tuple[str, ...]:
    """The commands that use a setting."""
    return each.about.more["commands"]


RETIRED: Dict[str, str] = {
    "--python_project": "is not needed: jobs run this checkout",
    "-pp": "is not needed: jobs run this checkout",
    "--python_script": "is not needed: dag_train.py runs main.py",
    "-ps": "is not needed: dag_train.py runs main.py",
    "--code_root": "is not needed: jobs run this checkout",
    "--evaluate_after": "is called dag_train_and_evaluate.py here",
    "--remove_after": "does not exist: remove what you do not need yourself",
}
"""Flags of earlier clusters' commands, and what to do instead."""


def make_parser(command: str, about: str) -> Parser:
    """The parser of a command's own flags."""
    parser = Parser(prog=command, description=about)
    add_arguments(
        parser, ClusterConfig, keys=[key for key, each in SETTINGS.items() if command in users(each)]
    )
    return parser


@dataclass(frozen=True)
class PoolStartConfig:
    """Resources."""

    cpus: int = setting(0, "processor cores for jobs; 0: all", integer(0))
    memory: int = setting(0, "memory for jobs, MB; 0: nine tenths of the machine's", integer(0))


@dataclass(frozen=True)
class PoolStopConfig:
    """Running jobs."""

    fast: bool = setting(False, "kill running jobs instead")
