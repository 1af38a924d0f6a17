"""The flags of learning in flight: complete them from a checkpoint, and check them before the start."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from nav_pkg import nets
from nav_pkg.config.learner import SETTINGS, LearnerConfig
from nav_pkg.core import UsageError
from nav_pkg.learn.checkpoints import checkpoint
from nav_pkg.learn.checkpoints.checkpoint import Checkpoint
from nav_pkg.learn.deployment.pilot import check_given, described_flags
from nav_pkg.learn.online.prefill import Prefill
from nav_pkg.learn.online.replay import frames_that_fit
from nav_pkg.learn.training import folder
from nav_pkg.learn.training.log import say
from nav_pkg.learn.training.parts import FLIGHT, TrainingParts


def learning_config(args: LearnerConfig, where: Optional[Path] = None) -> LearnerConfig:
    """Complete a learner's settings: network settings that are not given come from the checkpoint.

    Args:
        args: the settings of main.py.
        where: the log folder to resume, whose own checkpoint then describes the net (the checkpoint that
            the training started from may be deleted); None for a new training.

    Raises:
        UsageError: a flag contradicts the checkpoint.
        DataError: the checkpoint is damaged, or missing and not a scratch checkpoint to be created.
    """
    if not args.checkpoint_path:
        return args
    path = args.checkpoint_path if where is None else str(where.resolve())
    file = checkpoint.locate(path, args.summary_dir)
    if not file.is_file() and Path(path).name == f"{args.network}_scratch":
        return args
    loaded = checkpoint.load(path, args.summary_dir, args.given.get("network"))
    check_given(loaded, args.given, path)
    values = {key: value for key, value in described_flags(loaded).items() if value is not None}
    values.update({key: value for key, value in loaded.net_options.items() if key in SETTINGS})
    values["network"] = loaded.network
    if where is not None:
        # use the exact values of the session's start, since its configuration has to be the same
        before = folder.started_with(where)
        values = {key: before.get(key, value) for key, value in values.items()}
    return dataclasses.replace(
        args, **{key: value for key, value in values.items() if key not in args.given_keys}
    )


def described_words(loaded: Checkpoint) -> List[List[str]]:
    """The command-line words that select a checkpoint's net: one list per flag, with its values."""
    words = [["--network", nets.flag_value(loaded.network)]]
    for key, value in {**described_flags(loaded), **loaded.net_options}.items():
        if value is None or value is False:
            continue
        values = value if isinstance(value, (list, tuple)) else [] if value is True else [value]
        words.append([f"--{key}", *map(str, values)])
    return words


def check(
    args: LearnerConfig,
    camera: Sequence[int],
    sides: Sequence[str] = (),
    where: Optional[Path] = None,
) -> None:
    """Check the flags of a learner before a log folder is created or emptied, or a simulator started.

    Args:
        args: as for `learning_config`.
        camera: width and height of the camera, pixels.
        sides: names of the robot's side cameras.
        where: as for `learning_config`.

    Raises:
        UsageError: flags exclude each other, or contradict the checkpoint.
        DataError: a checkpoint is missing or damaged, or its training cannot continue with this camera.
    """
    parts = TrainingParts(dataclasses.replace(learning_config(args, where), owr=where is None), where)
    check_learner(parts)
    resumed = None if where is None else resumable(where, parts.network)
    sides = side_cameras(parts, sides)
    room = capacity(parts, sides, resumed)
    if resumed is None:
        prefill = Prefill(parts, sides, camera, room) if parts.config.prefill_dataset else None
        parts.start_weights(flight_facts(camera), write=False)
        if prefill:
            prefill.read()  # create packs now, before the learner starts


def flight_facts(camera: Sequence[int]) -> Dict[str, Any]:
    """The facts of a flight, in place of a dataset's facts."""
    return {"name": FLIGHT, "hash": "", "camera": list(camera)}


def resumable(where: Path, network: str) -> Checkpoint:
    """Load the checkpoint of a log folder to resume.

    Raises:
        UsageError: another command wrote the checkpoint.
        DataError: the checkpoint is damaged, or of another network.
    """
    loaded = checkpoint.load(where.resolve(), network=network)
    if "segments" not in loaded.progress:
        raise UsageError(
            f"{where / checkpoint.MODEL_FILE}: was not written by learning in flight: give --owr, or another "
            "--log_tag with this one as --checkpoint_path"
        )
    return loaded


