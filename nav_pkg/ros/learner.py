"""The learner node: camera image in, the net's command out, stamp for stamp."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Mapping

import rospy
import torch
from geometry_msgs.msg import TwistStamped
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger, TriggerResponse

from nav_pkg.cli.learner_flags import BY_KEY
from nav_pkg.core import LearnerError, UsageError
from nav_pkg.data.messages import image_to_array, stamp_ns
from nav_pkg.learn import determinism, exported
from nav_pkg.learn.pilot import Pilot
from nav_pkg.msg import LearnerStatus
from nav_pkg.ros import robot as topics
from nav_pkg.ros import shell
from nav_pkg.ros.convert import twist_from_command
from nav_pkg.ros.guard import guarded


@dataclass
class Parameters:
    """Private parameters of the learner node; all else comes as flags of main.py.

    Attributes:
        robot: robot name or file (topic names).
        newest: answer the newest image and pass over those that came meanwhile, as on a robot, which does not
            wait; false: answer every image.
    """

    robot: str = "drone"
    newest: bool = False


class LearnerNode:
    """Flies a checkpoint: answers every camera image with a command that bears its stamp.

    Args:
        pilot: the net with its preprocessing and action space.
        robot: the robot's topics.
        seed: of the pilot's random draws, if it makes any.
        newest: see `Parameters`.
    """

    def __init__(self, pilot: Pilot, robot: topics.Robot, seed: int, newest: bool = False):
        self._pilot = pilot
        self._seed = seed
        self._frames = 0
        self._stamp = 0
        self._lock = threading.Lock()
        self._command = rospy.Publisher(topics.LEARNER, TwistStamped, queue_size=10)
        self._status = rospy.Publisher(topics.LEARNER_STATUS, LearnerStatus, queue_size=10)
        on_image = guarded(self._on_image, LearnerError.code)
        rospy.Service("~reset", Trigger, guarded(self._on_reset, LearnerError.code))
        rospy.Subscriber(
            robot.rgb,
            Image,
            on_image,
            queue_size=1 if newest else None,
            buff_size=shell.IMAGE_BUFFER,
            tcp_nodelay=True,
        )

    def _on_reset(self, _request) -> TriggerResponse:
        """A new episode begins: forget the past (recurrent state)."""
        with self._lock:
            self._pilot.reset(self._seed)
        return TriggerResponse(success=True)

    def _on_image(self, message: Image) -> None:
        begin = time.perf_counter()
        stamp = stamp_ns(message.header.stamp)
        with self._lock:
            if stamp < self._stamp:  # time was set back (a simulator or a bag began anew): so does the run
                self._pilot.reset(self._seed)
            self._stamp = stamp
            command = self._pilot.command(image_to_array(message))
            self._frames += 1
            frames = self._frames
        answer = TwistStamped(header=message.header, twist=twist_from_command(command))
        answer.header.frame_id = "base_link"
        self._command.publish(answer)
        self._status.publish(
            LearnerStatus(
                header=answer.header,
                network=self._pilot.network,
                frames=frames,
                latency=time.perf_counter() - begin,
            )
        )


def main(args: Any, given: Mapping[str, Any]) -> int:
    """Fly a checkpoint until ROS shuts down (`main.py --online`).

    Args:
        args: the learner's parsed flags.
        given: values of the flags that stand on the command line, by key.
    """
    pilot = load_pilot(args, given)
    shell.start("learner")
    parameters = shell.parameters(Parameters)
    robot = topics.load_robot(parameters.robot, needs=("rgb",))
    LearnerNode(pilot, robot, args.random_seed, parameters.newest)
    rospy.spin()
    return 0


def load_pilot(args: Any, given: Mapping[str, Any]) -> Pilot:
    """The pilot that the flags ask for; needs no master, so that wrong use is said whether one answers.

    Args:
        args: as for `main`.
        given: as for `main`.

    Raises:
        UsageError: a flag that is not the learner's, or that contradicts the checkpoint.
        DataError: the checkpoint is missing, damaged or of another network.
    """
    for flag in ("alpha", "noise", "ou_theta", "sigma_x", "sigma_y", "sigma_z", "sigma_yaw"):
        if getattr(args, flag) != BY_KEY[flag].default:
            raise UsageError(
                f"main.py: --{flag} is the supervisor's; give it to run_script.py or graph.launch"
            )
    if not args.checkpoint_path:
        raise UsageError("main.py: --online needs --checkpoint_path, the checkpoint that flies")
    # before the pilot: an exported file takes the number of threads when it is opened
    torch.set_num_threads(args.num_threads or determinism.cores())
    pilot = exported.load_pilot(
        args.checkpoint_path,
        summary_dir=args.summary_dir,
        device=args.device,
        speed=args.speed,
        turn_speed=args.turn_speed,
        network=given.get("network"),
        given=given,
    )
    if not args.no_training:
        print("the net flies and does not learn: learning in flight is not there yet (as --no_training)")
    return pilot
