"""The settings of main.py: network, data, training, and learning in flight.

Nothing heavy is imported here.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, Optional, Sequence, Tuple

from nav_pkg.config import types
from nav_pkg.config.flight import FlightConfig
from nav_pkg.config.parser import Parser
from nav_pkg.config.session import SimulationConfig
from nav_pkg.config.setting import add_arguments, declared, from_values, setting, shared
from nav_pkg.config.training import (
    DataConfig,
    NetworkConfig,
    RecurrentConfig,
    TrainingConfig,
    flight,
    learning,
    online,
    training,
)
from nav_pkg.config.types import integer, real
from nav_pkg.core import UsageError

MOST_THREADS = 1024
"""A higher number would exhaust the machine's process numbers and memory."""
ABOUT = """Train a network on a dataset, or run it as the learner node of a flight (--online).

The same command resumes a training that was stopped.

Examples:
    main.py -t my_training --network tiny_net --discrete --dataset mine --loss CrossEntropy \\
        --shifted_input --learning_rate 0.1 --max_episodes 30 --tensorboard
    main.py --evaluate --checkpoint_path my_training --dataset mine -t scores
"""
_of_supervisor = functools.partial(shared, FlightConfig, effect="flight")


@dataclass(frozen=True)
class LogConfig:
    """Checkpoints and logs."""

    checkpoint_path: str = setting(
        "",
        "checkpoint to start from: a log folder or a file; in flight also an exported .onnx file; "
        "empty: none",
        str,
    )
    summary_dir: Optional[str] = setting(
        None,
        "folder of all logs (default: environment variable NAV_PKG_LOG or ~/.local/share/nav_pkg/log)",
        str,
        resumes="both",
    )
    log_tag: str = learning(
        "testing",
        "log folder below --summary_dir; the folder testing is always overwritten",
        types.name,
        short="-t",
        resumes="flight",
    )
    owr: bool = learning(False, "delete the content of the log folder and start over", resumes="both")
    tensorboard: bool = learning(False, "write TensorBoard events", resumes="both")
    continue_training: bool = learning(False, "also restore the checkpoint's optimiser state and counts")
    create_scratch_checkpoint: bool = training(False, "save the initial weights to the log folder and exit")
    evaluate: bool = training(
        False,
        "evaluate --checkpoint_path on the validation and test set without training",
    )


@dataclass(frozen=True)
class MachineConfig:
    """Machine."""

    random_seed: int = setting(
        123, "seed of initial weights, order of frames and noise", integer(0, 2**32 - 1)
    )
    device: str = setting("auto", "device of the network", str, choices=("auto", "cpu", "cuda", "gpu"))
    num_threads: int = setting(
        0,
        "number of processor threads; 0: all cores that this process may use",
        integer(0, MOST_THREADS),
        resumes="training",
    )
    amp: bool = learning(False, "use mixed precision (torch.autocast with bfloat16)")
    compile: bool = training(False, "use torch.compile; the first batch takes about a minute")
    wall_time: float = training(
        0.0,
        "seconds after which training saves its state and exits with code 85; 0: no limit",
        real(0),
        resumes="training",
    )


@dataclass(frozen=True)
class PilotConfig:
    """Flight."""

    online: bool = setting(
        False, "run as the learner node of a flight; it learns unless --no_training is given"
    )
    alpha: float = _of_supervisor("alpha", default=0.0, convert=real(0, 1))
    pause_simulator: bool = shared(SimulationConfig, "pause_simulator", effect="flight")
    no_training: bool = flight(False, "fly without learning")
    trust_torchscript: bool = flight(
        False,
        "load an exported .pt file that you made: it is a program that runs with your rights",
    )
    perturbation: str = flight(
        "none",
        "perturbation of the network's input images: none, light:S, blur:S or noise:S (docs/evaluation.md)",
        types.perturbation,
    )
    noise: str = _of_supervisor("noise", choices=("none", "ou", "uni", "gau"))
    ou_theta: float = _of_supervisor("ou_theta", convert=real(0, 1))
    sigma_x: float = _of_supervisor("sigma_x", convert=real(0))
    sigma_y: float = _of_supervisor("sigma_y", convert=real(0))
    sigma_z: float = _of_supervisor("sigma_z", convert=real(0))
    sigma_yaw: float = _of_supervisor("sigma_yaw", convert=real(0))


