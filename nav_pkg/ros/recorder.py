"""The recorder node writes runs to disk. It joins the messages of all topics by their exact stamps."""

from __future__ import annotations

import json
import queue
from dataclasses import dataclass
from typing import Any, Dict, Optional

import rospy
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import LaserScan

from nav_pkg.core import DataError, NavError, Outcome, SimulatorError, UsageError
from nav_pkg.data.image_store import check_storage
from nav_pkg.data.messages import frame_from_messages, scan_to_array, stamp_ns
from nav_pkg.data.writer import RunWriter, create_dataset
from nav_pkg.msg import Episode, RecorderStatus
from nav_pkg.ros import node_tools, topics
from nav_pkg.ros.images import image_message_type, image_to_array
from nav_pkg.ros.robot import Sizes, load_robot
from nav_pkg.ros.synchronizer import StampSynchronizer


@dataclass(frozen=True)
class Parameters(Sizes):
    """Private parameters of the recorder node: image sizes (see Sizes), and these.

    Attributes:
        dataset: path of the dataset folder to write into.
        robot: robot name or file (topic names, camera, lidar).
        jpeg_quality: of the camera images.
        wait_limit: wall seconds to wait for the messages of a frame.
        storage: how a run keeps its images: `tar` (one a camera) or `files` (one an image).
    """

    dataset: str = ""
    robot: str = "drone"
    jpeg_quality: int = 95
    wait_limit: float = 30.0
    storage: str = "tar"


class Recorder:
    """Records frames in the order of /episode, each when all its messages have arrived."""

    def __init__(self, parameters: Parameters):
        if not parameters.dataset:
            raise UsageError("recorder: parameter ~dataset (the folder to write into) is missing")
        check_storage(parameters.storage)
        self._parameters = parameters
        self._robot = load_robot(parameters.robot)
        self._sensors = [self._robot.rgb, self._robot.depth, self._robot.scan]
        self._side_topics = self._robot.side_cameras
        required_topics = [
            *self._sensors,
            *self._side_topics.values(),
            self._robot.odometry,
            topics.EXPERT_COMMAND,
        ]
        self._synchronizer = StampSynchronizer()
        self._required_topics = required_topics
        self._writer: Optional[RunWriter] = None
        self._name = ""
        self._facts: Dict[str, Any] = {}
        self._episodes: queue.Queue = queue.Queue()
        create_dataset(parameters.dataset, parameters.dataset_description(self._robot))
        self._status = rospy.Publisher(topics.RECORDER_STATUS, RecorderStatus, queue_size=100, latch=True)
        for topic, kind in (
            *(
                (topic, image_message_type(topic))
                for topic in (self._robot.rgb, self._robot.depth, *self._side_topics.values())
            ),
            (self._robot.scan, LaserScan),
            (self._robot.odometry, Odometry),
            (topics.EXPERT_COMMAND, TwistStamped),
            (topics.LEARNER_COMMAND, TwistStamped),
        ):
            rospy.Subscriber(
                topic, kind, self._on_message, topic, buff_size=node_tools.IMAGE_BUFFER, tcp_nodelay=True
            )
        rospy.Subscriber(topics.EPISODE, Episode, self._episodes.put, tcp_nodelay=True)

    def _on_message(self, message, topic: str) -> None:
        self._synchronizer.add(topic, stamp_ns(message.header.stamp), message)

    def spin(self) -> None:
        """Record until ROS shuts down; close an open run as aborted."""
        # Frames that wait for messages of a dead simulator must not delay the end.
        rospy.on_shutdown(lambda: self._synchronizer.close("ROS shut down"))
        try:
            while not (rospy.is_shutdown() and self._episodes.empty()):
                try:
                    self._process_episode(self._episodes.get(timeout=0.2))
                except queue.Empty:
                    continue
        finally:
            self._abort(Outcome.ABORTED, "the recorder was stopped")

    def _process_episode(self, episode: Episode) -> None:
        stamp = stamp_ns(episode.header.stamp)
        status = RecorderStatus(header=episode.header, name=episode.name, index=episode.index)
        try:
            if episode.index >= 0:
                self._record(episode, stamp)
            if episode.state == Episode.ENDED:
                status.committed = self._close(episode)
        except NavError as error:
            self._abort(Outcome.ABORTED, str(error))
            if not isinstance(error, SimulatorError):  # not the recorder's failure
                status.error = str(error)
                self._status.publish(status)
            raise
        self._synchronizer.forget(stamp)
        self._status.publish(status)

    def _record(self, episode: Episode, stamp: int) -> None:
        if episode.index == 0:
            self._abort(Outcome.ABORTED, "the supervisor began another run")
            self._facts = json.loads(episode.facts)
            self._writer = RunWriter(
                self._parameters.dataset,
                episode.name,
                self._facts,
                jpeg_quality=self._parameters.jpeg_quality,
                storage=self._parameters.storage,
            )
            self._name = episode.name
        if self._writer is None or episode.name != self._name:
            raise DataError(f"frame {episode.index} of {episode.name} came without the run's beginning")
        channels = self._required_topics + ([topics.LEARNER_COMMAND] if episode.has_learner else [])
        messages = self._synchronizer.wait(stamp, channels, self._parameters.wait_limit)
        frame = frame_from_messages(
            episode,
            messages[self._robot.odometry],
            messages[topics.EXPERT_COMMAND],
            messages.get(topics.LEARNER_COMMAND),
        )
        rgb, depth, scan = (messages[topic] for topic in self._sensors)
        self._writer.add(
            frame,
            image_to_array(rgb),
            image_to_array(depth),
            scan_to_array(scan),
            {name: image_to_array(messages[topic]) for name, topic in self._side_topics.items()},
        )

    def _close(self, episode: Episode) -> bool:
        """End the run: commit it, or close it as aborted or failed. Return whether it is committed."""
        if self._writer is None:
            return False
        self._facts = json.loads(episode.facts)
        if episode.outcome in (Outcome.ABORTED.value, Outcome.SIM_FAILURE.value):
            self._abort(Outcome(episode.outcome), self._facts.get("reason", ""))
            return False
        writer, self._writer = self._writer, None
        writer.commit(self._facts)
        return True

    def _abort(self, outcome: Outcome, reason: str) -> None:
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        writer.abort(dict(self._facts, outcome=outcome.value, reason=reason))


def main() -> None:
    """Run the recorder node until ROS shuts down."""
    node_tools.start("recorder")
    Recorder(node_tools.parameters(Parameters)).spin()
