"""The learner's flags as data: one table for main.py, for wrappers that pass flags on, and for docs.

Nothing heavy is imported here.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

from nav_pkg.cli import flags
from nav_pkg.core import UsageError

MOST_THREADS = 1024
"""Each of them is made, which takes a machine's last process number and memory where they are too many."""


def whole(least: int, most: Optional[int] = None) -> Callable[[str], int]:
    """An argparse type: a whole number of at least `least`, at most `most`."""
    limits = f"at least {least}" if most is None else f"{least} to {most}"

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{value} is not {limits}")
        return value

    return convert


def real(least: float, most: float = math.inf, open_least: bool = False) -> Callable[[str], float]:
    """An argparse type: a finite number of at least (or, `open_least`, above) `least`, at most `most`."""
    limits = f"{'above' if open_least else 'at least'} {least:g}"
    limits += "" if math.isinf(most) else f" and at most {most:g}"

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        low = value <= least if open_least else value < least
        if not math.isfinite(value) or low or value > most:
            raise argparse.ArgumentTypeError(f"{text} is not {limits}")
        return value

    return convert


def buffer_size(text: str) -> int:
    """An argparse type: a number of frames, or -1 for as many as memory holds."""
    return -1 if text.strip() == "-1" else whole(1)(text)


def time_length(text: str) -> int:
    """An argparse type: a number of frames, or -1 for whole runs."""
    return -1 if text.strip() == "-1" else whole(1)(text)


def network(text: str) -> str:
    """An argparse type: a network's name, or FILE.py:NAME with the file made absolute."""
    path, colon, name = text.rpartition(":")
    if not colon:
        return text
    file = Path(path).expanduser().resolve()
    if not path.endswith(".py") or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a network's name nor FILE.py:NAME")
    if not file.is_file():
        raise argparse.ArgumentTypeError(f"{text!r}: there is no file {file}")
    return f"{file}:{name}"


def absolute_network(words: Sequence[str]) -> List[str]:
    """A command line whose `--network FILE.py:NAME` means the same in every folder.

    Raises:
        UsageError: the file is not there.
    """
    made: List[str] = []
    for word in words:
        flag, equals, value = word.partition("=")
        own = ".py:" in word
        try:
            if own and flag == "--network" and equals:
                word = f"--network={network(value)}"
            elif own and made and made[-1] == "--network":
                word = network(word)
        except argparse.ArgumentTypeError as error:
            raise UsageError(f"--network: {error}") from None
        made.append(word)
    return made


