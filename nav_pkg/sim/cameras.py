"""Side cameras of a robot: parse them from the robot file, and add them to the simulator.

A side camera has the position of the first camera and is turned to the left or to the right. Its image is
what the first camera would show if the robot turned by that angle: recovery data, recorded without leaving
the route.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, Dict, List, Tuple
from xml.etree import ElementTree

from nav_pkg.core import DataError, nearest_name

SIDES = {"left": 1, "right": -1}
"""Allowed names of a side camera -> sign of its yaw (REP 103: left is positive)."""

_DEFAULT_NAMES = {
    "rgb": "/camera_{}/rgb/image_raw",
    "rgb_info": "/camera_{}/rgb/camera_info",
    "frame": "camera_{}_link",
    "optical": "camera_{}_optical_frame",
}


@dataclass(frozen=True)
class SideCamera:
    """An additional colour camera.

    Attributes:
        name: `left` or `right`.
        yaw: degrees, counter-clockwise from the first camera's direction.
        rgb, rgb_info: topics of its images and of its camera_info.
        frame, optical: names of its frames.
    """

    name: str
    yaw: float
    rgb: str
    rgb_info: str
    frame: str
    optical: str

    @property
    def sensor(self) -> str:
        """Name of its sensor in the model."""
        return f"camera_{self.name}"


def side_cameras(robot: Dict[str, Any]) -> Tuple[SideCamera, ...]:
    """Parse the side cameras of a robot file, sorted by name.

    Args:
        robot: the file's content.

    Raises:
        DataError: an entry of `cameras` is invalid.
    """
    entries = robot.get("cameras") or {}
    where = f"robot {robot.get('name')}: cameras"
    if not isinstance(entries, dict):
        raise DataError(f"{where} is {entries!r}; it has to map left and right to their settings")
    cameras: List[SideCamera] = []
    for name in sorted(entries):
        entry = entries[name]
        if name not in SIDES:
            raise DataError(f"{where}: {name!r} is none{nearest_name(str(name), list(SIDES))}")
        if not isinstance(entry, dict):
            raise DataError(f"{where}/{name} is {entry!r}; see config/robot/drone_recovery.yaml")
        for key in entry:
            if key != "yaw" and key not in _DEFAULT_NAMES:
                raise DataError(
                    f"{where}/{name}: unknown key {key!r}{nearest_name(key, ['yaw', *_DEFAULT_NAMES])}"
                )
        yaw = entry.get("yaw")
        number = isinstance(yaw, (int, float)) and not isinstance(yaw, bool)
        if not number or not 0 < SIDES[name] * yaw <= 90:
            between = "above 0 and at most 90" if SIDES[name] > 0 else "at least -90 and below 0"
            raise DataError(f"{where}/{name}/yaw is {yaw!r}; it has to be {between} degrees")
        texts = {key: str(entry.get(key, usual.format(name))) for key, usual in _DEFAULT_NAMES.items()}
        cameras.append(SideCamera(name=name, yaw=float(yaw), **texts))
    return tuple(cameras)


def add_sensors(model: ElementTree.Element, cameras: Tuple[SideCamera, ...]) -> None:
    """Add the side cameras to a robot's <model> as turned copies of its camera.

    Raises:
        DataError: the model has no camera to copy.
    """
    if not cameras:
        return
    for link in model.iter("link"):
        own = next((sensor for sensor in link.findall("sensor") if sensor.get("type") == "camera"), None)
        if own is None:
            continue
        for camera in cameras:
            sensor = copy.deepcopy(own)
            sensor.set("name", camera.sensor)
            pose = sensor.find("pose")
            if pose is None:
                pose = ElementTree.SubElement(sensor, "pose")
            numbers = [float(word) for word in (pose.text or "0 0 0 0 0 0").split()]
            # Fixed axes: yaw is the last of the three rotations, about the robot's own vertical axis.
            numbers[5] += math.radians(camera.yaw)
            pose.text = " ".join(f"{number:.12g}" for number in numbers)
            link.append(sensor)
        return
    raise DataError("the robot's model has no camera, so that it can't have side cameras")


def plugin_elements(cameras: Tuple[SideCamera, ...]) -> List[ElementTree.Element]:
    """The <camera> elements of the <plugin> element."""
    elements = []
    for camera in cameras:
        element = ElementTree.Element("camera")
        for key in ("sensor", *_DEFAULT_NAMES):
            ElementTree.SubElement(element, key).text = getattr(camera, key)
        elements.append(element)
    return elements
