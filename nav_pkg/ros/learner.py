"""Start the learner node from the flags of `main.py --online` and the node's parameters."""

from __future__ import annotations

import dataclasses
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

import rospy

from nav_pkg.config.learner import LearnerConfig
from nav_pkg.learn.online.flyers import check_no_supervisor_flags, load_pilot, make_learner
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
        where = Path(parameters.log_folder) if parameters.log_folder else None
        learner = make_learner(args, where, parameters.camera(robot), list(robot.side_cameras))
        print(learner.describe(), flush=True)
        pilot = learner.pilot
    node = LockstepLearner if parameters.lockstep else LiveLearner
    node(pilot, robot, args.random_seed, learner, args.perturbation)
    rospy.spin()
    sys.stdout.flush()
    os._exit(0)  # not to wait for a gradient step that may take minutes; files are written atomically
