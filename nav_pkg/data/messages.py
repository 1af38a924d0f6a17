"""ROS messages to core types, by the names of their fields alone.

The recorder node (rospy messages) and the bag import (rosbags' messages) both go through these
functions, so that they cannot disagree. Any object with a ROS message's fields will do; nothing of
ROS is imported.
"""

from __future__ import annotations

import sys
from typing import Any, Optional

import numpy as np

from nav_pkg.core import Actor, Command, DataError, Frame, Pose, Velocity
from nav_pkg.data import files
from nav_pkg.fields import shown

_ENCODINGS = {
    "rgb8": (np.uint8, 3),
    "bgr8": (np.uint8, 3),
    "mono8": (np.uint8, 1),
    "8UC1": (np.uint8, 1),
    "8UC3": (np.uint8, 3),
    "32FC1": (np.float32, 1),
    "16UC1": (np.uint16, 1),
    "mono16": (np.uint16, 1),
}


def stamp_ns(stamp: Any) -> int:
    """Nanoseconds of a time: rospy's `secs`, `nsecs` or rosbags' `sec`, `nanosec`."""
    if hasattr(stamp, "secs"):
        return int(stamp.secs) * 1_000_000_000 + int(stamp.nsecs)
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def pose_from_odometry(message: Any) -> Pose:
    """The pose of a nav_msgs/Odometry, world frame."""
    position, turn = message.pose.pose.position, message.pose.pose.orientation
    return Pose.from_quaternion(
        (float(position.x), float(position.y), float(position.z)),
        (float(turn.x), float(turn.y), float(turn.z), float(turn.w)),
    )


def velocity_from_odometry(message: Any) -> Velocity:
    """The velocity of a nav_msgs/Odometry, body frame."""
    twist = message.twist.twist
    return Velocity(
        float(twist.linear.x), float(twist.linear.y), float(twist.linear.z), float(twist.angular.z)
    )


def command_from_twist(twist: Any) -> Command:
    """The command of a geometry_msgs/Twist: body frame, m/s and rad/s."""
    return Command(
        float(twist.linear.x), float(twist.linear.y), float(twist.linear.z), float(twist.angular.z)
    )


def image_to_array(message: Any) -> np.ndarray:
    """The pixels of a sensor_msgs/Image, copied at most once.

    Args:
        message: rgb8, bgr8 (turned into RGB), mono8, 8UC1, 8UC3, 32FC1, 16UC1 or mono16, with any
            row step and byte order.

    Returns:
        (height, width) or (height, width, 3) in native byte order. It may be a read-only view of
        the message's data.

    Raises:
        DataError: for another encoding, or data that is shorter than height and step say.
    """
    if message.encoding not in _ENCODINGS:
        raise DataError(f"image encoding {message.encoding!r} is not among {', '.join(_ENCODINGS)}")
    kind, channels = _ENCODINGS[message.encoding]
    height, width, step = int(message.height), int(message.width), int(message.step)
    size = np.dtype(kind).itemsize
    data = message.data
    if not isinstance(data, np.ndarray):
        data = np.frombuffer(data, np.uint8)
    data = data.view(np.uint8).reshape(-1)
    row = width * channels * size
    if not height or not width or step < row or data.size < step * (height - 1) + row:
        raise DataError(
            f"image of {width}x{height} {message.encoding}: step {step} with {data.size} bytes is too short"
        )
    strides = (step, channels * size, size)
    order = ">" if message.is_bigendian else "<"
    pixels = np.ndarray((height, width, channels), np.dtype(kind).newbyteorder(order), data, 0, strides)
    if channels == 1:
        pixels = pixels[:, :, 0]
    if message.encoding == "bgr8":
        pixels = np.ascontiguousarray(pixels[:, :, ::-1])
    native = "<" if sys.byteorder == "little" else ">"
    if size > 1 and order != native or not pixels.flags.aligned:
        pixels = pixels.astype(kind)
    return pixels.view(kind)


def scan_to_array(message: Any) -> np.ndarray:
    """The ranges of a sensor_msgs/LaserScan: float32 (rays,), metres."""
    return np.array(message.ranges, np.float32)


def frame_from_messages(episode: Any, odometry: Any, expert: Any, learner: Optional[Any] = None) -> Frame:
    """The frame of the messages of one stamp.

    Args:
        episode: nav_pkg/Episode in state running or ended.
        odometry: nav_msgs/Odometry.
        expert: geometry_msgs/TwistStamped of the expert.
        learner: geometry_msgs/TwistStamped of the learner; None when `episode.has_learner` is false.

    Raises:
        DataError: when the stamps differ, the episode is idle or the learner's command is missing.
    """
    stamp = stamp_ns(episode.header.stamp)
    parts = {"odometry": odometry, "expert": expert}
    if episode.has_learner:
        parts["learner"] = learner
    for name, message in parts.items():
        if message is None:
            raise DataError(f"frame {episode.index} at {stamp} ns: no {name} message")
        if stamp_ns(message.header.stamp) != stamp:
            raise DataError(
                f"frame {episode.index} at {stamp} ns: the {name} message is of "
                f"{stamp_ns(message.header.stamp)} ns"
            )
    if episode.index < 0:
        raise DataError(f"frame at {stamp} ns: the episode is {episode.state}, not running")
    if str(episode.actor) not in [actor.value for actor in Actor]:
        raise DataError(f"frame {episode.index} at {stamp} ns: actor {str(episode.actor)[:40]!r} is none")
    return Frame(
        index=int(episode.index),
        stamp=stamp - stamp_ns(episode.start),
        expert=command_from_twist(expert.twist),
        learner=command_from_twist(learner.twist) if episode.has_learner else None,
        applied=command_from_twist(episode.applied),
        actor=Actor(str(episode.actor)),
        pose=pose_from_odometry(odometry),
        velocity=velocity_from_odometry(odometry),
        nearest=float(episode.nearest_obstacle),
        progress=float(episode.progress),
    )


def run_facts(episode: Any) -> tuple[dict, dict]:
    """What a nav_pkg/Episode states in its `facts`: the dataset's description and the run's facts.

    The key `dataset` holds the description (camera, robot, action_space, control_rate), which is
    `create_dataset`'s; all else goes into run.json.

    Raises:
        DataError: when the text is no JSON object.
    """
    where = f"run {episode.name}: the facts in its episode message"
    text = episode.facts.strip()
    facts = files.parse_json(text, where, non_finite=True) if text else {}
    if not isinstance(facts, dict):
        raise DataError(f"{where} are no JSON object")
    description = facts.pop("dataset", None) or {"control_rate": 10}
    if not isinstance(description, dict):
        raise DataError(f"{where}: dataset is {shown(description)}; it must be an object")
    return description, facts
