"""The settings of main.py: network, data, training, and learning in flight.

Nothing heavy is imported here.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

from nav_pkg.config import types
from nav_pkg.config.parser import Parser
from nav_pkg.config.setting import add_arguments, declared, from_values, setting
from nav_pkg.config.types import real, whole
from nav_pkg.core import UsageError

MOST_THREADS = 1024
"""Each of them is made, which takes a machine's last process number and memory where they are too many."""
ABOUT = "main.py: train a network offline, or run it as the learner node of a flight (--online)."
_learning, _training, _online, _flight = (
    functools.partial(setting, effect=effect) for effect in ("learning", "training", "online", "flight")
)
_SPEED = "0.8 when training, the checkpoint's in flight"


@dataclass(frozen=True)
class NetworkConfig:
    """Network and action space."""

    network: str = setting(
        "tiny_net",
        "network to train or to fly (docs/learning.md), or FILE.py:NAME for one of your own; tinyv2, a "
        "name in published experiments, is tiny_net",
        types.network,
    )
    n_frames: Optional[int] = setting(None, "frames that a multi-frame network takes at once (5)", whole(1))
    discrete: bool = setting(False, "classify the yaw rate into bins instead of regressing it")
    stochastic: bool = setting(
        False,
        "regress mean and variance of the yaw rate; in flight the yaw rate is drawn from them",
    )
    action_quantity: int = setting(3, "number of bins between -action_bound and action_bound", whole(2))
    action_bound: float = setting(
        1.0,
        "largest yaw rate, rad/s; labels are clipped to it",
        real(0, open_least=True),
    )
    speed: Optional[float] = setting(None, f"forward speed when flying straight, m/s ({_SPEED})", real(0, 5))
    turn_speed: Optional[float] = setting(
        None,
        f"forward speed when |yaw| > 0.3 rad/s, m/s ({_SPEED})",
        real(0, 5),
    )
    dropout: Optional[float] = _learning(
        None,
        "probability of dropping a hidden unit in training, for networks with dropout",
        real(0, 0.99),
    )
    batch_norm: bool = _learning(
        False, "batch normalisation after each convolution, for networks that support it"
    )
    pretrained: bool = _learning(
        False,
        "start from torchvision's ImageNet weights in torch's cache folder",
    )
    pretrained_weights: str = _learning("", "start from the ImageNet weights in this file", str)
    feature_extract: bool = _learning(
        False,
        "train the last layers only; the feature layers are frozen",
    )


@dataclass(frozen=True)
class DataConfig:
    """Data."""

    data_root: Optional[str] = _learning(
        None,
        "folder of all datasets (environment NAV_PKG_DATA)",
        str,
        resumes="both",
    )
    dataset: str = _training("esatv3_expert_500", "dataset to train on: a name under --data_root", str)
    subsample: int = _training(1, "use every n-th frame of each training run", whole(1))
    validation_subsample: int = _training(1, "validate and test on every n-th frame of each run", whole(1))
    load_data_in_ram: bool = _training(
        False,
        "copy all images into memory instead of reading them from the packs",
        resumes="training",
    )
    copy_dataset: bool = _training(
        False,
        "keep packs on this host's own disk (TMPDIR or /tmp)",
        resumes="training",
    )
    labels: str = _training(
        "expert",
        "labels: the expert's commands, or the commands that were applied",
        str,
        choices=("expert", "applied"),
    )
    recovery_compensation: Optional[float] = _learning(
        None,
        "learn from the recovery cameras too; their label is the expert's, turned back by this yaw "
        "rate, rad/s (none: only the front camera)",
        real(0, open_least=True),
    )
    normalized_output: bool = _learning(False, "balance left, straight and right within each training batch")
    shifted_input: bool = setting(False, "normalise input images to x - 0.5, with x in [0, 1]")
    scaled_input: bool = setting(False, "normalise input images to (x - mean) / std for each channel")
    scale_means: Optional[Tuple[float, ...]] = setting(
        None,
        "means of red, green, blue for --scaled_input (0.5 0.46 0.42)",
        real(-math.inf),
        nargs=3,
    )
    scale_stds: Optional[Tuple[float, ...]] = setting(
        None,
        "standard deviations of red, green, blue for --scaled_input (0.2575 0.239 0.218)",
        real(0, open_least=True),
        nargs=3,
    )


