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
"""A higher number would exhaust the machine's process numbers and memory."""
ABOUT = """Train a network on a dataset, or run it as the learner node of a flight (--online).

The same command resumes a training that was stopped.

Examples:
    main.py -t my_training --network tiny_net --discrete --dataset mine --loss CrossEntropy \\
        --shifted_input --learning_rate 0.1 --max_episodes 30 --tensorboard
    main.py --evaluate --checkpoint_path my_training --dataset mine -t scores
"""
_learning, _training, _online, _flight = (
    functools.partial(setting, effect=effect) for effect in ("learning", "training", "online", "flight")
)
_SPEED = "0.8 in training, the checkpoint's speed in flight"


@dataclass(frozen=True)
class NetworkConfig:
    """Network and action space."""

    network: str = setting(
        "tiny_net",
        "network to train or fly (docs/learning.md), or FILE.py:NAME for your own; tinyv2, the name in "
        "published experiments, is tiny_net",
        types.network,
    )
    n_frames: Optional[int] = setting(
        None, "number of input frames of a multi-frame network (default: 5)", whole(1)
    )
    discrete: bool = setting(False, "classify the yaw rate into bins instead of regressing it")
    stochastic: bool = setting(
        False,
        "regress mean and variance of the yaw rate; in flight the yaw rate is drawn with them",
    )
    action_quantity: int = setting(3, "number of bins between -action_bound and action_bound", whole(2))
    action_bound: float = setting(
        1.0,
        "maximum yaw rate, rad/s; labels are clipped to it",
        real(0, open_least=True),
    )
    speed: Optional[float] = setting(
        None, f"forward speed when flying straight, m/s (default: {_SPEED})", real(0, 5)
    )
    turn_speed: Optional[float] = setting(
        None,
        f"forward speed when |yaw rate| > 0.3 rad/s, m/s (default: {_SPEED})",
        real(0, 5),
    )
    dropout: Optional[float] = _learning(
        None,
        "dropout probability in training, for networks with dropout",
        real(0, 0.99),
    )
    batch_norm: bool = _learning(
        False, "use batch normalisation after each convolution, for networks that support it"
    )
    pretrained: bool = _learning(
        False,
        "start from torchvision's ImageNet weights, which must be in torch's cache folder",
    )
    pretrained_weights: str = _learning("", "start from the ImageNet weights in this file", str)
    feature_extract: bool = _learning(
        False,
        "train only the last layers; the feature layers are frozen",
    )


@dataclass(frozen=True)
class DataConfig:
    """Data."""

    data_root: Optional[str] = _learning(
        None,
        "folder of all datasets (default: environment variable NAV_PKG_DATA or ~/.local/share/nav_pkg/data)",
        str,
        resumes="both",
    )
    dataset: str = _training(
        "esatv3_expert_500",
        "dataset to train on: a name below --data_root, or a path that begins with /, . or ~",
        str,
    )
    subsample: int = _training(1, "use every n-th frame of each training run", whole(1))
    validation_subsample: int = _training(1, "validate and test on every n-th frame of each run", whole(1))
    load_data_in_ram: bool = _training(
        False,
        "load all images into memory instead of reading them from the packs",
        resumes="training",
    )
    copy_dataset: bool = _training(
        False,
        "keep the packs on this host's local disk (TMPDIR or /tmp)",
        resumes="training",
    )
    labels: str = _training(
        "expert",
        "labels: the expert's commands, or the applied commands",
        str,
        choices=("expert", "applied"),
    )
    recovery_compensation: Optional[float] = _learning(
        None,
        "also learn from the recovery cameras; their label is the expert's, changed by this yaw rate "
        "towards the front camera's direction, rad/s (default: only the front camera)",
        real(0, open_least=True),
    )
    normalized_output: bool = _learning(False, "balance left, straight and right within each training batch")
    shifted_input: bool = setting(False, "normalise input images to x - 0.5 for x in [0, 1]")
    scaled_input: bool = setting(False, "normalise input images to (x - mean) / std per channel")
    scale_means: Optional[Tuple[float, ...]] = setting(
        None,
        "means of red, green and blue for --scaled_input (default: 0.5 0.46 0.42)",
        real(-math.inf),
        nargs=3,
    )
    scale_stds: Optional[Tuple[float, ...]] = setting(
        None,
        "standard deviations of red, green and blue for --scaled_input (default: 0.2575 0.239 0.218)",
        real(0, open_least=True),
        nargs=3,
    )


@dataclass(frozen=True)
class TrainingConfig:
    """Training."""

    loss: str = _learning("MSE", "loss function: MSE or CrossEntropy", str)
    optimizer: str = _learning("SGD", "optimiser in torch.optim: SGD, Adam, Adadelta, ...", str)
    learning_rate: float = _learning(0.1, "learning rate", real(0, open_least=True))
    batch_size: int = _learning(64, "number of frames in a batch (recurrent networks: windows)", whole(1))
    max_steps: int = _learning(0, "total number of gradient steps; 0: no limit", whole(0), resumes="flight")
    weight_decay: float = _learning(0.0, "weight decay (L2 penalty) of the optimiser", real(0))
    momentum: float = _learning(0.0, "momentum of the optimiser, if it has one", real(0))
    clip: float = _learning(0.0, "maximum norm of the gradient; 0: no limit", real(0))
    lr_schedule: str = _learning(
        "constant",
        "schedule of the learning rate",
        str,
        choices=("constant", "step", "exponential", "cosine"),
    )
    lr_decay: float = _learning(0.1, "factor of the learning rate schedule", real(0, 1, open_least=True))
    lr_decay_every: int = _learning(0, "gradient steps between two applications of --lr_decay", whole(0))
    max_episodes: int = _training(
        1000,
        "total number of episodes; an episode is up to 100 batches and a validation",
        whole(1),
        resumes="training",
    )


