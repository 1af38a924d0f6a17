"""The route of a world: a cyclic polyline of waypoints, measured in metres along the loop.

A lap is measured as progress along the route: `project` converts a position to an arc length. Its argument
`near` keeps a flight on the correct stretch if two stretches are close to each other.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Optional

import numpy as np

from nav_pkg.core import DataError

SEARCH_WINDOW = 5.0
"""Half width of the search window around `near`, metres along the loop."""


class Projection(NamedTuple):
    """The nearest point of the route: arc length in [0, length) and offset to the left, metres."""

    s: float
    offset: float


class RoutePose(NamedTuple):
    """A point of the route, world frame: metres and radians in (-pi, pi]."""

    x: float
    y: float
    yaw: float


class Route:
    """A closed polyline; s = 0 at the first waypoint and increases in the direction of travel.

    Args:
        waypoints: float64 (W, 2), world frame, metres; at least three. The last is connected to the first.

    Raises:
        DataError: there are fewer than three waypoints, one is not finite, or two neighbours are equal.
    """

    def __init__(self, waypoints: np.ndarray) -> None:
        points = np.array(waypoints, dtype=np.float64)
        if points.ndim != 2 or points.shape[1:] != (2,) or len(points) < 3:
            raise DataError(f"a route needs at least 3 waypoints [x, y], not an array of {points.shape}")
        if not np.isfinite(points).all():
            raise DataError("a route's waypoints must be finite numbers")
        steps = np.roll(points, -1, axis=0) - points
        lengths = np.hypot(steps[:, 0], steps[:, 1])
        if (lengths < 1e-9).any():
            raise DataError(f"waypoint {int(lengths.argmin())} of the route equals the one after it")
        points.setflags(write=False)
        self.waypoints = points
        self._lengths = lengths
        self._units = steps / lengths[:, None]
        self._starts = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
        self.length = float(lengths.sum())

    def project(self, x: float, y: float, near: Optional[float] = None) -> Projection:
        """Project a position onto the route: find the nearest point.

        Args:
            x: metres, world frame.
            y: metres, world frame.
            near: search only within SEARCH_WINDOW metres of this arc length (any number; it is taken
                modulo the length). None: search the whole loop.

        Raises:
            ValueError: an argument is not finite.
        """
        if not (math.isfinite(x) and math.isfinite(y) and (near is None or math.isfinite(near))):
            raise ValueError(f"cannot project ({x}, {y}) near {near} onto the route: not finite")
        relative = np.array([x, y]) - self.waypoints
        along = np.einsum("ij,ij->i", relative, self._units)
        low, high = np.zeros_like(along), self._lengths.copy()
        offset_of_turn = np.zeros_like(along)
        if near is not None and self.length > 2 * SEARCH_WINDOW:
            # Three copies of each segment, one per turn: a window across the end of the loop finds its start.
            near %= self.length
            turns = np.repeat([-self.length, 0.0, self.length], len(along))
            relative = np.tile(relative, (3, 1))
            along, low, high = np.tile(along, 3), np.tile(low, 3), np.tile(high, 3)
            starts = np.tile(self._starts, 3) + turns
            low = np.maximum(low, near - SEARCH_WINDOW - starts)
            high = np.minimum(high, near + SEARCH_WINDOW - starts)
            units = np.tile(self._units, (3, 1))
            offset_of_turn = turns
        else:
            starts, units = self._starts, self._units
        clipped = np.minimum(np.maximum(along, low), high)
        gaps = relative - clipped[:, None] * units
        distance = np.where(low <= high, np.hypot(gaps[:, 0], gaps[:, 1]), np.inf)
        best = int(distance.argmin())
        unit, gap = units[best], relative[best]
        left = unit[0] * gap[1] - unit[1] * gap[0]
        s = float(starts[best] - offset_of_turn[best] + clipped[best]) % self.length
        # `%` of a tiny negative number may round to the length itself.
        return Projection(s if s < self.length else 0.0, float(math.copysign(distance[best], left)))

    def pose_at(self, s: float) -> RoutePose:
        """Point and heading at an arc length (any number; it is taken modulo the length)."""
        s = s % self.length
        index = int(np.searchsorted(self._starts, s, side="right")) - 1
        unit = self._units[index]
        x, y = self.waypoints[index] + (s - self._starts[index]) * unit
        return RoutePose(float(x), float(y), math.atan2(unit[1], unit[0]))

    def arc_of_waypoint(self, index: int) -> float:
        """The arc length of a waypoint, metres."""
        return float(self._starts[index % len(self._starts)])
