"""Start the learner node from the flags of `main.py --online` and the node's parameters."""

from __future__ import annotations

import dataclasses
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

import rospy
import torch

from nav_pkg.config import paths
from nav_pkg.config.learner import OF_SUPERVISOR, SETTINGS, LearnerConfig
from nav_pkg.core import UsageError
from nav_pkg.learn.deployment import exported
from nav_pkg.learn.deployment.pilot import Pilot
from nav_pkg.learn.online.learner import OnlineLearner
from nav_pkg.learn.online.online_flags import learning_config
from nav_pkg.learn.training import determinism, folder
from nav_pkg.ros import node_tools
from nav_pkg.ros.live_learner import LiveLearner
from nav_pkg.ros.lockstep_learner import LockstepLearner
from nav_pkg.ros.robot import Robot, load_robot


@dataclass
class Parameters:
    """Private parameters of the learner node; all else comes as flags of main.py.

    Attributes:
        robot: robot name or file (topic names).
        lockstep: simulated time waits for every answer, and every frame has its /episode.
        log_folder: where a session keeps its logs; empty: the folder of --log_tag.
        width: camera width, pixels; 0: the robot file's.
        height: camera height, pixels; 0: the robot file's.
    """

    robot: str = "drone"
    lockstep: bool = False
    log_folder: str = ""
    width: int = 0
    height: int = 0

    def camera(self, robot: Robot) -> Tuple[int, int]:
        """Width and height of the camera, pixels."""
        own = robot.description["camera"]
        return self.width or own["width"], self.height or own["height"]


def main(args: LearnerConfig) -> int:
    """Fly, and learn unless --no_training is given, until ROS shuts down (`main.py --online`).

    Args:
        args: the learner's flags.
    """
    check_no_supervisor_flags(args)
    pilot = load_pilot(args) if args.no_training else None
    node_tools.start("learner")
    parameters = node_tools.parameters(Parameters)
    robot = load_robot(parameters.robot, needs=("rgb",))
    learner = None
    if pilot is None:
        if not parameters.lockstep and not args.num_threads:
            args = dataclasses.replace(args, num_threads=1)  # flying and learning each use a core
        learner = make_learner(args, parameters, robot)
        print(learner.describe(), flush=True)
        pilot = learner.pilot
    node = LockstepLearner if parameters.lockstep else LiveLearner
    node(pilot, robot, args.random_seed, learner, args.perturbation)
    rospy.spin()
    sys.stdout.flush()
    os._exit(0)  # not to wait for a gradient step that may take minutes; files are written atomically


def make_learner(args: LearnerConfig, parameters: Parameters, robot: Robot) -> OnlineLearner:
    """Create the learner that the flags describe, in its log folder.

    Raises:
        UsageError: flags that contradict each other, the checkpoint or the log folder.
        DataError: a checkpoint is missing or damaged.
    """
    summary = Path(args.summary_dir).expanduser() if args.summary_dir else paths.summary_dir()
    if parameters.log_folder:  # of a session, which has created it
        where = Path(parameters.log_folder)
        resumes = where if folder.can_resume(where) else None
        values = learning_config(args, resumes)
    else:
        values = learning_config(args, folder.resumable_folder(summary, args.log_tag, args.owr))
        where = folder.open_folder(summary, args.log_tag, args.owr)
    return OnlineLearner(values, where, parameters.camera(robot), sorted(robot.side_cameras))


def check_no_supervisor_flags(args: LearnerConfig) -> None:
    """Raise UsageError for flags of command mixing and noise: they belong to the supervisor."""
    for flag in OF_SUPERVISOR:
        if getattr(args, flag) != SETTINGS[flag].default:
            raise UsageError(
                f"main.py: --{flag} is the supervisor's; give it to run_script.py or graph.launch"
            )


def load_pilot(args: LearnerConfig) -> Pilot:
    """Load the pilot that the flags describe. It needs no ROS master, so wrong use is reported without one.

    Args:
        args: as for `main`.

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