@dataclass(frozen=True)
class RecurrentConfig:
    """Recurrent networks."""

    time_length: Optional[int] = _learning(
        None,
        "number of frames in a window (default: 10); -1: whole runs (F-BPTT)",
        types.time_length,
    )
    init_state: Optional[Tuple[str, ...]] = _learning(
        None,
        "initial state of a shuffled window (WW-TBPTT): full, zero, carried or burn_in N (default: carried "
        "offline, zero in flight)",
        str,
        nargs="+",
    )
    sliding_tbptt: bool = _training(
        False,
        "slide the window along the runs (S-TBPTT) instead of shuffling windows",
    )
    sliding_step_size: Optional[int] = _training(
        None, "number of frames by which the window slides (default: 1)", whole(1)
    )
    accum_grads: bool = _training(False, "make one gradient step per slide, with the mean of its gradients")


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
    log_tag: str = _learning(
        "testing",
        "log folder below --summary_dir; the folder testing is always overwritten",
        types.name,
        short="-t",
        resumes="flight",
    )
    owr: bool = _learning(False, "delete the content of the log folder and start over", resumes="both")
    tensorboard: bool = _learning(False, "write TensorBoard events", resumes="both")
    continue_training: bool = _learning(False, "also restore the checkpoint's optimiser state and counts")
    create_scratch_checkpoint: bool = _training(False, "save the initial weights to the log folder and exit")
    evaluate: bool = _training(
        False,
        "evaluate --checkpoint_path on the validation and test set without training",
    )


@dataclass(frozen=True)
class MachineConfig:
    """Machine."""

    random_seed: int = setting(123, "seed of initial weights, order of frames and noise", whole(0, 2**32 - 1))
    device: str = setting("auto", "device of the network", str, choices=("auto", "cpu", "cuda", "gpu"))
    num_threads: int = setting(
        0,
        "number of processor threads; 0: all cores that this process may use",
        whole(0, MOST_THREADS),
        resumes="training",
    )
    amp: bool = _learning(False, "use mixed precision (torch.autocast with bfloat16)")
    compile: bool = _training(False, "use torch.compile; the first batch takes about a minute")
    wall_time: float = _training(
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
    alpha: float = _flight(0.0, "probability per frame that the expert's command is executed", real(0, 1))
    pause_simulator: bool = _flight(
        False,
        "has no effect: lock-step always waits for every answer",
    )
    no_training: bool = _flight(False, "fly without learning")
    trust_torchscript: bool = _flight(
        False,
        "load an exported .pt file that you made: it is a program that runs with your rights",
    )
    perturbation: str = _flight(
        "none",
        "perturbation of the network's input images: none, light:S, blur:S or noise:S (docs/evaluation.md)",
        types.perturbation,
    )
    noise: str = _flight("none", "noise on the executed command", str, choices=("none", "ou", "uni", "gau"))
    ou_theta: float = _flight(
        0.05, "rate at which Ornstein-Uhlenbeck noise returns to 0, per frame", real(0, 1)
    )
    sigma_x: float = _flight(0.0, "size of the noise on the forward speed, m/s", real(0))
    sigma_y: float = _flight(0.0, "size of the noise on the sideward speed, m/s", real(0))
    sigma_z: float = _flight(0.0, "size of the noise on the vertical speed, m/s", real(0))
    sigma_yaw: float = _flight(0.0, "size of the noise on the yaw rate, rad/s", real(0))


@dataclass(frozen=True)
class ReplayConfig:
    """Learning in flight."""

    buffer_size: int = _online(
        -1,
        "capacity of the replay buffer, frames; -1: as many as fit into memory",
        types.buffer_size,
    )
    min_buffer_size: int = _online(
        0,
        "number of frames in the buffer before learning begins; at least a batch",
        whole(0),
        short="--prefill",
    )
    prefill_dataset: str = _online(
        "",
        "dataset whose training frames fill the buffer before the first run",
        str,
    )
    prefill_frames: int = _online(
        0, "number of frames to draw from --prefill_dataset with the seed; 0: as many as fit", whole(0)
    )
    buffer_update_rule: str = _online(
        "fifo",
        "frame that is removed from a full buffer: the oldest (fifo), or the one with the smallest loss at "
        "its last update (hard); empty removes all frames after they were learned from",
        str,
        choices=("fifo", "hard", "empty"),
    )
    replay_priority: str = _online(
        "no",
        "draw frames uniformly (no), or in proportion to their last loss (loss)",
        str,
        choices=("no", "loss"),
    )
    gradient_steps: int = _online(1, "number of gradient steps per frame", whole(1))
    train_every_N_steps: int = _online(1, "learn only at every N-th frame", whole(1))
    export_buffer: bool = _online(
        False,
        "has no effect: the buffer is always saved with the checkpoint",
        resumes="both",
    )
    continual_learning: bool = _online(
        False,
        "penalise changes of weights that were important for earlier frames (memory aware synapses, MAS)",
    )
    continual_learning_lambda: float = _online(1.0, "weight of the MAS penalty", real(0))
    loss_window_length: int = _online(
        5,
        "number of losses in which a plateau is detected; on a plateau the importance is computed",
        whole(2),
    )
    loss_window_mean_threshold: float = _online(0.1, "maximum mean of these losses on a plateau", real(0))
    loss_window_std_threshold: float = _online(
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
    """All settings of main.py. A flag that would have no effect is an error, never ignored."""

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
