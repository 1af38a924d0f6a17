"""The settings of evaluate.py and dagger.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Tuple

from nav_pkg.config import types
from nav_pkg.config.flight import FlightConfig
from nav_pkg.config.learner import MOST_THREADS, LearnerConfig
from nav_pkg.config.parser import Parser
from nav_pkg.config.session import PlaceConfig, SimulationConfig
from nav_pkg.config.setting import add_arguments, setting, shared
from nav_pkg.config.types import integer, real

EVALUATE = """Fly checkpoints under all combinations of conditions, and report how well they fly.

Every run starts at a seeded pose along the route, and the network flies without the expert. The measures are
written to evaluation.json, evaluation.csv and evaluation.html in the log folder. The same command resumes an
interrupted evaluation. Flags of run_script.py apply to the flights.

Examples:
    evaluate.py -m tiny/first tiny/second -n 10 --control_delays 0 0.1 0.2 --jobs 2
    evaluate.py -t robust -m tiny/first -n 5 --directions both \\
        --perturbations none light:0.5 noise:0.1
"""
DAGGER = """Run rounds of dataset aggregation (DAgger; Ross, Gordon and Bagnell 2011).

Each round flies with a mixture of expert and network, adds these flights with the expert's labels to the
dataset, trains the network on all data, and flies the network without the expert. Every step is an ordinary
command, which is printed before it runs. The same command resumes an interrupted run. Flags of run_script.py
apply to the flights, flags of main.py to the trainings.

Example:
    dagger.py -t my_dagger --dataset mine --checkpoint_path my_training --rounds 3 --runs 2 \\
        --loss CrossEntropy --learning_rate 0.01 --max_episodes 10
"""

DIRECTIONS = ("both", "forward", "reverse")
"""Names of directions along the route; `flight.conditions` says what each flies."""


FIXED_BY_EVALUATION = {
    "-w": "--worlds",
    "--control_delay": "--control_delays",
    "--reverse": "--directions",
    "--perturbation": "--perturbations",
    "--start": "",
    "--data_root": "",
    "--data_location": "",
    "--create_dataset": "",
    "-ds": "",
    "--evaluation": "",
    "-e": "",
    "--evaluate_every": "",
    "--final_evaluation_runs": "",
    "--no_training": "",
    "--shard": "",
}
"""Flags of run_script.py and main.py that evaluate.py sets, with the flag to give instead ("": none)."""


@dataclass(frozen=True)
class EvaluationConfig:
    """Evaluation."""

    checkpoint_path: Tuple[str, ...] = setting(
        (),
        "checkpoints: log folders, checkpoint files or exported .onnx files",
        str,
        short="-m",
        nargs="+",
        required=True,
    )
    network: Optional[str] = setting(
        None, "network that the checkpoints must hold; FILE.py:NAME for your own", types.network
    )
    log_tag: str = setting("evaluation", "log folder below --summary_dir", types.name, short="-t")
    summary_dir: Path = shared(PlaceConfig, "summary_dir")
    number_of_runs: int = setting(3, "number of runs per condition", integer(1, 10**6), short="-n")
    random_seed: int = shared(SimulationConfig, "random_seed", convert=integer(0, 2**32 - 1))
    directions: str = setting("forward", "directions along the route", str, choices=DIRECTIONS)
    worlds: Tuple[str, ...] = setting(
        ("esatv3",),
        "worlds (esatv3+7 has the textures of seed 7), or plan files",
        str,
        alias="--world",
        nargs="+",
    )
    control_delays: Tuple[float, ...] = setting(
        (0.1,), "simulated seconds from an image to the command computed from it", real(0, 5), nargs="+"
    )
    perturbations: Tuple[str, ...] = setting(
        ("none",),
        "perturbations of the network's input images: none, light:S, blur:S or noise:S (docs/evaluation.md)",
        types.perturbation,
        nargs="+",
    )
    alpha: float = shared(FlightConfig, "alpha", default=0.0, convert=real(0, 1))
    num_threads: int = setting(1, "processor threads of the network", integer(1, MOST_THREADS))
    jobs: int = setting(1, "number of simulators in parallel", integer(1, 64))
    keep_images: bool = setting(False, "keep all images of the flights")
    trust_torchscript: bool = shared(LearnerConfig, "trust_torchscript")
    owr: bool = setting(False, "delete an existing evaluation first")


@dataclass(frozen=True)
class DaggerConfig:
    """DAgger."""

    log_tag: str = setting(
        "",
        "folder of all rounds, below the folders of logs and datasets",
        types.name,
        short="-t",
        required=True,
    )
    summary_dir: Path = shared(PlaceConfig, "summary_dir")
    data_root: Path = shared(PlaceConfig, "data_root")
    dataset: str = setting(
        "", "dataset to which the rounds add; its validation and test sets stay", str, required=True
    )
    checkpoint_path: str = setting(
        "", "checkpoint that flies in the first round", str, short="-m", required=True
    )
    rounds: int = setting(3, "number of rounds", integer(1))
    runs: int = setting(2, "number of flights per round", integer(1))
    evaluation_runs: int = setting(
        5,
        "number of flights in which each round's network flies alone; the same flights in all rounds",
        integer(1),
    )
    alpha: float = setting(
        0.5, "probability per frame that the expert's command is executed in round 1 (beta)", real(0, 1)
    )
    alpha_decay: float = setting(0.5, "factor by which alpha changes from round to round", real(0, 1))
    from_start: bool = setting(
        False, "start the training of each round from --checkpoint_path instead of the last network"
    )
    random_seed: int = shared(SimulationConfig, "random_seed")
    owr: bool = setting(False, "delete existing rounds and start over")


def make_evaluation_parser() -> Parser:
    """The parser of evaluate.py's own flags; it also takes those of run_script.py."""
    parser = Parser(prog="evaluate.py", description=EVALUATE)
    add_arguments(parser, EvaluationConfig)
    return parser


def make_dagger_parser() -> Parser:
    """The parser of dagger.py's own flags; it also takes those of run_script.py and main.py."""
    parser = Parser(prog="dagger.py", description=DAGGER)
    add_arguments(parser, DaggerConfig)
    return parser
