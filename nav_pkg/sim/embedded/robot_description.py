"""What the embedded simulator needs to know about a robot, read from the SDF model that Gazebo gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Tuple
from xml.etree import ElementTree

from nav_pkg.core import DataError, Pose
from nav_pkg.sim import cameras, description
from nav_pkg.sim.description import SimulatorOptions
from nav_pkg.sim.embedded import shapes
from nav_pkg.sim.embedded.shapes import Shape
from nav_pkg.sim.sdf_values import numbers
from nav_pkg.sim.sdf_values import pose as sdf_pose


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
        shapes: what is visible of it.
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
    shapes: Tuple[Shape, ...]


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
            f"{where} does not consist of one link with one box as its collision shape, which is all that "
            "the embedded simulator simulates; use --simulator gazebo"
        )
    link, hull = links[0], collisions[0]
    centre = sdf_pose(hull, where)
    if centre[3:] != (0.0, 0.0, 0.0) or sdf_pose(link, where) != Pose(0.0, 0.0, 0.0):
        raise DataError(f"{where}: its link is moved, or its collision box is turned; use --simulator gazebo")
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
    size_x, size_y, size_z = numbers(hull.findtext("geometry/box/size"), 3, f"{where}: <size>")
    size = (int(plugin.findtext("depth_width") or 0), int(plugin.findtext("depth_height") or 0))
    rate = options.rate or float(robot.get("control_rate", 10.0))
    return RobotDescription(
        name=str(robot["name"]),
        ground=description.is_ground(robot),
        mass=_number(link, "inertial/mass", where),
        inertia=(inertia[0], inertia[1], inertia[2]),
        hull_centre=centre[:3],
        hull_size=(size_x, size_y, size_z),
        camera=found.pop(""),
        side_cameras=found,
        depth_size=size if all(size) else None,
        lidar=lidar,
        control_period=1.0 / rate,
        shapes=tuple(
            shapes.read(visual, sdf_pose(visual, where), where) for visual in link.findall("visual")
        ),
    )


def _number(element: ElementTree.Element, path: str, where: str) -> float:
    return numbers(element.findtext(path), 1, f"{where}: <{path}>")[0]


def _camera(sensor: ElementTree.Element, where: str) -> Camera:
    return Camera(
        pose=sdf_pose(sensor, where),
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
    if rays < 2 or last <= first:
        raise DataError(
            f"{where}: its lidar has {rays} rays from {first:g} to {last:g} rad; it has to have two"
        )
    return Lidar(
        pose=sdf_pose(sensor, where),
        rays=rays,
        first=first,
        step=(last - first) / (rays - 1),
        range_min=_number(sensor, "ray/range/min", where),
        range_max=_number(sensor, "ray/range/max", where),
        noise=noise,
    )
