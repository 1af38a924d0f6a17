"""Names and places in a run's world, as Gazebo has them, read from the world file that Gazebo would get."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple
from xml.etree import ElementTree

from nav_pkg.core import DataError, Pose
from nav_pkg.sim import description
from nav_pkg.sim.description import SimulatorOptions
from nav_pkg.sim.sdf_values import pose as sdf_pose

Numbers = Tuple[float, float, float]
Rotation = Tuple[float, float, float, float]

ODE_DEFAULTS = {
    "solver/precon_iters": 0.0,
    "solver/iters": 50.0,
    "solver/sor": 1.3,
    "constraints/contact_surface_layer": 0.001,
    "constraints/contact_max_correcting_vel": 100.0,
    "constraints/cfm": 0.0,
    "constraints/erp": 0.2,
}
"""SDF's defaults below <physics><ode>."""


@dataclass(frozen=True)
class WorldEntities:
    """The two models of a world, the building and the robot, and the world's physics settings.

    Attributes:
        models: names of all models, in Gazebo's order.
        robot: the robot's name.
        start: the robot's pose before anybody has placed it.
        hull: full name of the robot's collision shape (model::link::shape).
        building: full name of the building's link.
        places: poses of models, links and shapes by name and full name, each in the frame of its model.
        gravity: m/s^2.
        ode: values below <physics><ode>, by path.
    """

    models: List[str]
    robot: str
    start: Pose
    hull: str
    building: str
    places: Dict[str, Tuple[str, Pose]]
    gravity: Numbers
    ode: Dict[str, float]

    @staticmethod
    def read(options: SimulatorOptions) -> WorldEntities:
        """Read a world.

        Raises:
            UsageError, DataError: the world or the robot is invalid.
        """
        world = ElementTree.fromstring(description.compose(options)).find("world")
        assert world is not None
        name = str(description.load_robot(options.robot)["name"])
        folder = description.model_folder(options.world)
        models: List[Tuple[str, ElementTree.Element]] = []
        for element in world:
            if element.tag == "model":
                models.append((str(element.get("name")), element))
            elif element.tag == "include":
                models.append(_included(element, folder))
        places: Dict[str, Tuple[str, Pose]] = {}
        for model, element in models:
            places.setdefault(model, (model, Pose(0.0, 0.0, 0.0)))
            for link in element.findall("link"):
                full = f"{model}::{link.get('name')}"
                for name_of_link in (full, str(link.get("name"))):
                    places.setdefault(name_of_link, (model, sdf_pose(link, str(options.world))))
                for shape in link.findall("collision"):
                    for name_of_shape in (f"{full}::{shape.get('name')}", str(shape.get("name"))):
                        places.setdefault(name_of_shape, (model, sdf_pose(shape, str(options.world))))
        robot = dict(models)[name]
        link, shape = robot.find("link"), robot.find("link/collision")
        building = next((m, e.find("link")) for m, e in models if m != name)
        assert link is not None and shape is not None and building[1] is not None
        words = (world.findtext("gravity") or "0 0 -9.8").split()
        ode = {
            path: float(world.findtext(f"physics/ode/{path}") or default)
            for path, default in ODE_DEFAULTS.items()
        }
        return WorldEntities(
            models=[model for model, _ in models],
            robot=name,
            start=sdf_pose(robot, str(options.world)),
            hull=f"{name}::{link.get('name')}::{shape.get('name')}",
            building=f"{building[0]}::{building[1].get('name')}",
            places=places,
            gravity=(float(words[0]), float(words[1]), float(words[2])),
            ode={**ode, "max_contacts": float(world.findtext("physics/max_contacts") or 20)},
        )


def _included(include: ElementTree.Element, folder) -> Tuple[str, ElementTree.Element]:
    """Name and <model> of an <include>."""
    path = folder / (include.findtext("uri") or "").replace("model://", "") / "model.sdf"
    try:
        model = ElementTree.parse(path).getroot().find("model")
    except (OSError, ElementTree.ParseError) as error:
        raise DataError(f"{path} cannot be read ({error}); run make_world.py again") from None
    if model is None:
        raise DataError(f"{path} is not an SDF model: it has no <model> in <sdf>")
    return include.findtext("name") or str(model.get("name")), model


# Quaternions: x, y, z, w.


def turned(rotation: Sequence[float], vector: Sequence[float]) -> Numbers:
    """Rotate a vector by a unit quaternion."""
    x, y, z, w = rotation
    a, b, c = vector
    # v + 2 w (u x v) + 2 u x (u x v), u the quaternion's vector
    e, f, g = y * c - z * b, z * a - x * c, x * b - y * a
    return (
        a + 2 * (w * e + y * g - z * f),
        b + 2 * (w * f + z * e - x * g),
        c + 2 * (w * g + x * f - y * e),
    )


def conjugate(rotation: Sequence[float]) -> Rotation:
    """The opposite rotation."""
    x, y, z, w = rotation
    return (-x, -y, -z, w)


def product(first: Sequence[float], second: Sequence[float]) -> Rotation:
    """The rotation by `second`, then by `first`."""
    x, y, z, w = first
    a, b, c, d = second
    return (
        w * a + x * d + y * c - z * b,
        w * b - x * c + y * d + z * a,
        w * c + x * b - y * a + z * d,
        w * d - x * a - y * b - z * c,
    )


def normalised(rotation: Sequence[float]) -> Rotation:
    """A unit quaternion; zeros (an empty message) mean no rotation. Not finite: not finite numbers."""
    length = math.sqrt(sum(number * number for number in rotation))
    if length == 0.0:
        return (0.0, 0.0, 0.0, 1.0)
    x, y, z, w = (number / length if length < math.inf else math.nan for number in rotation)
    return (x, y, z, w)