@dataclass(frozen=True)
class ReplayConfig:
    """Learning in flight."""

    buffer_size: int = online(
        -1,
        "capacity of the replay buffer, frames; -1: as many as fit into memory",
        types.buffer_size,
    )
    min_buffer_size: int = online(
        0,
        "number of frames in the buffer before learning begins; at least a batch",
        integer(0),
        short="--prefill",
    )
    prefill_dataset: str = online(
        "",
        "dataset whose training frames fill the buffer before the first run",
        str,
    )
    prefill_frames: int = online(
        0, "number of frames to draw from --prefill_dataset with the seed; 0: as many as fit", integer(0)
    )
    buffer_update_rule: str = online(
        "fifo",
        "frame that is removed from a full buffer: the oldest (fifo), or the one with the smallest loss at "
        "its last update (hard); empty removes all frames after they were learned from",
        str,
        choices=("fifo", "hard", "empty"),
    )
    replay_priority: str = online(
        "no",
        "draw frames uniformly (no), or in proportion to their last loss (loss)",
        str,
        choices=("no", "loss"),
    )
    gradient_steps: int = online(1, "number of gradient steps per frame", integer(1))
    train_every_N_steps: int = online(1, "learn only at every N-th frame", integer(1))
    export_buffer: bool = online(
        False,
        "has no effect: the buffer is always saved with the checkpoint",
        resumes="both",
    )
    continual_learning: bool = online(
        False,
        "penalise changes of weights that were important for earlier frames (memory aware synapses, MAS)",
    )
    continual_learning_lambda: float = online(1.0, "weight of the MAS penalty", real(0))
    loss_window_length: int = online(
        5,
        "number of losses in which a plateau is detected; on a plateau the importance is computed",
        integer(2),
    )
    loss_window_mean_threshold: float = online(0.1, "maximum mean of these losses on a plateau", real(0))
    loss_window_std_threshold: float = online(
        0.1, "maximum standard deviation of these losses on a plateau", real(0)
    )


@dataclass(frozen=True)
class LearnerConfig(
    NetworkConfig,
    DataConfig,
    TrainingConfig,
    RecurrentConfig,
    LogConfig,
    MachineConfig,
    PilotConfig,
    ReplayConfig,
):
    """All settings of main.py. A flag that would have no effect is an error, never ignored.

    Attributes:
        given_keys: keys of the flags on the command line; all other settings have their defaults.
    """

    given_keys: FrozenSet[str] = frozenset()

    @property
    def given(self) -> Dict[str, Any]:
        """The values of the flags on the command line, by key."""
        return {key: getattr(self, key) for key in SETTINGS if key in self.given_keys}

    def of_training(self) -> Dict[str, Any]:
        """What config.json of an offline training keeps, by key."""
        return {key: getattr(self, key) for key in OF_TRAINING}

    def of_learning_in_flight(self) -> Dict[str, Any]:
        """What config.json of learning in flight keeps, by key: all but what the supervisor does."""
        return {key: getattr(self, key) for key in SETTINGS if key not in OF_THE_FLIGHT}


SETTINGS = declared(LearnerConfig)
"""By key."""
OF_TRAINING = tuple(key for group in LearnerConfig.__bases__[:6] for key in declared(group))
"""Keys of the settings of offline training."""
OF_SUPERVISOR = ("alpha", "noise", "ou_theta", "sigma_x", "sigma_y", "sigma_z", "sigma_yaw")
"""Keys of the supervisor's settings, which the learner node refuses: they are given to run_script.py."""
OF_THE_FLIGHT = (*OF_SUPERVISOR, "pause_simulator", "no_training")
"""Keys of settings that do not change what is learned in flight from the same frames."""
RESUMES, RESUMES_IN_FLIGHT = (
    frozenset(key for key, each in SETTINGS.items() if each.about.resumes in (where, "both"))
    for where in ("training", "flight")
)
"""Keys of the settings that may differ when a training, or learning in flight, is resumed."""

