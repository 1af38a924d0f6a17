"""The learner node: camera image in, the net's command out, stamp for stamp."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import rospy
from geometry_msgs.msg import TwistStamped
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger, TriggerResponse

from nav_pkg.core import UsageError
from nav_pkg.data.messages import image_to_array
from nav_pkg.learn.pilot import Pilot
from nav_pkg.msg import LearnerStatus
from nav_pkg.ros import robot as topics
from nav_pkg.ros import shell
from nav_pkg.ros.convert import twist_from_command


@dataclass
class Parameters:
    """Private parameters of the learner node; all else comes as flags of main.py.

    Attributes:
        robot: robot name or file (topic names).
    """

    robot: str = "drone"


class LearnerNode:
    """Flies a checkpoint: answers every camera image with a command that bears its stamp.

    Args:
        pilot: the net with its preprocessing and action space.
        robot: the robot's topics.
        seed: of the pilot's random draws, if it makes any.
    """

    def __init__(self, pilot: Pilot, robot: topics.Robot, seed: int):
        self._pilot = pilot
        self._seed = seed
        self._frames = 0
        self._lock = threading.Lock()
        self._command = rospy.Publisher(topics.LEARNER, TwistStamped, queue_size=10)
        self._status = rospy.Publisher(topics.LEARNER_STATUS, LearnerStatus, queue_size=10)
        rospy.Service("~reset", Trigger, self._on_reset)
        rospy.Subscriber(robot.rgb, Image, self._on_image, buff_size=shell.IMAGE_BUFFER, tcp_nodelay=True)

    def _on_reset(self, _request) -> TriggerResponse:
        """A new episode begins: forget the past (recurrent state)."""
        with self._lock:
            self._pilot.reset(self._seed)
        return TriggerResponse(success=True)

    def _on_image(self, message: Image) -> None:
        begin = time.perf_counter()
        with self._lock:
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


def main(args) -> int:
    """Fly a checkpoint until ROS shuts down (`main.py --online`).

    Args:
        args: the learner's parsed flags.
    """
    for flag in ("alpha", "noise", "sigma_x", "sigma_y", "sigma_z", "sigma_yaw"):
        if getattr(args, flag) not in (0, "none"):
            raise UsageError(
                f"main.py: --{flag} is the supervisor's; give it to run_script.py or graph.launch"
            )
    if not args.checkpoint_path:
        raise UsageError("main.py: --online needs --checkpoint_path, the checkpoint that flies")
    # The checkpoint first: a wrong one is the user's to mend, whether or not a master answers.
    pilot = Pilot.load(
        args.checkpoint_path,
        summary_dir=args.summary_dir,
        device=args.device,
        speed=args.speed,
        turn_speed=args.turn_speed,
    )
    shell.start("learner")
    LearnerNode(pilot, topics.load_robot(shell.parameters(Parameters).robot), args.random_seed)
    rospy.spin()
    return 0
