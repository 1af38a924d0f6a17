"""The robot file: topic names and sensors of a robot, and the fixed topics of the nodes."""

from __future__ import annotations

from dataclasses import dataclass

from nav_pkg.core import DataError
from nav_pkg.sim import description

EXPERT = "/expert/cmd_vel"
LEARNER = "/learner/cmd_vel"
EPISODE = "/episode"
RECORDER = "/recorder/status"
LEARNER_STATUS = "/learner/status"

TOPICS = ("command", "rgb", "depth", "scan", "odometry", "contacts")


@dataclass(frozen=True)
class Robot:
    """A robot's name, its topics and the whole content of its file."""

    name: str
    command: str
    rgb: str
    depth: str
    scan: str
    odometry: str
    contacts: str
    description: dict


def load_robot(name: str) -> Robot:
    """Read a robot file by the robot's name or the file's path.

    Raises:
        UsageError: no such robot.
        DataError: the file is not readable or lacks a topic.
    """
    content = description.load_robot(name)
    try:
        topics = {key: content["topics"][key] for key in TOPICS}
    except (KeyError, TypeError) as error:
        raise DataError(
            f"robot {name}: its file lacks the topic {error}; see config/robot/drone.yaml"
        ) from None
    return Robot(name=content["name"], description=content, **topics)
