"""The flags of the cluster's commands (dag_*.py) as data, and whose every other flag is.

A command line of these commands holds flags of several layers: its own, and those of the scripts that its
jobs run. Each is given to the layer that owns it, which checks it with its own parser before anything is
submitted.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from nav_pkg.config import learner, session, types
from nav_pkg.config.learner import RETIRED as RETIRED_LEARNER
from nav_pkg.config.parser import Parser
from nav_pkg.config.types import real, whole
from nav_pkg.core import UsageError, nearest_name

RECORD, TRAIN, BOTH = "dag_create_data.py", "dag_train.py", "dag_train_and_evaluate.py"
EVALUATE, ONLINE, DAGGER = "dag_evaluate.py", "dag_train_online.py", "dag_dagger.py"
STUDY = "study.py"
ALL = (RECORD, TRAIN, BOTH, EVALUATE, ONLINE, DAGGER, STUDY)
MODELS = (TRAIN, BOTH, ONLINE, DAGGER)
"""Commands that train models, one for each of `--seeds`."""
SEEDS = (123, 456, 789)
"""Of the models, unless others are given."""

LENIENT = "NAV_PKG_ALLOW_UNUSED_FLAGS"
"""The environment's variable that stands for --allow_unused_flags."""


@dataclass(frozen=True)
class ClusterFlag:
    """A flag of the cluster's commands.

    Attributes:
        name: with dashes.
        help: one sentence.
        default: None for flags that have none; False for switches.
        type: converts the text; None for a switch.
        short: a second spelling.
        nargs: number of values, when not one; "+" for one or more.
        choices: the values that are taken, when few.
        group: heading in the help.
        commands: those that use it.
        instead: what to do in another command.
    """

    name: str
    help: str
    default: Any = False
    type: Optional[Callable[[str], Any]] = None
    short: str = ""
    nargs: Union[int, str, None] = None
    choices: Optional[Tuple[str, ...]] = None
    group: str = ""
    commands: Tuple[str, ...] = ALL
    instead: str = ""

    @property
    def key(self) -> str:
        """The attribute that argparse stores the value under."""
        return self.name.lstrip("-")


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


def _group(group: str, *rows: ClusterFlag) -> Tuple[ClusterFlag, ...]:
    return tuple(ClusterFlag(**{**vars(row), "group": group}) for row in rows)


_SECONDS = real(0, open_least=True)
_WALL = "none: estimated"
_ON_TRAIN = "for models it is --wall_time_train"

