"""Floor plans, the input of world generation; `plan_file` reads them.

World frame: x east, y north, z up, metres, floor at z = 0. Walls are vertical rectangles. Each wall runs
from its start to its end with the free floor on its left, over its own range of heights. At every height
the walls form closed rings: outer rings run counter-clockwise, rings around a block clockwise. A point is
on the free floor if the winding number of the rings around it is 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional, Union

import numpy as np

from nav_pkg.core import DataError
from nav_pkg.world.route import Route

TEXTURE_SEED = 1
"""Seed of the pictures and lamps of a world whose name has no `+SEED`."""
SECTION_HEIGHT = 1.0
"""Height of the horizontal section that represents the plan, metres: the height of a flying drone."""


class Wall(NamedTuple):
    """A vertical rectangle: kind, ends (x, y) with the free floor on the left, heights, metres."""

    kind: str
    start: tuple[float, float]
    end: tuple[float, float]
    bottom: float
    top: float


class Cap(NamedTuple):
    """A horizontal polygon that closes a niche above or below: kind, facing 'up' or 'down', z, points."""

    kind: str
    facing: str
    z: float
    points: tuple[tuple[float, float], ...]


class StartPose(NamedTuple):
    """Start pose of a run: metres and radians, world frame."""

    x: float
    y: float
    yaw: float


class Lamp(NamedTuple):
    """A ceiling lamp: position in metres and the constant term of its attenuation (1/brightness)."""

    x: float
    y: float
    z: float
    attenuation: float


class CableStrip(NamedTuple):
    """The cable tray under the ceiling: closed centre line, width and height of its underside, metres."""

    points: tuple[tuple[float, float], ...]
    width: float
    z: float


@dataclass(frozen=True)
class FloorPlan:
    """A world's floor plan.

    Attributes:
        name: the world's name; a suffix `+SEED` selects another set of textures.
        texture_seed: seed of the pictures and lamps.
        title: one-line description.
        digest: SHA-256 of the plan file (and the `+SEED`), hexadecimal; identifies the world in a recorded
            run.
        floor: height of the floor, metres.
        ceiling: height of the ceiling, metres.
        walls: all vertical surfaces.
        caps: undersides of lintels, sills, tops.
        lamps: all lamps.
        cable_strip: the tray under the ceiling, or None.
        outer_boundary: float64 (N, 2), simplified outline of the free floor, not closed.
        inner_boundary: float64 (N, 2), outline of the block inside the loop, not closed.
        waypoints: float64 (W, 2), cyclic, in the direction of travel.
        route: the waypoints as a loop with arc lengths.
        start_pose: the default start of a run.
        start_positions: float64 (N, 2), additional start positions; no flight uses them.
        spawn_height: height at which the robot is spawned, metres.
        reached_distance: distance at which a waypoint counts as reached, metres.
        goto_weight: weight of waypoint following in the expert's yaw command.
        limits: the episode's limits: `delay_evaluation` and `max_duration` in seconds,
            `min_depth` and `starting_height` in metres.
        facts: known values of the plan, for checks: lengths in metres, areas in square metres.
    """

    name: str
    title: str
    digest: str
    floor: float
    ceiling: float
    walls: tuple[Wall, ...]
    caps: tuple[Cap, ...]
    lamps: tuple[Lamp, ...]
    cable_strip: Optional[CableStrip]
    outer_boundary: np.ndarray
    inner_boundary: np.ndarray
    waypoints: np.ndarray
    route: Route
    start_pose: StartPose
    start_positions: np.ndarray
    spawn_height: float
    reached_distance: float
    goto_weight: float
    limits: dict[str, float]
    facts: dict[str, float]
    texture_seed: int = TEXTURE_SEED

    def segments(self, height: float = SECTION_HEIGHT) -> np.ndarray:
        """The walls at a height: float64 (N, 4) rows x1, y1, x2, y2, metres."""
        cut = [(*w.start, *w.end) for w in self.walls if w.bottom <= height < w.top]
        return np.array(cut, dtype=np.float64).reshape(-1, 4)

    def ray_cast(self, origins: np.ndarray, angles: np.ndarray, height: float = SECTION_HEIGHT) -> np.ndarray:
        """Distances to the walls at a height.

        Args:
            origins: float (N, 2), metres.
            angles: float (M,) for every origin, or (N, M); radians, world frame.
            height: metres.

        Returns:
            float64 (N, M), metres; inf for a ray without a hit.
        """
        origins = np.atleast_2d(np.asarray(origins, dtype=np.float64))
        angles = np.asarray(angles, dtype=np.float64)
        angles = np.broadcast_to(angles, (len(origins), angles.shape[-1]))
        lines = self.segments(height)
        start, span = lines[:, :2], lines[:, 2:] - lines[:, :2]
        result = np.empty(angles.shape)
        for row, (origin, heading) in enumerate(zip(origins, angles)):
            ray = np.stack([np.cos(heading), np.sin(heading)], axis=1)
            gap = start - origin
            across = ray[:, :1] * span[:, 1] - ray[:, 1:] * span[:, 0]
            with np.errstate(divide="ignore", invalid="ignore"):
                distance = (gap[:, 0] * span[:, 1] - gap[:, 1] * span[:, 0]) / across
                share = (gap[:, 0] * ray[:, 1:] - gap[:, 1] * ray[:, :1]) / across
            # Slightly beyond the ends: no ray passes between two walls that share a corner.
            hit = (distance >= 0) & (share >= -1e-9) & (share <= 1 + 1e-9)
            result[row] = np.where(hit, distance, np.inf).min(axis=1, initial=np.inf)
        return result

    def inside(self, x: float, y: float, height: float = SECTION_HEIGHT) -> Union[bool, np.ndarray]:
        """Whether points are on the free floor: a bool, or bool (...) for arrays of coordinates."""
        px, py = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        x1, y1, x2, y2 = self.segments(height).T
        px, py = px[..., None], py[..., None]
        side = (x2 - x1) * (py - y1) - (px - x1) * (y2 - y1)
        upward = (y1 <= py) & (y2 > py) & (side > 0)
        downward = (y2 <= py) & (y1 > py) & (side < 0)
        winding = upward.sum(axis=-1) - downward.sum(axis=-1)
        return bool(winding == 1) if winding.ndim == 0 else winding == 1

    def clearance(self, x: float, y: float, height: float = SECTION_HEIGHT) -> float:
        """Distance from a point to the nearest wall, metres."""
        lines = self.segments(height)
        start, span = lines[:, :2], lines[:, 2:] - lines[:, :2]
        gap = np.array([x, y]) - start
        share = np.clip((gap * span).sum(axis=1) / (span**2).sum(axis=1), 0.0, 1.0)
        return float(np.hypot(*(gap - share[:, None] * span).T).min())

    def rings(self, height: float = SECTION_HEIGHT) -> list[np.ndarray]:
        """The closed rings that the walls form at a height, each float64 (N, 2), not closed.

        Raises:
            DataError: the walls leave a gap at this height.
        """
        follow: dict[tuple[float, float], tuple[float, float]] = {}
        for wall in self.walls:
            if wall.bottom <= height < wall.top:
                if wall.start in follow:
                    raise DataError(f"plan {self.name}: two walls start at {wall.start} at z={height:g}")
                follow[wall.start] = wall.end
        rings = []
        while follow:
            first, point = follow.popitem()
            ring = [first]
            while point != first:
                ring.append(point)
                if point not in follow:
                    raise DataError(f"plan {self.name}: the walls leave a gap at {point} at z={height:g}")
                point = follow.pop(point)
            rings.append(np.array(ring))
        # Sorted by area: the order then does not depend on the first point of a ring.
        return sorted(rings, key=lambda ring: -abs(polygon_area(ring)))

    @property
    def free_area(self) -> float:
        """Area between the outlines, square metres."""
        return abs(polygon_area(self.outer_boundary)) - abs(polygon_area(self.inner_boundary))


def polygon_area(points: np.ndarray) -> float:
    """Signed area of a polygon (N, 2), positive if it runs counter-clockwise."""
    x, y = np.asarray(points, dtype=np.float64).T
    return float(0.5 * (x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def polygon_perimeter(points: np.ndarray) -> float:
    """Length of a closed polygon's outline (N, 2), metres."""
    return float(np.hypot(*(np.roll(points, -1, axis=0) - points).T).sum())
