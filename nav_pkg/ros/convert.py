"""Conversion of core types to ROS messages. `nav_pkg.data.messages` has the inverse, which bags use too."""

from __future__ import annotations

from geometry_msgs.msg import Point, Pose, Quaternion, Twist, Vector3

from nav_pkg import core


def twist_from_command(command: core.Command) -> Twist:
    """A velocity command as a Twist: body frame, m/s and rad/s."""
    return Twist(linear=Vector3(command.x, command.y, command.z), angular=Vector3(0.0, 0.0, command.yaw))


def pose_message(pose: core.Pose) -> Pose:
    """A pose in the world frame as a Pose message."""
    return Pose(position=Point(pose.x, pose.y, pose.z), orientation=Quaternion(*pose.quaternion()))