FLAGS: Tuple[ClusterFlag, ...] = (
    *_group(
        "what is done",
        ClusterFlag("--log_tag", "log folder below --summary_dir; must be given", None, types.name, "-t"),
        ClusterFlag("--summary_dir", "folder of all logs (environment NAV_PKG_LOG)", None, _folder),
        ClusterFlag("--data_root", "folder of all datasets (environment NAV_PKG_DATA)", None, _folder),
        ClusterFlag(
            "--home", "folder that a relative --summary_dir and --data_root lie in (here)", None, _folder
        ),
        ClusterFlag("--owr", "remove what a DAG of this tag made, and begin anew"),
        ClusterFlag("--number_of_recorders", "recorder jobs", 10, whole(1, 9999), commands=(RECORD,)),
        ClusterFlag("--destination", "dataset to make", "dag_dataset", types.name, commands=(RECORD,)),
        ClusterFlag(
            "--seeds",
            "seeds of the models, each in the folder seed_<seed>",
            SEEDS,
            whole(0, 2**32 - 1),
            "--random_numbers",
            nargs="+",
            commands=(*MODELS, EVALUATE),
        ),
        ClusterFlag(
            "--number_of_models",
            "models: the first so many of --seeds (all)",
            None,
            whole(1, 9999),
            commands=(*MODELS, EVALUATE),
        ),
        ClusterFlag(
            "--learning_rates",
            "learning rates, each in the folder lr_<rate without its dot>, with all seeds",
            None,
            real(0, open_least=True),
            nargs="+",
            commands=(TRAIN, BOTH),
        ),
        ClusterFlag(
            "--model_names",
            "folders of the models instead of seed_<seed>, one for each seed",
            None,
            _model,
            nargs="+",
            commands=(TRAIN, BOTH),
        ),
    ),
    *_group(
        "time",
        ClusterFlag(
            "--wall_time_rec",
            f"seconds that a recorder may run ({_WALL}); in dag_train.py taken as --wall_time_train",
            None,
            _SECONDS,
            commands=(RECORD, TRAIN),
            instead=_ON_TRAIN,
        ),
        ClusterFlag(
            "--wall_time_train",
            f"seconds that the training of a model may run ({_WALL})",
            None,
            _SECONDS,
            commands=(TRAIN, BOTH),
            instead="for recorders it is --wall_time_rec, elsewhere --wall_time",
        ),
        ClusterFlag(
            "--wall_time_eva",
            f"seconds that the evaluation of a model may run ({_WALL})",
            None,
            _SECONDS,
            commands=(BOTH,),
            instead="elsewhere it is --wall_time",
        ),
        ClusterFlag(
            "--wall_time",
            f"seconds that a job may run ({_WALL}); in dag_train.py the same as --wall_time_train",
            None,
            _SECONDS,
            commands=(TRAIN, EVALUATE, ONLINE, DAGGER, STUDY),
            instead="here it is --wall_time_rec, or --wall_time_train and --wall_time_eva",
        ),
    ),
    *_group(
        "what a job asks of its host",
        ClusterFlag("--cpus", "processor cores (2)", None, whole(1, 1024)),
        ClusterFlag("--rammem", "memory, GB (estimated)", None, real(0, 10000, open_least=True)),
        ClusterFlag("--diskmem", "disk, GB (estimated)", None, real(0, 100000, open_least=True)),
        ClusterFlag(
            "--gpunum",
            "GPUs of a job with a network (none: 1 where the pool has any, else 0)",
            None,
            whole(0, 64),
            commands=(*MODELS, EVALUATE, STUDY),
        ),
        ClusterFlag(
            "--gpumem",
            "least memory of a GPU, MB",
            1900,
            whole(1),
            commands=(*MODELS, EVALUATE, STUDY),
        ),
        ClusterFlag("--gpumem_train", "the same, of trainings alone", None, whole(1), commands=(BOTH,)),
        ClusterFlag("--gpumem_eva", "the same, of evaluations alone", None, whole(1), commands=(BOTH,)),
        ClusterFlag(
            "--copy_dataset",
            "keep what is read of a dataset on the host's own disk, once a host",
            commands=(TRAIN, BOTH, DAGGER, STUDY),
        ),
    ),
    *_group(
        "the pool",
        ClusterFlag("--use_greenlist", "take the hosts of config/cluster/greenlist.txt alone"),
        ClusterFlag("--greenlist", "take these hosts alone", None, _host, nargs="+"),
        ClusterFlag("--use_blacklist", "leave out the hosts of config/cluster/blacklist.txt"),
        ClusterFlag("--blacklist", "leave out these hosts", None, _host, nargs="+"),
        ClusterFlag("--not_nice", "do not let everybody else's jobs go first"),
        ClusterFlag("--dont_retry", "try nothing again that failed"),
        ClusterFlag("--max_jobs", "most jobs in the queue at once; 0 for no limit", 0, whole(0)),
        ClusterFlag("--file_transfer", "let HTCondor bring all files: the hosts share no file system"),
        ClusterFlag(
            "--python_environment",
            "where jobs run: in the project's own set-up, or in a container (sing: Apptainer)",
            "virtualenv",
            str,
            "-pe",
            choices=("virtualenv", "sing", "docker"),
        ),
        ClusterFlag(
            "--image", "the container's image: a .sif file for sing, a name for docker", None, _folder
        ),
    ),
    *_group(
        "before anything is submitted",
        ClusterFlag("--estimate", "print jobs, core-hours, memory, disk and times, and submit nothing"),
        ClusterFlag("--dont_submit", "write and check HTCondor's files, and submit nothing"),
        ClusterFlag(
            "--allow_unused_flags",
            f"warn of a flag that no job uses, instead of refusing it (environment {LENIENT}=1)",
        ),
    ),
)
"""The cluster's own flags."""

