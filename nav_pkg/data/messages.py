"""Convert ROS messages to core types, without importing ROS.

The recorder node (rospy messages) and the bag import (rosbags messages) both use these functions and
therefore give the same results. The functions access fields only by name: any object with the fields of the
ROS message is accepted.
"""

from __future__ import annotations

import sys
from typing import Any, Optional

import numpy as np

from nav_pkg.core import Actor, Command, DataError, Frame, Pose, Velocity
from nav_pkg.data import codec, files
from nav_pkg.fields import shown

_ENCODINGS = {
    "rgb8": (np.uint8, 3),
    "bgr8": (np.uint8, 3),
    "8UC3": (np.uint8, 3),
    "rgba8": (np.uint8, 4),
    "bgra8": (np.uint8, 4),
    "mono8": (np.uint8, 1),
    "8UC1": (np.uint8, 1),
    "bayer_rggb8": (np.uint8, 1),
    "bayer_bggr8": (np.uint8, 1),
    "bayer_gbrg8": (np.uint8, 1),
    "bayer_grbg8": (np.uint8, 1),
    "yuv422": (np.uint8, 2),
    "32FC1": (np.float32, 1),
    "16UC1": (np.uint16, 1),
    "mono16": (np.uint16, 1),
}

_TO_RGB = {
    "bgr8": "COLOR_BGR2RGB",
    "rgba8": "COLOR_RGBA2RGB",
    "bgra8": "COLOR_BGRA2RGB",
    "bayer_rggb8": "COLOR_BayerBG2RGB",  # OpenCV names the pattern by its second row
    "bayer_bggr8": "COLOR_BayerRG2RGB",
    "bayer_gbrg8": "COLOR_BayerGR2RGB",
    "bayer_grbg8": "COLOR_BayerGB2RGB",
    "yuv422": "COLOR_YUV2RGB_UYVY",
}
"""OpenCV's conversions, the same as in cv_bridge."""


def stamp_ns(stamp: Any) -> int:
    """Nanoseconds of a time message: rospy's `secs`, `nsecs` or rosbags' `sec`, `nanosec`."""
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
    """The pixels of a sensor_msgs/Image or sensor_msgs/CompressedImage, without ROS.

    `nav_pkg.ros.images` gives the same result with cv_bridge; a test compares both.

    Args:
        message: an image with an encoding of `_ENCODINGS`, with any row step and byte order; or a
            compressed image, JPEG or PNG with 8 bits per channel.

    Returns:
        (height, width) for one channel, else (height, width, 3) in RGB order, in native byte order. The
        array may be a read-only view of the message's data.

    Raises:
        DataError: the encoding is unknown, or the data is damaged or shorter than height and step require.
    """
    if not hasattr(message, "encoding"):
        return decode_compressed(message.data, message.format)
    if message.encoding not in _ENCODINGS:
        raise DataError(f"image encoding {message.encoding!r} is not among {', '.join(_ENCODINGS)}")
    kind, channels = _ENCODINGS[message.encoding]
    size = np.dtype(kind).itemsize
    order = ">" if message.is_bigendian else "<"
    pixels = image_rows(message, np.dtype(kind).newbyteorder(order), channels)
    native = "<" if sys.byteorder == "little" else ">"
    if size > 1 and order != native or not pixels.flags.aligned:
        pixels = pixels.astype(kind)
    pixels = pixels.view(kind)
    if message.encoding in _TO_RGB:
        import cv2

        try:
            pixels = cv2.cvtColor(np.ascontiguousarray(pixels), getattr(cv2, _TO_RGB[message.encoding]))
        except cv2.error as error:
            raise DataError(
                f"image of {message.width}x{message.height} {message.encoding}: OpenCV cannot convert it "
                f"({error.err})"
            ) from error
    return pixels


def image_rows(message: Any, kind: np.dtype, channels: int) -> np.ndarray:
    """The raw pixels of a sensor_msgs/Image without row padding, as a view of its data.

    Args:
        message: the image.
        kind: dtype of a channel, with the message's byte order.
        channels: number of channels per pixel.

    Returns:
        (height, width) for one channel, else (height, width, channels).

    Raises:
        DataError: the data is shorter than height and step require.
    """
    height, width, step = int(message.height), int(message.width), int(message.step)
    data = message.data
    if not isinstance(data, np.ndarray):
        data = np.frombuffer(data, np.uint8)
    data = data.view(np.uint8).reshape(-1)
    row = width * channels * kind.itemsize
    if not height or not width or step < row or data.size < step * (height - 1) + row:
        raise DataError(
            f"image of {width}x{height} {message.encoding}: step {step} with {data.size} bytes is too short"
        )
    strides = (step, channels * kind.itemsize, kind.itemsize)
    pixels = np.ndarray((height, width, channels), kind, data, 0, strides)
    return pixels[:, :, 0] if channels == 1 else pixels