def perturbation(text: str) -> str:
    """An argparse type: `none`, or a perturbation of images and its strength."""
    from nav_pkg.learn.perturbation import Perturbation

    try:
        return str(Perturbation.parse(text))
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        name: with dashes.
        help: one sentence.
        default: None for flags that have none; False for switches.
        type: converts the text; None for a switch.
        short: a second spelling.
        nargs: number of values, when not one; "+" for one or more.
        choices: the values that are taken, when few.
        owner: where it has an effect: `learner` (always), `learning` (wherever something is learned),
            `training` (offline only), `online` (learning in flight only) or `flight` (with --online only).
        group: heading in the help.
        free: may differ when a training is resumed, as it does not change what is learned.
    """

    name: str
    help: str
    default: Any = False
    type: Optional[Callable[[str], Any]] = None
    short: str = ""
    nargs: Union[int, str, None] = None
    choices: Optional[tuple[str, ...]] = None
    owner: str = "learner"
    group: str = "training"
    free: bool = False

    @property
    def key(self) -> str:
        """The attribute that argparse stores the value under."""
        return self.name.lstrip("-")


def _flags(owner: str, group: str, *rows: Flag) -> tuple[Flag, ...]:
    return tuple(Flag(**{**vars(row), "owner": owner, "group": group}) for row in rows)


_SPEED = "0.8 when training, the checkpoint's in flight"

FLAGS: tuple[Flag, ...] = (
    *_flags(
        "learner",
        "network and action space",
        Flag(
            "--network",
            "network to train or fly, see docs/learning.md, or FILE.py:NAME, one of your own; "
            "tinyv2, the name of "
            "some published experiments, is tiny_net, which they ran on",
            "tiny_net",
            network,
        ),
        Flag("--n_frames", "frames that a network of several frames takes (5)", None, whole(1)),
        Flag("--discrete", "classify the yaw rate into bins; else regress it"),
        Flag("--stochastic", "regress mean and variance of the yaw rate, and fly what is drawn from them"),
        Flag("--action_quantity", "number of bins over +-action_bound", 3, whole(2)),
        Flag(
            "--action_bound",
            "largest yaw rate, rad/s; labels are limited to it",
            1.0,
            real(0, open_least=True),
        ),
        Flag("--speed", f"forward speed when flying straight, m/s ({_SPEED})", None, real(0, 5)),
        Flag("--turn_speed", f"forward speed when |yaw| > 0.3 rad/s, m/s ({_SPEED})", None, real(0, 5)),
    ),
    *_flags(
        "learning",
        "network and action space",
        Flag(
            "--dropout",
            "share of hidden units dropped while training, for networks that can",
            None,
            real(0, 0.99),
        ),
        Flag("--batch_norm", "batch normalisation behind each convolution, for networks that can"),
        Flag("--pretrained", "start from torchvision's ImageNet weights, out of torch's cache folder"),
        Flag("--pretrained_weights", "start from ImageNet weights in this file", "", str),
        Flag("--feature_extract", "learn the last layers only; the feature layers stay as they are"),
    ),
    *_flags(
        "learning",
        "data",
        Flag("--data_root", "folder of all datasets (environment NAV_PKG_DATA)", None, str, free=True),
    ),
    *_flags(
        "training",
        "data",
        Flag("--dataset", "dataset to train on: a name under --data_root", "esatv3_expert_500", str),
        Flag("--subsample", "keep every n-th frame of each training run", 1, whole(1)),
        Flag("--load_data_in_ram", "copy all images into memory instead of mapping packs", free=True),
        Flag("--copy_dataset", "keep packs on this node's own disk (TMPDIR or /tmp)", free=True),
        Flag(
            "--labels",
            "whose command is learned: the expert's, or the one that was applied",
            "expert",
            str,
            choices=("expert", "applied"),
        ),
    ),
    *_flags(
        "learning",
        "data",
        Flag(
            "--recovery_compensation",
            "learn from recovery cameras too, whose labels are the expert's turned back by this much, rad/s "
            "(none: the first camera alone)",
            None,
            real(0, open_least=True),
        ),
        Flag("--normalized_output", "balance left, straight and right in training batches"),
    ),
    *_flags(
        "learner",
        "data",
        Flag("--shifted_input", "input x - 0.5, with x in [0, 1]"),
        Flag("--scaled_input", "input (x - mean) / std per channel"),
        Flag(
            "--scale_means",
            "red, green, blue, for --scaled_input (0.5 0.46 0.42)",
            None,
            real(-math.inf),
            nargs=3,
        ),
        Flag(
            "--scale_stds",
            "red, green, blue, for --scaled_input (0.2575 0.239 0.218)",
            None,
            real(0, open_least=True),
            nargs=3,
        ),
    ),
    *_flags(
        "learning",
        "training",
        Flag("--loss", "MSE or CrossEntropy", "MSE", str),
        Flag("--optimizer", "one of torch.optim: SGD, Adam, Adadelta, ...", "SGD", str),
        Flag("--learning_rate", "step size", 0.1, real(0, open_least=True)),
        Flag("--batch_size", "frames in a batch", 64, whole(1)),
        Flag("--max_steps", "gradient steps in all; 0 for no limit", 0, whole(0)),
        Flag("--weight_decay", "L2 penalty", 0.0, real(0)),
        Flag("--momentum", "for optimisers that have it", 0.0, real(0)),
        Flag("--clip", "largest norm of the gradient; 0 for no limit", 0.0, real(0)),
        Flag(
            "--lr_schedule",
            "how the step size changes",
            "constant",
            str,
            choices=("constant", "step", "exponential", "cosine"),
        ),
        Flag("--lr_decay", "factor of the schedule", 0.1, real(0, 1, open_least=True)),
        Flag("--lr_decay_every", "gradient steps of the schedule's factor", 0, whole(0)),
    ),
    *_flags(
        "training",
        "training",
        Flag(
            "--max_episodes",
            "episodes (up to 100 batches, then validation) in all",
            1000,
            whole(1),
            free=True,
        ),
    ),
    *_flags(
        "learning",
        "recurrent networks",
        Flag("--time_length", "frames in a window (10); -1 for whole runs (F-BPTT)", None, time_length),
        Flag(
            "--init_state",
            "state that a shuffled window (WW-TBPTT) begins with: full, zero, carried, or burn_in N "
            "(offline carried, in flight zero)",
            None,
            str,
            nargs="+",
        ),
    ),
    *_flags(
        "training",
        "recurrent networks",
        Flag("--sliding_tbptt", "slide the window along the runs (S-TBPTT) instead of shuffling windows"),
        Flag("--sliding_step_size", "frames that the window slides by (1)", None, whole(1)),
        Flag("--accum_grads", "one gradient step a slide, by the mean of its gradients"),
    ),
    *_flags(
        "learner",
        "checkpoints and logs",
        Flag(
            "--checkpoint_path",
            "start from this checkpoint: a log folder or a file; '' for none; in flight also an exported "
            ".onnx file",
            "",
            str,
        ),
        Flag("--summary_dir", "folder of all logs (environment NAV_PKG_LOG)", None, str, free=True),
    ),
    *_flags(
        "learning",
        "checkpoints and logs",
        Flag(
            "--log_tag",
            "log folder below --summary_dir; 'testing' is always overwritten",
            "testing",
            flags.name,
            "-t",
        ),
        Flag("--owr", "remove what the log folder holds and start anew", free=True),
        Flag("--tensorboard", "write TensorBoard events", free=True),
        Flag("--continue_training", "take over the checkpoint's optimiser state and counts, too"),
    ),
    *_flags(
        "training",
        "checkpoints and logs",
        Flag("--create_scratch_checkpoint", "save fresh weights to the log folder and stop"),
        Flag("--evaluate", "score --checkpoint_path on the validation and test set, and learn nothing"),
    ),
    *_flags(
        "learner",
        "machine",
        Flag("--random_seed", "of weights, order and noise", 123, whole(0, 2**32 - 1)),
        Flag("--device", "where to compute", "auto", str, choices=("auto", "cpu", "cuda", "gpu")),
        Flag(
            "--num_threads",
            "processor threads; 0 for all that this process may use",
            0,
            whole(0, MOST_THREADS),
            free=True,  # a warning says that last bits may differ
        ),
    ),
    *_flags(
        "learning",
        "machine",
        Flag("--amp", "compute in bfloat16 where that is safe (torch.autocast)"),
    ),
    *_flags(
        "training",
        "machine",
        Flag("--compile", "compile the network (torch.compile; the first batch takes a minute)"),
        Flag(
            "--wall_time",
            "seconds after which to save and exit with 85; 0 for no limit",
            0.0,
            real(0),
            free=True,
        ),
    ),
    *_flags(
        "learner",
        "flight",
        Flag("--online", "run as the learner node of a flight, and learn unless told not to"),
    ),
    *_flags(
        "online",
        "learning in flight",
        Flag("--buffer_size", "frames in the replay buffer; -1 for as many as memory holds", -1, buffer_size),
        Flag(
            "--min_buffer_size",
            "frames in the buffer before learning begins; never less than a batch",
            0,
            whole(0),
            "--prefill",
        ),
        Flag(
            "--prefill_dataset",
            "put frames of this dataset's training set into the buffer before the first run",
            "",
            str,
        ),
        Flag("--prefill_frames", "how many of them, drawn by the seed; 0 for as many as fit", 0, whole(0)),
        Flag(
            "--buffer_update_rule",
            "what makes room: the oldest frame goes, the one with the smallest loss goes (hard), or all go "
            "once they were learned from (empty)",
            "fifo",
            str,
            choices=("fifo", "hard", "empty"),
        ),
        Flag(
            "--replay_priority",
            "draw frames alike, or in proportion to their last loss",
            "no",
            str,
            choices=("no", "loss"),
        ),
        Flag("--gradient_steps", "gradient steps a frame", 1, whole(1)),
        Flag("--train_every_N_steps", "learn at every N-th frame only", 1, whole(1)),
        Flag("--export_buffer", "accepted: the buffer is always saved with the checkpoint", free=True),
        Flag("--continual_learning", "hold weights that mattered for what was learned before (MAS)"),
        Flag("--continual_learning_lambda", "strength of that", 1.0, real(0)),
        Flag("--loss_window_length", "losses that tell a plateau, at which importance is taken", 5, whole(2)),
        Flag("--loss_window_mean_threshold", "largest mean of these losses on a plateau", 0.1, real(0)),
        Flag("--loss_window_std_threshold", "largest standard deviation of them", 0.1, real(0)),
    ),
    *_flags(
        "flight",
        "flight",
        Flag("--alpha", "probability per frame that the expert's command is executed", 0.0, real(0, 1)),
        Flag("--pause_simulator", "let simulated time wait for each answer (which lock-step always does)"),
        Flag("--no_training", "fly and do not learn"),
        Flag(
            "--trust_torchscript",
            "fly an exported .pt file that you made yourself: it is a program that runs with your rights",
        ),
        Flag(
            "--perturbation",
            "what is done to images before the net sees them: none, light:S, blur:S or noise:S",
            "none",
            perturbation,
        ),
        Flag("--noise", "noise on commands", "none", str, choices=("none", "ou", "uni", "gau")),
        Flag("--ou_theta", "pull of Ornstein-Uhlenbeck noise towards 0, per frame", 0.05, real(0, 1)),
        Flag("--sigma_x", "noise on forward speed, m/s", 0.0, real(0)),
        Flag("--sigma_y", "noise on sideward speed, m/s", 0.0, real(0)),
        Flag("--sigma_z", "noise on vertical speed, m/s", 0.0, real(0)),
        Flag("--sigma_yaw", "noise on the yaw rate, rad/s", 0.0, real(0)),
    ),
)
"""All flags of main.py. A flag's value is refused, never ignored, where its owner is not at work."""

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