@dataclass(frozen=True)
class TrainingConfig:
    """Training."""

    loss: str = _learning("MSE", "loss: MSE or CrossEntropy", str)
    optimizer: str = _learning("SGD", "optimiser of torch.optim: SGD, Adam, Adadelta, ...", str)
    learning_rate: float = _learning(0.1, "learning rate", real(0, open_least=True))
    batch_size: int = _learning(64, "frames (recurrent networks: windows) in a batch", whole(1))
    max_steps: int = _learning(0, "gradient steps in all; 0: no limit", whole(0), resumes="flight")
    weight_decay: float = _learning(0.0, "L2 penalty", real(0))
    momentum: float = _learning(0.0, "momentum, for optimisers that have it", real(0))
    clip: float = _learning(0.0, "largest norm of the gradient; 0: no limit", real(0))
    lr_schedule: str = _learning(
        "constant",
        "how the learning rate changes",
        str,
        choices=("constant", "step", "exponential", "cosine"),
    )
    lr_decay: float = _learning(0.1, "factor of the learning rate schedule", real(0, 1, open_least=True))
    lr_decay_every: int = _learning(0, "gradient steps between two applications of the factor", whole(0))
    max_episodes: int = _training(
        1000,
        "episodes in all; an episode is up to 100 batches and a validation",
        whole(1),
        resumes="training",
    )


@dataclass(frozen=True)
class RecurrentConfig:
    """Recurrent networks."""

    time_length: Optional[int] = _learning(
        None,
        "frames in a window (10); -1 for whole runs (F-BPTT)",
        types.time_length,
    )
    init_state: Optional[Tuple[str, ...]] = _learning(
        None,
        "initial state of a shuffled window (WW-TBPTT): full, zero, carried, or burn_in N (offline "
        "carried, in flight zero)",
        str,
        nargs="+",
    )
    sliding_tbptt: bool = _training(
        False,
        "slide the window along the runs (S-TBPTT) instead of shuffling windows",
    )
    sliding_step_size: Optional[int] = _training(None, "frames by which the window slides (1)", whole(1))
    accum_grads: bool = _training(False, "one gradient step for each slide, with the mean of its gradients")


@dataclass(frozen=True)
class LogConfig:
    """Checkpoints and logs."""

    checkpoint_path: str = setting(
        "",
        "checkpoint to start from: a log folder or a file; '' for none; in flight also an exported "
        ".onnx file",
        str,
    )
    summary_dir: Optional[str] = setting(
        None,
        "folder of all logs (environment NAV_PKG_LOG)",
        str,
        resumes="both",
    )
    log_tag: str = _learning(
        "testing",
        "log folder below --summary_dir; 'testing' is always overwritten",
        types.name,
        short="-t",
        resumes="flight",
    )
    owr: bool = _learning(False, "delete the content of the log folder and start anew", resumes="both")
    tensorboard: bool = _learning(False, "write TensorBoard events", resumes="both")
    continue_training: bool = _learning(False, "also restore the checkpoint's optimiser state and counts")
    create_scratch_checkpoint: bool = _training(False, "save the initial weights to the log folder and stop")
    evaluate: bool = _training(
        False,
        "score --checkpoint_path on the validation and test set; nothing is trained",
    )


