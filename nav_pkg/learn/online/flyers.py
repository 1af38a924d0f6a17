"""Create what flies from the flags of main.py: a pilot, or a learner that learns in flight."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Sequence

import torch

from nav_pkg.config import paths
from nav_pkg.config.learner import OF_SUPERVISOR, SETTINGS, LearnerConfig
from nav_pkg.core import UsageError
from nav_pkg.learn.deployment import exported
from nav_pkg.learn.deployment.pilot import Pilot
from nav_pkg.learn.online.learner import OnlineLearner
from nav_pkg.learn.online.online_flags import learning_config
from nav_pkg.learn.training import determinism, folder


def make_learner(
    args: LearnerConfig, log_folder: Optional[Path], camera: Sequence[int], sides: Sequence[str]
) -> OnlineLearner:
    """Create the learner that the flags describe, in its log folder.

    Args:
        args: the learner's flags.
        log_folder: that of a session, which has created it; None: the folder of --log_tag.
        camera: width and height of the camera, pixels.
        sides: names of the robot's side cameras.

    Raises:
        UsageError: flags that contradict each other, the checkpoint or the log folder.
        DataError: a checkpoint is missing or damaged.
    """
    if log_folder is not None:
        where = log_folder
        values = learning_config(args, where if folder.can_resume(where) else None)
    else:
        summary = Path(args.summary_dir).expanduser() if args.summary_dir else paths.summary_dir()
        values = learning_config(args, folder.resumable_folder(summary, args.log_tag, args.owr))
        where = folder.open_folder(summary, args.log_tag, args.owr)
    return OnlineLearner(values, where, camera, sorted(sides))


def check_no_supervisor_flags(args: LearnerConfig) -> None:
    """Raise UsageError for flags of command mixing and noise: they belong to the supervisor."""
    for flag in OF_SUPERVISOR:
        if getattr(args, flag) != SETTINGS[flag].default:
            raise UsageError(
                f"main.py: --{flag} is the supervisor's; give it to run_script.py or graph.launch"
            )


def load_pilot(args: LearnerConfig) -> Pilot:
    """Load the pilot that the flags describe, and set torch's number of threads.

    Args:
        args: the learner's flags.

    Raises:
        UsageError: a flag contradicts the checkpoint.
        DataError: the checkpoint is missing, damaged or of another network.
    """
    if not args.checkpoint_path:
        raise UsageError("main.py: --online --no_training needs --checkpoint_path, the checkpoint that flies")
    # before the pilot: an exported file reads the number of threads when it is opened
    torch.set_num_threads(args.num_threads or determinism.cores())
    return exported.load_pilot(
        args.checkpoint_path,
        summary_dir=args.summary_dir,
        device=args.device,
        speed=args.speed,
        turn_speed=args.turn_speed,
        network=args.given.get("network"),
        given=args.given,
        trust=args.trust_torchscript,
    )
