"""The learner's flags of a session: complete and check them before any folder is created."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Tuple

from nav_pkg.config import learner
from nav_pkg.config.session import SessionConfig
from nav_pkg.core import UsageError
from nav_pkg.flight.schedule import FlightSchedule
from nav_pkg.learn.checkpoints import checkpoint_paths
from nav_pkg.learn.training import prechecks
from nav_pkg.learn.training.folder import can_resume
from nav_pkg.sim import description
from nav_pkg.sim.cameras import side_cameras


def learner_flags(
    args: SessionConfig, schedule: FlightSchedule, given: List[str], resumed: Optional[Path]
) -> Tuple[List[str], str]:
    """Complete and check the flags of main.py for the pilot or learner of a session.

    Args:
        args: the settings of run_script.py.
        schedule: the session's flights.
        given: the flags of main.py that were given.
        resumed: the log folder whose session may be resumed; None to start over.

    Returns:
        The flags, empty when no learner is needed; and a warning about the camera, empty for none.

    Raises:
        UsageError: a learner is needed and there is none, or a flag contradicts the checkpoint.
        DataError: the checkpoint is missing or damaged.
    """
    checkpoint = args.checkpoint_path
    alone = any(schedule.is_evaluation(run) for run in range(schedule.runs))
    extra = [word for word in given if word not in ("--online", "--no_training")]
    if not checkpoint and not args.learns:
        if schedule.alpha < 1 or alone:
            subject = f"--alpha {schedule.alpha:g}" if schedule.alpha < 1 else "an evaluation"
            raise UsageError(
                f"{subject} needs a learner: give --checkpoint_path (or --alpha 1 for the expert alone)"
            )
        if extra:
            print(f"there is no learner (the expert flies alone): {' '.join(extra)} has no effect")
        return [], ""
    own = {
        "--summary_dir": args.summary_dir,
        "--speed": args.speed,
        "--turn_speed": args.turn_speed,
        "--random_seed": args.random_seed,
    }
    if checkpoint:
        own["--checkpoint_path"] = checkpoint
    if args.learns:
        own["--log_tag"] = args.log_tag
        if learner.parse(given).prefill_dataset:
            own["--data_root"] = args.data_root
    words = [*(str(part) for pair in own.items() for part in pair), *given]
    return words, _check(args, words, resumed)


def _check(args: SessionConfig, words: List[str], resumed: Optional[Path]) -> str:
    """Reject a missing checkpoint, or one that contradicts the flags; return a warning or nothing."""
    flags = learner.parse(words)
    prechecks.flight(flags, args.checkpoint_path, args, resumed)
    from nav_pkg.learn.deployment import exported  # torch takes seconds
    from nav_pkg.learn.deployment.pilot import check_given
    from nav_pkg.learn.online import online_flags

    own = (args.width, args.height)
    if args.learns:
        sides = [camera.name for camera in side_cameras(description.read_robot(args.robot))]
        where = resumed if resumed is not None and can_resume(resumed) else None
        online_flags.check(flags, own, sides, where)
        return ""
    loaded = exported.describe(
        args.checkpoint_path, args.summary_dir, flags.given.get("network"), flags.trust_torchscript
    )
    check_given(loaded, flags.given, args.checkpoint_path)
    is_exported = isinstance(loaded, exported.Description)
    trained = tuple(loaded.camera[::-1] if is_exported else loaded.dataset.get("camera") or ())
    if not trained or trained == own:
        return ""
    width, height = trained
    text = (
        f"{args.checkpoint_path}: was {'exported' if is_exported else 'trained'} for a camera of "
        f"{width}x{height}, this one's is {own[0]}x{own[1]}: give --width {width} --height {height}"
    )
    if is_exported:
        raise UsageError(f"{text}, or export it for this one")
    return f"warning: {text}"


def keep_checkpoint(args: SessionConfig, folder: Path) -> None:
    """Raise UsageError if the log folder to be emptied contains the checkpoint."""
    if args.checkpoint_path:
        file = checkpoint_paths.locate(args.checkpoint_path, args.summary_dir).resolve()
        if file.parent == folder.resolve():
            raise UsageError(
                f"--checkpoint_path {args.checkpoint_path} is in the log folder that is "
                f"deleted (-t {args.log_tag}): give another -t, or leave --owr out"
            )