BY_KEY: Dict[str, ClusterFlag] = {flag.key: flag for flag in FLAGS}

RETIRED: Dict[str, str] = {
    "--python_project": "is not needed: jobs run this checkout",
    "-pp": "is not needed: jobs run this checkout",
    "--python_script": "is not needed: dag_train.py runs main.py",
    "-ps": "is not needed: dag_train.py runs main.py",
    "--code_root": "is not needed: jobs run this checkout",
    "--evaluate_after": "is dag_train_and_evaluate.py here",
    "--remove_after": "is not there: remove what you do not need yourself",
}
"""Flags of earlier clusters' commands, and what to do instead."""


def make_parser(command: str, about: str) -> Parser:
    """The parser of a command's own flags."""
    parser = Parser(prog=command, description=about)
    groups: Dict[str, Any] = {}
    for flag in (flag for flag in FLAGS if command in flag.commands):
        group = groups.setdefault(flag.group, None) or parser.add_argument_group(flag.group)
        groups[flag.group] = group
        names = [flag.short, flag.name] if flag.short else [flag.name]
        options: Dict[str, Any] = {"help": flag.help, "dest": flag.key, "default": flag.default}
        if flag.type is None:
            options["action"] = "store_true"
        else:
            options.update(type=flag.type, nargs=flag.nargs, choices=flag.choices)
        if flag.name == "--log_tag":
            options["required"] = True
        group.add_argument(*names, **options)
    return parser


class Layer(NamedTuple):
    """A script that jobs run.

    Attributes:
        script: its name.
        parser: of its own flags.
        set_here: flags that the command sets itself, and what to do about them.
        only: flags of it that are taken; None for all.
    """

    script: str
    parser: Parser
    set_here: Mapping[str, str] = {}
    only: Optional[Tuple[str, ...]] = None

    def takes(self, flag: str) -> Optional[argparse.Action]:
        """The action of a flag, or None when it is not this script's."""
        if self.only is not None and flag not in self.only:
            return None
        return self.parser._option_string_actions.get(flag)


def all_layers() -> List[Layer]:
    """All scripts that any command's jobs run."""
    from nav_pkg.cli import clean_dataset, evaluate

    return [
        Layer("run_script.py", session.make_parser()),
        Layer("main.py", learner.make_parser()),
        Layer("clean_dataset.py", clean_dataset.make_parser()),
        Layer("evaluate.py", evaluate.parser()),
    ]


def _count(action: argparse.Action, words: Sequence[str], known: Any) -> int:
    """How many words after a flag are its values."""
    if action.nargs == 0:
        return 0
    if isinstance(action.nargs, int):
        return min(action.nargs, len(words))
    if action.nargs is None:
        return min(1, len(words))
    count = 0
    for word in words:
        if known(word.split("=")[0]) or (word.startswith("-") and not re.match(r"-[\d.]", word)):
            break
        count += 1
    return count


