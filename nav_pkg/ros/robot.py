"""The robot file: topic names and sensors of a robot."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, Sequence

from nav_pkg.core import DataError
from nav_pkg.sim import cameras, description

ROBOT_TOPICS = ("command", "rgb", "depth", "scan", "odometry", "contacts")

_TOPIC = re.compile(r"/?[A-Za-z]\w*(/\w+)*\Z")


@dataclass(frozen=True)
class Robot:
    """A robot's name, its topics (empty where it has none) and the content of its file.

    `side_cameras` maps the names of its side cameras (`left`, `right`) to their topics.
    """

    name: str
    command: str
    rgb: str
    depth: str
    scan: str
    odometry: str
    contacts: str
    description: dict
    side_cameras: Dict[str, str]

    @property
    def simulated(self) -> bool:
        """Whether the file names a model for the simulator; that of a real robot does not."""
        return "model" in self.description


@dataclass(frozen=True)
class Sizes:
    """Parameters that say which image sizes the simulator was started with.

    Attributes:
        width: camera width, pixels; 0: the robot file's (likewise the others).
        height: camera height, pixels.
        depth_width: depth camera width, pixels.
        depth_height: depth camera height, pixels.
    """

    width: int = 0
    height: int = 0
    depth_width: int = 0
    depth_height: int = 0

    def dataset_description(self, robot: Robot) -> dict:
        """The content of dataset.json for a dataset that is recorded with a robot."""
        sizes = (self.width, self.height, self.depth_width, self.depth_height)
        return description.dataset_description(robot.description, *sizes)


def load_robot(name: str, needs: Sequence[str] = ROBOT_TOPICS) -> Robot:
    """Read a robot file by the robot's name or the file's path.

    Args:
        name: the name or path.
        needs: the topics, among `ROBOT_TOPICS`, that the node requires; the robot may lack others.

    Raises:
        UsageError: no such robot.
        DataError: the file is not readable, lacks a required topic, or a topic name is invalid.
    """
    content = description.read_robot(name)
    topics = {key: content["topics"].get(key) or "" for key in ROBOT_TOPICS}
    for key, topic in topics.items():
        if key in needs and not topic:
            raise DataError(f"robot {name}: its file lacks the topic '{key}'; see config/robot/drone.yaml")
        if topic and not (isinstance(topic, str) and _TOPIC.match(topic)):
            raise DataError(f"robot {name}: topic {key} is {topic!r}: give a name like /camera/image_raw")
    sides = {camera.name: camera.rgb for camera in cameras.side_cameras(content)}
    return Robot(name=content["name"], description=content, side_cameras=sides, **topics)
