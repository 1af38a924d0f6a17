"""The expert node publishes a command for each pair of lidar scan and odometry.

The command has the stamp of the scan and the odometry.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Dict

import rospy
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import LaserScan
from std_srvs.srv import Trigger, TriggerResponse

from nav_pkg.control.expert import Expert
from nav_pkg.core import SimulatorError, UsageError
from nav_pkg.data.messages import pose_from_odometry, scan_to_array, stamp_ns
from nav_pkg.flight.body import Body
from nav_pkg.ros import node_tools, topics
from nav_pkg.ros.callbacks import exit_on_error
from nav_pkg.ros.convert import twist_from_command
from nav_pkg.ros.robot import load_robot
from nav_pkg.world import load_plan


@dataclass
class Parameters:
    """Private parameters of the expert node.

    Attributes:
        world: world name or plan file.
        robot: robot name or file (topic names).
        expert: `bang_bang` (behaviour arbitration) or `continuous` (pursuit).
        speed: forward speed, m/s.
        turn_speed: forward speed while turning, m/s.
        z_pos: height to keep, m; of no meaning for a robot that stays on the floor.
        reverse: fly the route clockwise.
    """

    world: str = "esatv3"
    robot: str = "drone"
    expert: str = "bang_bang"
    speed: float = 0.8
    turn_speed: float = 0.8
    z_pos: float = 1.0
    reverse: bool = False


class ExpertNode:
    """Publishes a command for every pair of scan and odometry with the same stamp."""

    def __init__(self, parameters: Parameters):
        if parameters.expert not in ("bang_bang", "continuous"):
            raise UsageError(f"expert is {parameters.expert!r}; known: bang_bang, continuous")
        robot = load_robot(parameters.robot)
        self._expert = Expert(
            load_plan(parameters.world),
            speed=parameters.speed,
            turn_speed=parameters.turn_speed,
            height=None if Body.from_robot(robot.description).ground else parameters.z_pos,
            continuous=parameters.expert == "continuous",
            reverse=parameters.reverse,
        )
        self._lock = threading.Lock()
        self._fresh = True
        self._pairs: Dict[int, Dict[str, Any]] = {}
        self._publisher = rospy.Publisher(topics.EXPERT_COMMAND, TwistStamped, queue_size=10)
        on_message = exit_on_error(self._on_message, SimulatorError.code)
        rospy.Service("~reset", Trigger, exit_on_error(self._on_reset, SimulatorError.code))
        rospy.Subscriber(robot.scan, LaserScan, on_message, "scan", tcp_nodelay=True)
        rospy.Subscriber(robot.odometry, Odometry, on_message, "odometry", tcp_nodelay=True)

    def _on_reset(self, _request) -> TriggerResponse:
        """Begin a new episode: the next frame selects the first waypoint."""
        with self._lock:
            self._fresh = True
            self._pairs.clear()
        return TriggerResponse(success=True)

    def _on_message(self, message, channel: str) -> None:
        stamp = stamp_ns(message.header.stamp)
        with self._lock:
            pair = self._pairs.setdefault(stamp, {})
            pair[channel] = message
            if len(pair) < 2:
                return
            self._pairs = {s: p for s, p in self._pairs.items() if s > stamp}
            pose = pose_from_odometry(pair["odometry"])
            if self._fresh:
                self._expert.reset(pose)
                self._fresh = False
            answer = TwistStamped(
                twist=twist_from_command(self._expert.command(scan_to_array(pair["scan"]), pose))
            )
            answer.header.stamp = message.header.stamp
            answer.header.frame_id = "base_link"
        self._publisher.publish(answer)


def main() -> None:
    """Run the expert node until ROS shuts down."""
    node_tools.start("expert")
    ExpertNode(node_tools.parameters(Parameters))
    rospy.spin()