@dataclass(frozen=True)
class MachineConfig:
    """Machine."""

    random_seed: int = setting(123, "seed of weights, order and noise", whole(0, 2**32 - 1))
    device: str = setting("auto", "device", str, choices=("auto", "cpu", "cuda", "gpu"))
    num_threads: int = setting(
        0,
        "processor threads; 0: all that this process may use",
        whole(0, MOST_THREADS),
        resumes="training",
    )
    amp: bool = _learning(False, "bfloat16 where that is safe (torch.autocast)")
    compile: bool = _training(False, "torch.compile; the first batch takes a minute")
    wall_time: float = _training(
        0.0,
        "seconds after which training saves and exits with 85; 0: no limit",
        real(0),
        resumes="training",
    )


@dataclass(frozen=True)
class PilotConfig:
    """Flight."""

    online: bool = setting(False, "run as the learner node of a flight, and learn unless told not to")
    alpha: float = _flight(0.0, "probability per frame that the expert's command is executed", real(0, 1))
    pause_simulator: bool = _flight(
        False,
        "accepted: lock-step always waits for every answer",
    )
    no_training: bool = _flight(False, "fly without learning")
    trust_torchscript: bool = _flight(
        False,
        "fly an exported .pt file that you made yourself: it is a program that runs with your rights",
    )
    perturbation: str = _flight(
        "none",
        "perturbation of the network's input images: none, light:S, blur:S or noise:S",
        types.perturbation,
    )
    noise: str = _flight("none", "noise on the executed command", str, choices=("none", "ou", "uni", "gau"))
    ou_theta: float = _flight(0.05, "pull of Ornstein-Uhlenbeck noise towards 0, per frame", real(0, 1))
    sigma_x: float = _flight(0.0, "noise on forward speed, m/s", real(0))
    sigma_y: float = _flight(0.0, "noise on sideward speed, m/s", real(0))
    sigma_z: float = _flight(0.0, "noise on vertical speed, m/s", real(0))
    sigma_yaw: float = _flight(0.0, "noise on the yaw rate, rad/s", real(0))


