"""The robot file: topic names and sensors of a robot, and the fixed topics of the nodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import rospkg
import yaml

from nav_pkg.core import DataError, UsageError, nearest_name

EXPERT = "/expert/cmd_vel"
LEARNER = "/learner/cmd_vel"
EPISODE = "/episode"
RECORDER = "/recorder/status"
LEARNER_STATUS = "/learner/status"


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


def package_path() -> Path:
    """The folder of the nav_pkg package (with launch, config, worlds and models)."""
    return Path(rospkg.RosPack().get_path("nav_pkg"))


def load_robot(name: str) -> Robot:
    """Read config/robot/<name>.yaml, or the file that the name is the path of.

    Raises:
        UsageError: no such robot.
        DataError: the file lacks a topic or is not YAML.
    """
    folder = package_path() / "config" / "robot"
    path = Path(name) if name.endswith(".yaml") else folder / f"{name}.yaml"
    if not path.is_file():
        known = [file.stem for file in folder.glob("*.yaml")]
        raise UsageError(f"unknown robot {name!r}{nearest_name(name, known)}")
    try:
        content = yaml.safe_load(path.read_text())
        topics = content["topics"]
        names = {key: topics[key] for key in ("command", "rgb", "depth", "scan", "odometry", "contacts")}
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a robot file: {error}; see config/robot/drone.yaml") from None
    return Robot(name=path.stem, description=content, **names)
