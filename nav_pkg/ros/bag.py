"""The bag node records the topics of a session as a rosbag.

In lock-step, simulated time is several times faster than real time, and `rosbag record` drops messages that
it cannot write in time. This node writes the same file, and the supervisor waits for it as for the recorder:
a frame of a run is in the bag, or the run stops. The node publishes its progress.
"""

from __future__ import annotations

import os
import queue
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Set

import genpy
import rosbag
import roslib.message
import rospy
from std_msgs.msg import Header

from nav_pkg.core import DataError, UsageError
from nav_pkg.msg import RecorderStatus
from nav_pkg.ros import node_tools, topics
from nav_pkg.ros.robot import load_robot
from nav_pkg.sim import cameras

QUEUE_SIZE = 512
"""Messages that may wait to be written. Then callbacks block, and the publishers' queues fill."""


@dataclass
class Parameters:
    """Private parameters of the bag node.

    Attributes:
        bag: file to write, `<bag>.active` until it is closed; or, with a slash at its end, a folder for a
            file named after the time.
        robot: robot name or file (topic names).
        extra: more topics to record, with spaces between them.
    """

    bag: str = ""
    robot: str = "drone"
    extra: str = ""


class BagWriter:
    """Writes every message as received, in the order of arrival."""

    def __init__(self, parameters: Parameters):
        if not parameters.bag:
            raise UsageError("bag: parameter ~bag (the file to write) is missing")
        robot = load_robot(parameters.robot, needs=("rgb", "command"))
        self._path = Path(parameters.bag).expanduser()
        if parameters.bag.endswith("/"):
            self._path /= time.strftime("%Y-%m-%d_%H-%M-%S.bag")
        self._active = Path(f"{self._path}.active")
        if self._path.exists():
            raise DataError(f"{self._path}: exists already; give another name")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._bag = rosbag.Bag(str(self._active), "w")
        except OSError as error:
            raise DataError(f"{self._active}: {error.strerror}; give another name") from None
        self._queue: queue.Queue = queue.Queue(QUEUE_SIZE)
        self._frames: Dict[int, Set[str]] = {}
        self._sensors = {robot.rgb, robot.depth, robot.scan, robot.odometry, topics.EXPERT_COMMAND} - {""}
        self._sensors.update(robot.side_cameras.values())
        self._status = rospy.Publisher(topics.BAG_STATUS, RecorderStatus, queue_size=100, latch=True)
        extra = ["/clock", robot.contacts, robot.command, topics.LEARNER_COMMAND, "/tf", "/tf_static"]
        info = [robot.description["topics"].get(key) for key in ("rgb_info", "depth_info")]
        info += [camera.rgb_info for camera in cameras.side_cameras(robot.description)]
        wanted = [*self._sensors, *extra, *info, topics.EPISODE, *parameters.extra.split()]
        for topic in dict.fromkeys(topic for topic in wanted if topic):
            rospy.Subscriber(
                topic,
                rospy.AnyMsg,
                self._on_message,
                topic,
                buff_size=node_tools.IMAGE_BUFFER,
                tcp_nodelay=True,
            )

    def _on_message(self, message: genpy.Message, topic: str) -> None:
        self._queue.put((topic, message, rospy.Time.now()))

    def spin(self) -> None:
        """Write until ROS shuts down; write all received messages before the bag is closed."""
        try:
            while not (rospy.is_shutdown() and self._queue.empty()):
                try:
                    self._write(*self._queue.get(timeout=0.1))
                except queue.Empty:
                    continue
            self._bag.close()
            os.replace(self._active, self._path)
        except OSError as error:
            # The file is readable up to this point; it keeps the name that marks it as incomplete.
            raise DataError(f"{self._active}: {error.strerror}; make room on its disk") from None

    def _write(self, topic: str, message: genpy.Message, arrived: rospy.Time) -> None:
        if not isinstance(message, rospy.AnyMsg):  # /clock: rospy itself subscribes to it with its type
            self._bag.write(topic, message, arrived)
            return
        header = message._connection_header
        kind = roslib.message.get_message_class(header["type"])
        if kind is None:
            raise UsageError(f"topic {topic}: its type {header['type']} is unknown here")
        raw = (header["type"], message._buff, header["md5sum"], kind)
        self._bag.write(topic, raw, arrived, raw=True, connection_header=header)
        if topic in self._sensors or topic == topics.EPISODE:
            self._report_written_frame(topic, message)

    def _report_written_frame(self, topic: str, message: rospy.AnyMsg) -> None:
        """Publish a stamp when all messages of its frame are written."""
        sequence, seconds, nanoseconds = struct.unpack_from("<III", message._buff)
        stamp = seconds * 1_000_000_000 + nanoseconds
        written_topics = self._frames.setdefault(stamp, set())
        written_topics.add(topic)
        if len(self._frames) > QUEUE_SIZE:  # a flight without /episode, or sensors without common stamps
            del self._frames[min(self._frames)]
        if len(written_topics) > len(self._sensors):
            self._frames = {s: written for s, written in self._frames.items() if s > stamp}
            header = Header(seq=sequence, stamp=rospy.Time(seconds, nanoseconds))
            self._status.publish(RecorderStatus(header=header))


def main() -> None:
    """Run the bag node until ROS shuts down."""
    node_tools.start("bag")
    BagWriter(node_tools.parameters(Parameters)).spin()
