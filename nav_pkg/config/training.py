"""The settings of main.py that say what is learned: network, data, training, recurrent networks."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Optional, Tuple

from nav_pkg.config import types
from nav_pkg.config.setting import setting
from nav_pkg.config.types import integer, real

learning, training, online, flight = (
    functools.partial(setting, effect=effect) for effect in ("learning", "training", "online", "flight")
)
"""Settings by where they have an effect: see `Setting.effect`."""
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
        None, "number of input frames of a multi-frame network (default: 5)", integer(1)
    )
    discrete: bool = setting(False, "classify the yaw rate into bins instead of regressing it")
    stochastic: bool = setting(
        False,
        "regress mean and variance of the yaw rate; in flight the yaw rate is drawn with them",
    )
    action_quantity: int = setting(3, "number of bins between -action_bound and action_bound", integer(2))
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
    dropout: Optional[float] = learning(
        None,
        "dropout probability in training, for networks with dropout",
        real(0, 0.99),
    )
    batch_norm: bool = learning(
        False, "use batch normalisation after each convolution, for networks that support it"
    )
    pretrained: bool = learning(
        False,
        "start from torchvision's ImageNet weights, which must be in torch's cache folder",
    )
    pretrained_weights: str = learning("", "start from the ImageNet weights in this file", str)
    feature_extract: bool = learning(
        False,
        "train only the last layers; the feature layers are frozen",
    )


@dataclass(frozen=True)
class DataConfig:
    """Data."""

    data_root: Optional[str] = learning(
        None,
        "folder of all datasets (default: environment variable NAV_PKG_DATA or ~/.local/share/nav_pkg/data)",
        str,
        resumes="both",
    )
    dataset: str = training(
        "esatv3_expert_500",
        "dataset to train on: a name below --data_root, or a path that begins with /, . or ~",
        str,
    )
    subsample: int = training(1, "use every n-th frame of each training run", integer(1))
    validation_subsample: int = training(1, "validate and test on every n-th frame of each run", integer(1))
    load_data_in_ram: bool = training(
        False,
        "load all images into memory instead of reading them from the packs",
        resumes="training",
    )
    copy_dataset: bool = training(
        False,
        "keep the packs on this host's local disk (TMPDIR or /tmp)",
        resumes="training",
    )
    labels: str = training(
        "expert",
        "labels: the expert's commands, or the applied commands",
        str,
        choices=("expert", "applied"),
    )
    recovery_compensation: Optional[float] = learning(
        None,
        "also learn from the recovery cameras; their label is the expert's, changed by this yaw rate "
        "towards the front camera's direction, rad/s (default: only the front camera)",
        real(0, open_least=True),
    )
    normalized_output: bool = learning(False, "balance left, straight and right within each training batch")
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

    loss: str = learning("MSE", "loss function: MSE or CrossEntropy", str)
    optimizer: str = learning("SGD", "optimiser in torch.optim: SGD, Adam, Adadelta, ...", str)
    learning_rate: float = learning(0.1, "learning rate", real(0, open_least=True))
    batch_size: int = learning(64, "number of frames in a batch (recurrent networks: windows)", integer(1))
    max_steps: int = learning(0, "total number of gradient steps; 0: no limit", integer(0), resumes="flight")
    weight_decay: float = learning(0.0, "weight decay (L2 penalty) of the optimiser", real(0))
    momentum: float = learning(0.0, "momentum of the optimiser, if it has one", real(0))
    clip: float = learning(0.0, "maximum norm of the gradient; 0: no limit", real(0))
    lr_schedule: str = learning(
        "constant",
        "schedule of the learning rate",
        str,
        choices=("constant", "step", "exponential", "cosine"),
    )
    lr_decay: float = learning(0.1, "factor of the learning rate schedule", real(0, 1, open_least=True))
    lr_decay_every: int = learning(0, "gradient steps between two applications of --lr_decay", integer(0))
    max_episodes: int = training(
        1000,
        "total number of episodes; an episode is up to 100 batches and a validation",
        integer(1),
        resumes="training",
    )


@dataclass(frozen=True)
class RecurrentConfig:
    """Recurrent networks."""

    time_length: Optional[int] = learning(
        None,
        "number of frames in a window (default: 10); -1: whole runs (F-BPTT)",
        types.time_length,
    )
    init_state: Optional[Tuple[str, ...]] = learning(
        None,
        "initial state of a shuffled window (WW-TBPTT): full, zero, carried or burn_in N (default: carried "
        "offline, zero in flight)",
        str,
        nargs="+",
    )
    sliding_tbptt: bool = training(
        False,
        "slide the window along the runs (S-TBPTT) instead of shuffling windows",
    )
    sliding_step_size: Optional[int] = training(
        None, "number of frames by which the window slides (default: 1)", integer(1)
    )
    accum_grads: bool = training(False, "make one gradient step per slide, with the mean of its gradients")