def decode_compressed(data: Any, form: str) -> np.ndarray:
    """The pixels of a sensor_msgs/CompressedImage, without ROS.

    Args:
        data: the bytes of a JPEG or PNG.
        form: the `format` field of the message, for errors.

    Returns:
        uint8 (height, width, 3) in RGB order, or (height, width) grey.

    Raises:
        DataError: the bytes are truncated, damaged or not an image with 8 bits per channel.
    """
    import cv2

    try:
        pixels = cv2.imdecode(check_complete(data, form), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise DataError(f"compressed image ({form}): cannot be decoded ({error.err})") from error
    return as_rgb(pixels, form, lambda bgr: cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def check_complete(data: Any, form: str) -> np.ndarray:
    """Check that data is a complete JPEG or PNG and return it as uint8 (bytes,).

    OpenCV does not report a truncated file; it fills the missing part with grey.

    Raises:
        DataError: the data is neither, its end is missing, or its declared size exceeds
            `codec.LARGEST_IMAGE`.
    """
    array = np.asarray(data).view(np.uint8) if isinstance(data, np.ndarray) else np.frombuffer(data, np.uint8)
    head, end = array[:24].tobytes(), array[-64:].tobytes().rstrip(b"\0")  # some cameras pad with zeros
    jpeg = head[:2] == b"\xff\xd8" and end.endswith(b"\xff\xd9")
    if not jpeg and not (head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) == 24 and b"IEND" in end):
        raise DataError(f"compressed image ({form}) of {array.size} bytes is no whole JPEG or PNG")
    try:
        if jpeg:
            size = codec.jpeg_size(array.tobytes().rstrip(b"\0"))
        else:
            size = (int.from_bytes(head[20:24], "big"), int.from_bytes(head[16:20], "big"))
        codec.check_size(size, None)
    except DataError as error:
        raise DataError(f"compressed image ({form}): {error}") from error
    return array


def as_rgb(pixels: Optional[np.ndarray], form: str, to_rgb: Any) -> np.ndarray:
    """Convert an image decoded by OpenCV to RGB or grey.

    Args:
        pixels: the result of OpenCV.
        form: the `format` field of the message, for errors.
        to_rgb: function that converts BGR to RGB.

    Raises:
        DataError: OpenCV decoded nothing, or the image does not have 8 bits per channel and 1 or 3 channels.
    """
    if pixels is None:
        raise DataError(f"compressed image ({form}): damaged, or no JPEG or PNG")
    if pixels.dtype != np.uint8 or pixels.ndim == 3 and pixels.shape[2] != 3:
        raise DataError(
            f"compressed image ({form}): {pixels.dtype} {pixels.shape}; give 8 bits and 1 or 3 channels"
        )
    return pixels if pixels.ndim == 2 else to_rgb(pixels)


def scan_to_array(message: Any) -> np.ndarray:
    """The ranges of a sensor_msgs/LaserScan: float32 (rays,), metres."""
    return np.array(message.ranges, np.float32)


def frame_from_messages(episode: Any, odometry: Any, expert: Any, learner: Optional[Any] = None) -> Frame:
    """Make a frame from the messages of one stamp.

    Args:
        episode: nav_pkg/Episode in state running or ended.
        odometry: nav_msgs/Odometry.
        expert: geometry_msgs/TwistStamped of the expert.
        learner: geometry_msgs/TwistStamped of the learner; None if `episode.has_learner` is false.

    Raises:
        DataError: the stamps differ, a message is missing, the episode is idle, or its actor is unknown.
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
    """Parse the `facts` of a nav_pkg/Episode: the dataset's description and the run's facts.

    The key `dataset` holds the description (camera, robot, action_space, control_rate) for
    `create_dataset`. All other entries go into run.json.

    Raises:
        DataError: the text is not a JSON object, or `dataset` is not an object.
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