def route(
    command: str,
    own: Parser,
    layers: Sequence[Layer],
    argv: Sequence[str],
    shared: Sequence[str] = (),
) -> Tuple[argparse.Namespace, Dict[str, List[str]]]:
    """Give every word of a command line to the layer that owns it.

    Args:
        command: the command's name.
        own: the parser of its own flags, which come first.
        layers: the scripts that its jobs run; a flag that several know is the first one's.
        argv: the command line.
        shared: flags that go to every layer that knows them.

    Returns:
        The command's own flags, and the words of each script as they were typed.

    Raises:
        UsageError: a flag that nobody knows, that no job uses, or that the command sets itself.
    """
    mine: List[str] = []
    words: Dict[str, List[str]] = {layer.script: [] for layer in layers}
    argv = list(argv)
    lenient = "--allow_unused_flags" in argv or os.environ.get(LENIENT, "") not in ("", "0")
    own_actions = own._option_string_actions

    def known(flag: str) -> bool:
        return flag in own_actions or any(layer.takes(flag) for layer in layers)

    at = 0
    while at < len(argv):
        word = argv[at]
        flag, joined, _ = word.partition("=")
        at += 1
        if not flag.startswith("-") or flag == "-":
            raise UsageError(f"{command}: unknown argument {word!r}; see {command} --help")
        owners = [layer for layer in layers if layer.takes(flag)]
        action = own_actions.get(flag) or (owners[0].takes(flag) if owners else None)
        if action is None:
            action = _unused(command, own, layers, flag, lenient)
            at += 0 if joined else _count(action, argv[at:], known)
            continue
        values = [] if joined else argv[at : at + _count(action, argv[at:], known)]
        at += len(values)
        if flag in own_actions:
            mine += [word, *values]
            continue
        if flag in owners[0].set_here:
            cure = owners[0].set_here[flag] or "leave it out"
            raise UsageError(f"{command}: {flag} is what {command} sets for its jobs: {cure}")
        for layer in owners if flag in shared else owners[:1]:
            words[layer.script] += [word, *values]
    return own.parse_args(mine), words


def _unused(command: str, own: Parser, layers: Sequence[Layer], flag: str, lenient: bool) -> argparse.Action:
    """The action of a flag that no job of a command uses; the error, or else a warning, names the right one.

    Raises:
        UsageError: nobody knows the flag, or it is not to be passed over.
    """
    retired = RETIRED.get(flag) or RETIRED_LEARNER.get(flag)
    not_needed = RETIRED.get(flag, "").startswith("is not needed: ")
    if retired and not (lenient and not_needed):
        raise UsageError(f"{command}: {flag} {retired}")
    if retired:
        print(f"warning: {command}: {flag} {retired}; passed over", file=sys.stderr)
        return argparse.Action([flag], "", nargs=None)
    action, text = None, ""
    for other in FLAGS:
        if flag in (other.name, other.short):
            users = ", ".join(other.commands)
            right = _right_one(command, other)
            text = f"{flag} belongs to {users}; no job of {command} uses it: {right}"
            action = make_parser(other.commands[0], "")._option_string_actions[flag]
    for layer in all_layers():
        found = layer.parser._option_string_actions.get(flag)
        if action is None and found is not None:
            action, text = (
                found,
                f"{flag} belongs to {layer.script}, which no job of {command} runs: leave it out",
            )
    if action is None:
        names = own.flags() + [name for layer in layers for name in layer.parser.flags()]
        hint = nearest_name(flag, names)
        hint = hint if "did you mean" in hint else f"; see {command} --help"
        raise UsageError(f"{command}: unknown flag {flag!r}{hint}")
    if not lenient:
        raise UsageError(f"{command}: {text} (--allow_unused_flags passes it over)")
    print(f"warning: {command}: {text}; passed over", file=sys.stderr)
    return action


def _right_one(command: str, other: ClusterFlag) -> str:
    """What to give instead of another command's flag: this one's of the same family, if it has one."""
    family = other.name.rsplit("_", 1)[0] if other.name.count("_") > 1 else other.name
    same = [f.name for f in FLAGS if command in f.commands and f.name.startswith(family) and f is not other]
    if family.startswith(("--wall_time", "--gpumem")) and same:
        return f"give {' or '.join(same)}"
    return other.instead if other.instead and command in MODELS else "leave it out"
