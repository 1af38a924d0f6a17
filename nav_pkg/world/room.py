"""Clearance of a plan's route: find points that are closer to a wall than necessary."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from nav_pkg.world.plan import FloorPlan

ROOM = 1.0
"""Distance to the walls that a route should keep if the corridor allows it, metres.

A distance of 0.5 m is a collision. The rest covers the overshoot at a waypoint of a bang-bang pilot with a
delay of 0.2 s (about 0.3 m), and the shorter distance to the wall that a camera turned by 40 degrees sees.
"""

STEP = 0.1
"""Distance between the points at which a route is measured, metres."""

SLACK = 0.1
"""Additional clearance at another point across the route that makes a point a tight spot, metres."""


class TightSpot(NamedTuple):
    """A point of the route that is closer to a wall than necessary.

    Attributes:
        s: arc length of the point, metres.
        x, y: the point, world frame, metres.
        clearance: its distance to the nearest wall, metres.
        better: a point across the route with more clearance, (x, y).
        possible: that point's distance to the nearest wall, metres.
        waypoint: index of the nearest waypoint along the route.
    """

    s: float
    x: float
    y: float
    clearance: float
    better: tuple[float, float]
    possible: float
    waypoint: int


def tight_spots(plan: FloorPlan, room: float = ROOM) -> list[TightSpot]:
    """Find points of a route that are closer to a wall than `room`, with more clearance beside them.

    The search covers points perpendicular to the route on both sides, as far as the free floor extends, at
    most 2 `room`. Consecutive points form a stretch; only its tightest point is returned.
    """
    stretches: list[list[TightSpot]] = []
    last = -math.inf
    for s in np.arange(0.0, plan.route.length, STEP):
        spot = _tight(plan, float(s), room)
        if spot is None:
            continue
        if s - last > 1.5 * STEP:
            stretches.append([])
        stretches[-1].append(spot)
        last = s
    return [min(stretch, key=lambda spot: spot.clearance) for stretch in stretches]


def _tight(plan: FloorPlan, s: float, room: float) -> TightSpot | None:
    point = plan.route.pose_at(s)
    clearance = plan.clearance(point.x, point.y)
    if clearance >= room:
        return None
    best, possible = (point.x, point.y), clearance
    for side in (1, -1):
        for away in np.arange(STEP, 2 * room, STEP):
            x = point.x - side * away * math.sin(point.yaw)
            y = point.y + side * away * math.cos(point.yaw)
            if not plan.inside(x, y):
                break
            free = plan.clearance(x, y)
            if free > possible:
                best, possible = (x, y), free
    if clearance >= min(room, possible) - SLACK:
        return None
    arcs = [plan.route.arc_of_waypoint(i) for i in range(len(plan.waypoints))]
    gaps = [abs(math.remainder(arc - s, plan.route.length)) for arc in arcs]
    return TightSpot(s, point.x, point.y, clearance, best, possible, int(np.argmin(gaps)))