def side_cameras(parts: TrainingParts, names: Sequence[str]) -> Tuple[str, ...]:
    """The side cameras to learn from; empty without --recovery_compensation.

    Raises:
        UsageError: the flags select side cameras and the robot has none.
    """
    compensation = parts.config.recovery_compensation
    if compensation is None:
        return ()
    if not names:
        raise UsageError(
            f"--recovery_compensation {compensation:g}: the robot has no recovery cameras: leave it out, or "
            "fly one that has (--robot drone_recovery)"
        )
    return tuple(names)


_ONLY_CONTINUAL = {
    "continual_learning_lambda": 1.0,
    "loss_window_length": 5,
    "loss_window_mean_threshold": 0.1,
    "loss_window_std_threshold": 0.1,
}
"""Flags of --continual_learning, with their defaults."""


def check_learner(parts: TrainingParts) -> None:
    """Raise UsageError for settings that learning in flight does not support."""
    args, network, spec = parts.config, parts.network, nets.spec(parts.network)
    if args.buffer_update_rule == "hard" and spec.kind in ("recurrent", "frames"):
        raise UsageError(
            f"--buffer_update_rule hard: leaves gaps, and {network} learns frames that follow each other: "
            "use fifo"
        )
    if spec.kind == "recurrent":
        if args.replay_priority != "no":
            raise UsageError(f"--replay_priority: {network} learns sequences: leave it out")
        if args.time_length == -1:
            raise UsageError("--time_length -1: whole runs are learned offline: give a number of frames")
        if args.init_state and parts.method_flags.init_state.kind in ("full", "carried"):
            raise UsageError(
                f"--init_state {' '.join(args.init_state)}: replayed windows begin with zero or burn_in N"
            )
    if args.prefill_dataset and args.buffer_update_rule == "empty":
        raise UsageError(
            f"--prefill_dataset {args.prefill_dataset}: --buffer_update_rule empty drops it with the first "
            "frame: use fifo or hard"
        )
    if args.recovery_compensation is not None and args.perturbation != "none":
        raise UsageError(
            f"--perturbation {args.perturbation}: changes only the first camera's images, and "
            "--recovery_compensation learns from others too: leave one of them out"
        )
    if not args.continual_learning:
        for flag, default in _ONLY_CONTINUAL.items():
            if getattr(args, flag) != default:
                raise UsageError(f"--{flag} has no effect without --continual_learning: add it")


def capacity(parts: TrainingParts, sides: Sequence[str] = (), resumed: Optional[Checkpoint] = None) -> int:
    """The number of frames that the replay buffer may hold.

    Args:
        parts: parts of the learner.
        sides: the side cameras to learn from; each of their images counts as a frame.
        resumed: the checkpoint to resume from; it stores the number that -1 stood for at the start.

    Raises:
        UsageError: the buffer does not fit into memory, or it is too small to learn from.
    """
    args, image_bytes = parts.config, int(np.prod(parts.preprocessing.size)) * 3
    fits = frames_that_fit(image_bytes)
    count = args.buffer_size
    if count == -1:
        count = fits or 100_000
        if resumed is not None:
            count = resumed.progress["replay"].get("capacity", count)
            if fits is not None and count > fits:
                say(
                    f"note: the replay buffer had room for {count} frames "
                    f"({count * image_bytes / 1e9:.1f} GB) at the start and keeps it; half of the memory "
                    f"that is free now holds {fits}"
                )
    elif fits is not None and count > fits:
        raise UsageError(
            f"--buffer_size {count}: takes {count * image_bytes / 1e9:.1f} GB, and half of the free "
            f"memory holds {fits} frames of {parts.network}: give fewer, or -1 for as many as fit"
        )
    method_flags = parts.method_flags
    past = method_flags.time_length - 1 if method_flags.recurrent else max(0, method_flags.n_frames - 1)
    least = max(args.batch_size, args.min_buffer_size) + past * (1 + len(sides))
    if count < least:
        raise UsageError(
            f"--buffer_size {count}: must be at least {least} (from --batch_size, --min_buffer_size and the "
            "frames that the network needs at once): give more"
        )
    return count
