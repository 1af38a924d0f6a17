"""What the embedded simulator needs to know about a robot, read from the SDF model that Gazebo gets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, Optional, Tuple
from xml.etree import ElementTree

from nav_pkg.core import DataError, Pose
from nav_pkg.sim import cameras, description
from nav_pkg.sim.description import SimulatorOptions


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        pose: in the robot's frame; it looks along its x axis.
        width, height: pixels.
        horizontal_fov: radians.
        near, far: clip distances, metres.
    """

    pose: Pose
    width: int
    height: int
    horizontal_fov: float
    near: float
    far: float


@dataclass(frozen=True)
class Lidar:
    """A planar lidar.

    Attributes:
        pose: in the robot's frame.
        rays: number of rays.
        first, step: angle of the first ray and between two rays, radians, counter-clockwise.
        range_min, range_max: metres.
        noise: standard deviation, metres.
    """

    pose: Pose
    rays: int
    first: float
    step: float
    range_min: float
    range_max: float
    noise: float


@dataclass(frozen=True)
class RobotDescription:
    """A robot.

    Attributes:
        name: its name.
        ground: whether it stays on the floor.
        mass: kg.
        inertia: diagonal, kg m^2.
        hull_centre, hull_size: its collision box in the robot's frame, metres.
        camera: for colour and depth.
        side_cameras: by name, `left` or `right`; colour only.
        depth_size: width and height of the depth image, pixels; None for no depth images.
        lidar: None without one.
        control_period: of all sensors, seconds.
    """

    name: str
    ground: bool
    mass: float
    inertia: Tuple[float, float, float]
    hull_centre: Tuple[float, float, float]
    hull_size: Tuple[float, float, float]
    camera: Camera
    side_cameras: Dict[str, Camera]
    depth_size: Optional[Tuple[int, int]]
    lidar: Optional[Lidar]
    control_period: float


def read(options: SimulatorOptions) -> RobotDescription:
    """Read a robot's model with the camera and rates of these options.

    Raises:
        UsageError, DataError: the robot or its model is invalid, or the model has a form that only Gazebo
            simulates.
    """
    robot = description.load_robot(options.robot)
    model = description.robot_model(options, robot)
    plugin = description.plugin_element(options, robot)
    where = f"the model of robot {robot['name']}"
    links, collisions = model.findall("link"), model.findall("link/collision")
    if len(links) != 1 or len(collisions) != 1 or collisions[0].find("geometry/box") is None:
        raise DataError(
            f"{where} does not consist of one link with one box as its collision shape, which is all that the "
            "embedded simulator simulates; use --simulator gazebo"
        )
    link, hull = links[0], collisions[0]
    centre = _pose(hull)
    if centre[3:] != (0.0, 0.0, 0.0) or _pose(link) != Pose(0.0, 0.0, 0.0):
        raise DataError(f"{where}: its link or its collision box is turned; use --simulator gazebo")
    inertia = [_number(link, f"inertial/inertia/{axis}", where) for axis in ("ixx", "iyy", "izz")]
    sides = {side.sensor: side.name for side in cameras.side_cameras(robot)}
    found: Dict[str, Camera] = {}
    lidar = None
    for sensor in link.findall("sensor"):
        if sensor.get("type") == "camera":
            found[sides.get(str(sensor.get("name")), "")] = _camera(sensor, where)
        elif sensor.get("type") == "ray":
            lidar = _lidar(sensor, float(plugin.findtext("scan_noise") or 0), where)
    if "" not in found:
        raise DataError(f"{where} has no camera")
    size = (int(plugin.findtext("depth_width") or 0), int(plugin.findtext("depth_height") or 0))
    rate = options.rate or float(robot.get("control_rate", 10.0))
    return RobotDescription(
        name=str(robot["name"]),
        ground=description.is_ground(robot),
        mass=_number(link, "inertial/mass", where),
        inertia=(inertia[0], inertia[1], inertia[2]),
        hull_centre=centre[:3],
        hull_size=_three(hull.findtext("geometry/box/size"), where),
        camera=found.pop(""),
        side_cameras=found,
        depth_size=size if all(size) else None,
        lidar=lidar,
        control_period=1.0 / rate,
    )


def _number(element: ElementTree.Element, path: str, where: str) -> float:
    text = element.findtext(path)
    try:
        value = float(str(text))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: <{path}> is {text!r}; it has to be a number")
    return value


def _three(text: Optional[str], where: str) -> Tuple[float, float, float]:
    words = (text or "").split()
    if len(words) != 3:
        raise DataError(f"{where}: <size> is {text!r}; it has to be three numbers")
    return (float(words[0]), float(words[1]), float(words[2]))


def _pose(element: ElementTree.Element) -> Pose:
    return Pose(*(float(word) for word in (element.findtext("pose") or "0 0 0 0 0 0").split()))


def _camera(sensor: ElementTree.Element, where: str) -> Camera:
    return Camera(
        pose=_pose(sensor),
        width=int(_number(sensor, "camera/image/width", where)),
        height=int(_number(sensor, "camera/image/height", where)),
        # Gazebo's libraries hand this angle on as text with 6 digits.
        horizontal_fov=float(f"{_number(sensor, 'camera/horizontal_fov', where):.6g}"),
        near=_number(sensor, "camera/clip/near", where),
        far=_number(sensor, "camera/clip/far", where),
    )


def _lidar(sensor: ElementTree.Element, noise: float, where: str) -> Lidar:
    rays = int(_number(sensor, "ray/scan/horizontal/samples", where))
    first = _number(sensor, "ray/scan/horizontal/min_angle", where)
    last = _number(sensor, "ray/scan/horizontal/max_angle", where)
    return Lidar(
        pose=_pose(sensor),
        rays=rays,
        first=first,
        step=(last - first) / max(rays - 1, 1),
        range_min=_number(sensor, "ray/range/min", where),
        range_max=_number(sensor, "ray/range/max", where),
        noise=noise,
    )