RETIRED: Dict[str, str] = {
    "--control_file": "is called --labels here: expert (supervised_info.txt) or applied (control_info.txt)",
    "--shift_control_indices": "is not needed: each label is stamped with its own image",
    "--load_config": "is not needed: a checkpoint carries its action space and preprocessing",
    "--save_every_num_epochs": "is not needed: my-model is saved every 30 s, at a stop and at the end",
    "--normalized_input": "is called --scaled_input here",
    "--normalize_means": "is called --scale_means here (red green blue)",
    "--normalize_stds": "is called --scale_stds here (red green blue)",
    "--init_state_subsample": "is called --init_state burn_in N here",
    "--action_dim": "is 1: the network decides the yaw rate; leave it out",
    "--testing": "is called --evaluate here, with the --checkpoint_path to score",
    "--only_init_state": "does not exist: --init_state chooses where a window's state comes from",
    "--skew_input": "does not exist; --shifted_input and --scaled_input change the input",
    "--auxiliary_depth": "does not exist: nothing is learned from depth",
    "--calculate_importance_weights": "does not exist for offline learning",
    "--on_policy": "is called --online here",
    "--lifelonglearning": "is called --continual_learning here",
    "--lll_weight": "is called --continual_learning_lambda here",
    "--hard_replay_buffer": "is called --buffer_update_rule hard here",
    "--max_batch_size": "does not exist: --batch_size frames are drawn for each gradient step",
    "--il_weight": "does not exist: all is learned by imitation",
    "--horizon": "does not exist: all is learned by imitation",
}
"""Flags of earlier systems that users still type, and what to do instead."""

# whose settings have no effect, where, and what to do about it
_Idle = Tuple[Tuple[str, ...], str, str]
_OFFLINE: _Idle = (("flight", "online"), "when training offline", "add --online or leave it out")
_ONLINE: _Idle = (("training",), "in flight (--online)", "leave it out")
_FLIGHT: _Idle = (("training", "learning", "online"), "in flight (--online --no_training)", "leave it out")
_HARMLESS = ("load_data_in_ram", "pause_simulator", "tensorboard")
"""Switches without effect that are accepted: they state a default, or request curves of no learning."""


def make_parser(only_given: bool = False) -> Parser:
    """The parser of main.py; with `only_given`, flags that are not given have no value."""
    parser = Parser(prog="main.py", description=ABOUT)
    add_arguments(parser, LearnerConfig, only_given)
    return parser


def parse(argv: Sequence[str]) -> LearnerConfig:
    """Parse the command line; arguments of roslaunch (with ':=') are passed over.

    Raises:
        UsageError: a flag is unknown, has a bad value, or would have no effect.
    """
    for argument in argv:
        name = argument.split("=")[0]
        if name in RETIRED:
            raise UsageError(f"main.py: {name} {RETIRED[name]}")
    own = [argument for argument in argv if ":=" not in argument]
    only_given = {"-h", "--help"}.isdisjoint(own)  # the help shows the defaults
    values = vars(make_parser(only_given).parse_args(own))
    args = from_values(LearnerConfig, {**values, "given_keys": frozenset(values)})
    idle, where, cure = _OFFLINE
    if args.online:
        idle, where, cure = _FLIGHT if args.no_training else _ONLINE
    for key in args.given:
        if SETTINGS[key].about.effect in idle and key not in _HARMLESS:
            raise UsageError(f"main.py: --{key} has no effect {where}: {cure}")
    if args.continue_training and not args.checkpoint_path:
        raise UsageError("main.py: --continue_training needs a --checkpoint_path to resume from")
    for key in ("data_root", "prefill_frames"):
        if args.online and not args.prefill_dataset and key in args.given_keys:
            raise UsageError(
                f"main.py: --{key} has no effect in flight without --prefill_dataset: leave it out"
            )
    if args.trust_torchscript and not args.no_training:
        raise UsageError(
            "main.py: --trust_torchscript: an exported file flies and does not learn: add "
            "--no_training, or leave "
            "it out"
        )
    if args.create_scratch_checkpoint and (args.checkpoint_path or args.evaluate):
        raise UsageError(
            "main.py: --create_scratch_checkpoint makes fresh weights: leave --checkpoint_path "
            "and --evaluate out"
        )
    if args.evaluate and args.continue_training:
        raise UsageError("main.py: --evaluate learns nothing: leave --continue_training out")
    if args.lr_schedule == "constant" and {"lr_decay", "lr_decay_every"} & args.given_keys:
        raise UsageError(
            "main.py: --lr_decay and --lr_decay_every have no effect without --lr_schedule: add it"
        )
    if args.evaluate and not args.checkpoint_path:
        raise UsageError("main.py: --evaluate needs a --checkpoint_path, whose network is scored")
    return args
