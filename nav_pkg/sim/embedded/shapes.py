"""The robot's own shapes, as its cameras see them: the <visual> elements of its model."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Tuple
from xml.etree import ElementTree

import numpy as np

from nav_pkg.core import DataError, Pose
from nav_pkg.sim.sdf_values import numbers

SEGMENTS = 32
"""Sides of a cylinder; parallels and meridians of a sphere. As in Gazebo."""

AMBIENT = 0.8
"""Strength of the light on the robot, as in the world files; a world's surfaces have baked light."""


@dataclass(frozen=True)
class Shape:
    """A visible part of a robot.

    Attributes:
        corners: float32 (T, 3, 3), triangles in the robot's frame, metres, counter-clockwise from outside.
        ambient: red, green, blue, 0 to 1: the colour in ambient light of strength 1.
    """

    corners: np.ndarray = field(repr=False)
    ambient: Tuple[float, float, float]


def read(visual: ElementTree.Element, pose: Pose, where: str) -> Shape:
    """Read a <visual>.

    Args:
        visual: the element.
        pose: its pose in the robot's frame.
        where: the model, for messages.

    Raises:
        DataError: its shape is not a box, a cylinder or a sphere, or a number is missing.
    """
    name = f"{where}: visual {visual.get('name')!r}"
    geometry = visual.find("geometry")
    kinds = [] if geometry is None else [child.tag for child in geometry]
    if kinds == ["box"]:
        points, triangles = _sheet(
            _box(numbers(visual.findtext("geometry/box/size"), 3, f"{name}: <geometry/box/size>"))
        )
    elif kinds == ["cylinder"]:
        (radius,) = numbers(
            visual.findtext("geometry/cylinder/radius"), 1, f"{name}: <geometry/cylinder/radius>"
        )
        (length,) = numbers(
            visual.findtext("geometry/cylinder/length"), 1, f"{name}: <geometry/cylinder/length>"
        )
        rings = [(0.0, -length / 2), (radius, -length / 2), (radius, length / 2), (0.0, length / 2)]
        points, triangles = _sheet(_turned(rings))
    elif kinds == ["sphere"]:
        (radius,) = numbers(visual.findtext("geometry/sphere/radius"), 1, f"{name}: <geometry/sphere/radius>")
        angles = np.linspace(-math.pi / 2, math.pi / 2, SEGMENTS + 1)
        points, triangles = _sheet(_turned([(radius * math.cos(a), radius * math.sin(a)) for a in angles]))
    else:
        raise DataError(
            f"{name} is not a box, a cylinder or a sphere, which are all that the embedded simulator draws "
            "of a robot; use --simulator gazebo"
        )
    x, y, z, w = pose.quaternion()
    turn = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    corners = (points @ turn.T + np.array(pose[:3]))[triangles]
    words = (visual.findtext("material/ambient") or "1 1 1").split()[:3]
    colour = numbers(" ".join(words), 3, f"{name}: <material/ambient>")
    return Shape(corners.astype(np.float32), (colour[0], colour[1], colour[2]))


def _turned(rings) -> np.ndarray:
    """A surface of revolution (rings, segments + 1, 3) of (radius, height) pairs from the bottom up."""
    angles = np.linspace(0, 2 * math.pi, SEGMENTS + 1)
    return np.array([[(r * math.cos(a), r * math.sin(a), z) for a in angles] for r, z in rings])


def _box(size: Tuple[float, ...]) -> np.ndarray:
    """A box as a surface of four sides with its bottom and top folded to a point."""
    x, y, z = (edge / 2 for edge in size)
    around = [(x, y), (-x, y), (-x, -y), (x, -y), (x, y)]
    rows = [
        [(0.0, 0.0, -z)] * 5,
        [(a, b, -z) for a, b in around],
        [(a, b, z) for a, b in around],
        [(0.0, 0.0, z)] * 5,
    ]
    return np.array(rows)


def _sheet(grid: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Points (V, 3) and triangles (T, 3) of a grid of points (rows from the bottom up, counter-clockwise)."""
    rows, columns = grid.shape[:2]
    first = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    right, above = first + 1, first + columns
    triangles = np.concatenate(
        [np.stack([first, right, above + 1], 1), np.stack([first, above + 1, above], 1)]
    )
    return grid.reshape(-1, 3), triangles