BY_KEY: dict[str, Flag] = {flag.key: flag for flag in FLAGS}


def offline_values(args: argparse.Namespace) -> dict[str, Any]:
    """The values of the flags of offline training, by key."""
    without = ("flight", "learning in flight")
    return {flag.key: getattr(args, flag.key) for flag in FLAGS if flag.group not in without}


def add_to(parser: argparse.ArgumentParser, only_given: bool = False) -> None:
    """Declare the learner's flags on a parser, in groups.

    Args:
        parser: main.py's, or that of a wrapper which passes them on.
        only_given: leave flags that are not given out of the result, instead of their defaults.
    """
    groups: dict[str, Any] = {}
    for flag in FLAGS:
        if flag.group not in groups:
            groups[flag.group] = parser.add_argument_group(flag.group)
        names = [flag.short, flag.name] if flag.short else [flag.name]
        options: dict[str, Any] = {"help": flag.help.replace("%", "%%"), "dest": flag.key}
        options["default"] = argparse.SUPPRESS if only_given else flag.default
        if flag.type is None:
            options["action"] = "store_true"
        else:
            options["type"] = flag.type
            options["metavar"] = flag.key.rsplit("_", 1)[-1].upper() if flag.choices is None else None
            if flag.nargs:
                options["nargs"] = flag.nargs
            if flag.choices:
                options["choices"] = flag.choices
        groups[flag.group].add_argument(*names, **options)
