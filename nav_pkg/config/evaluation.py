"""The settings of evaluate.py and dagger.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Tuple

from nav_pkg.config import types
from nav_pkg.config.learner import MOST_THREADS
from nav_pkg.config.parser import Parser
from nav_pkg.config.paths import data_root, summary_dir
from nav_pkg.config.setting import add_arguments, setting
from nav_pkg.config.types import real, whole

DIRECTIONS = ("both", "forward", "reverse")
"""Names of directions along the route; `flight.conditions` says what each flies."""


@dataclass(frozen=True)
class EvaluationConfig:
    """Evaluation."""

    checkpoint_path: Tuple[str, ...] = setting(
        (), "checkpoints: log folders, files, exported .onnx files", str, short="-m", nargs="+", required=True
    )
    network: Optional[str] = setting(
        None, "network that the checkpoints must hold; FILE.py:NAME for one of your own", types.network
    )
    log_tag: str = setting("evaluation", "log folder under --summary_dir", types.name, short="-t")
    summary_dir: Path = setting(summary_dir, "folder of all logs", Path)
    number_of_runs: int = setting(3, "runs per condition", whole(1, 10**6), short="-n")
    random_seed: int = setting(123, "seed of everything", whole(0, 2**32 - 1))
    directions: str = setting("forward", "directions along the route", str, choices=DIRECTIONS)
    worlds: Tuple[str, ...] = setting(
        ("esatv3",),
        "worlds, or plan files (esatv3+7: with textures of seed 7)",
        str,
        alias="--world",
        nargs="+",
    )
    control_delays: Tuple[float, ...] = setting(
        (0.1,), "simulated seconds from an image to the command that answers it", real(0, 5), nargs="+"
    )
    perturbations: Tuple[str, ...] = setting(
        ("none",),
        "perturbations of the network's input images: none, light:S, blur:S, noise:S",
        types.perturbation,
        nargs="+",
    )
    alpha: float = setting(0.0, "probability, per frame, that the expert's command is executed", real(0, 1))
    num_threads: int = setting(1, "processor threads of the network", whole(1, MOST_THREADS))
    jobs: int = setting(1, "simulators side by side", whole(1, 64))
    keep_images: bool = setting(False, "keep all images of the flights")
    trust_torchscript: bool = setting(
        False,
        "fly exported .pt files that you made yourself: they are programs that run with your rights",
    )
    owr: bool = setting(False, "delete the evaluation first")


@dataclass(frozen=True)
class DaggerConfig:
    """DAgger."""

    log_tag: str = setting(
        "", "folder of all rounds, of logs and of datasets", types.name, short="-t", required=True
    )
    summary_dir: Path = setting(summary_dir, "folder of all logs", Path)
    data_root: Path = setting(data_root, "folder of all datasets", Path)
    dataset: str = setting(
        "", "dataset that the rounds add to; its validation and test sets stay", str, required=True
    )
    checkpoint_path: str = setting(
        "", "checkpoint that flies in the first round", str, short="-m", required=True
    )
    rounds: int = setting(3, "rounds", int)
    runs: int = setting(2, "flights a round", int)
    evaluation_runs: int = setting(
        5, "flights in which each round's network flies alone, the same in all rounds", int
    )
    alpha: float = setting(0.5, "probability, per frame, that the expert flies in round 1 (beta)", float)
    alpha_decay: float = setting(0.5, "factor of alpha from round to round", float)
    from_start: bool = setting(False, "train each round from --checkpoint_path, not from the last network")
    random_seed: int = setting(123, "seed of everything", int)
    owr: bool = setting(False, "delete the rounds that are there and start over")


def make_evaluation_parser() -> Parser:
    """The parser of evaluate.py's own flags; those of run_script.py are taken as well and passed on."""
    about = "Fly checkpoints under all combinations of conditions and report how well they fly."
    parser = Parser(prog="evaluate.py", description=about)
    add_arguments(parser, EvaluationConfig)
    return parser


def make_dagger_parser() -> Parser:
    """The parser of dagger.py's own flags; those of run_script.py and main.py are taken as well."""
    about = "Dataset aggregation (Ross, Gordon and Bagnell 2011): fly, add what was flown into, learn again."
    parser = Parser(prog="dagger.py", description=about)
    add_arguments(parser, DaggerConfig)
    return parser