@dataclass(frozen=True)
class ReplayConfig:
    """Learning in flight."""

    buffer_size: int = _online(
        -1,
        "frames in the replay buffer; -1: as many as memory holds",
        types.buffer_size,
    )
    min_buffer_size: int = _online(
        0,
        "frames in the buffer before learning begins; never less than a batch",
        whole(0),
        short="--prefill",
    )
    prefill_dataset: str = _online(
        "",
        "fill the buffer with frames of this dataset's training set before the first run",
        str,
    )
    prefill_frames: int = _online(
        0, "number of these frames, drawn with the seed; 0: as many as fit", whole(0)
    )
    buffer_update_rule: str = _online(
        "fifo",
        "which frame makes room in a full buffer: fifo removes the oldest frame; hard removes the frame"
        " with the smallest loss at its last update; empty removes all frames once they were learned "
        "from",
        str,
        choices=("fifo", "hard", "empty"),
    )
    replay_priority: str = _online(
        "no",
        "draw frames uniformly (no), or in proportion to their last loss",
        str,
        choices=("no", "loss"),
    )
    gradient_steps: int = _online(1, "gradient steps for each frame", whole(1))
    train_every_N_steps: int = _online(1, "learn only at every N-th frame", whole(1))
    export_buffer: bool = _online(
        False,
        "accepted: the buffer is always saved with the checkpoint",
        resumes="both",
    )
    continual_learning: bool = _online(
        False, "keep weights that were important for earlier frames (memory aware synapses, MAS)"
    )
    continual_learning_lambda: float = _online(1.0, "weight of the MAS penalty", real(0))
    loss_window_length: int = _online(
        5, "number of losses in which a plateau is detected; importance is computed there", whole(2)
    )
    loss_window_mean_threshold: float = _online(0.1, "largest mean of these losses on a plateau", real(0))
    loss_window_std_threshold: float = _online(
        0.1, "largest standard deviation of these losses on a plateau", real(0)
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
    """All settings of main.py. One that is given where it has no effect is refused, never ignored."""

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
OF_THE_FLIGHT = (
    *("alpha", "pause_simulator", "no_training", "noise", "ou_theta"),
    *("sigma_x", "sigma_y", "sigma_z", "sigma_yaw"),
)
"""Keys of settings that do not change what is learned in flight from the same frames."""
RESUMES, RESUMES_IN_FLIGHT = (
    frozenset(key for key, each in SETTINGS.items() if each.about.resumes in (where, "both"))
    for where in ("training", "flight")
)
"""Keys of the settings that may differ when a training, or learning in flight, is resumed."""

RETIRED: Dict[str, str] = {
    "--control_file": "is --labels here: expert (supervised_info.txt) or applied (control_info.txt)",
    "--shift_control_indices": "is not needed: each label is stamped with its own image",
    "--load_config": "is not needed: a checkpoint carries its action space and preprocessing",
    "--save_every_num_epochs": "is not needed: my-model is saved every 30 s, at a stop and at the end",
    "--normalized_input": "is --scaled_input here",
    "--normalize_means": "is --scale_means here (red green blue)",
    "--normalize_stds": "is --scale_stds here (red green blue)",
    "--init_state_subsample": "is --init_state burn_in N here",
    "--action_dim": "is 1: the network decides the yaw rate; leave it out",
    "--testing": "is --evaluate here, with the --checkpoint_path to score",
    "--only_init_state": "is not there: --init_state chooses where a window's state comes from",
    "--skew_input": "is not there; --shifted_input and --scaled_input change the input",
    "--auxiliary_depth": "is not there: nothing is learned from depth",
    "--calculate_importance_weights": "is not there for offline learning",
    "--on_policy": "is --online here",
    "--lifelonglearning": "is --continual_learning here",
    "--lll_weight": "is --continual_learning_lambda here",
    "--hard_replay_buffer": "is --buffer_update_rule hard here",
    "--max_batch_size": "is not there: --batch_size frames are drawn for each gradient step",
    "--il_weight": "is not there: all is learned by imitation",
    "--horizon": "is not there: all is learned by imitation",
}
"""Flags of earlier systems that users still type, and what to do instead."""

# whose settings have no effect, where, and what to do about it
_Idle = Tuple[Tuple[str, ...], str, str]
_OFFLINE: _Idle = (("flight", "online"), "when training offline", "add --online or leave it out")
_ONLINE: _Idle = (("training",), "in flight (--online)", "leave it out")
_FLIGHT: _Idle = (("training", "learning", "online"), "in flight (--online --no_training)", "leave it out")
_HARMLESS = ("load_data_in_ram", "pause_simulator", "tensorboard")
"""Switches that say what happens anyway, or ask for curves of learning that is not done: they do no harm."""


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
    args = from_values(LearnerConfig, vars(make_parser().parse_args(_own(argv))))
    idle, where, cure = _OFFLINE
    if args.online:
        idle, where, cure = _FLIGHT if args.no_training else _ONLINE
    for key in given(argv):
        if SETTINGS[key].about.effect in idle and key not in _HARMLESS:
            raise UsageError(f"main.py: --{key} has no effect {where}: {cure}")
    if args.continue_training and not args.checkpoint_path:
        raise UsageError("main.py: --continue_training needs a --checkpoint_path to resume from")
    for key in ("data_root", "prefill_frames"):
        if args.online and not args.prefill_dataset and key in given(argv):
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
    if args.lr_schedule == "constant" and {"lr_decay", "lr_decay_every"} & set(given(argv)):
        raise UsageError(
            "main.py: --lr_decay and --lr_decay_every have no effect without --lr_schedule: add it"
        )
    if args.evaluate and not args.checkpoint_path:
        raise UsageError("main.py: --evaluate needs a --checkpoint_path, whose network is scored")
    return args


def given(argv: Sequence[str]) -> Dict[str, Any]:
    """The values of the flags that stand on a command line, by key; no defaults.

    Raises:
        UsageError: as `parse`, for unknown flags and bad values.
    """
    return vars(make_parser(only_given=True).parse_args(_own(argv)))


def _own(argv: Sequence[str]) -> List[str]:
    return [argument for argument in argv if ":=" not in argument]
