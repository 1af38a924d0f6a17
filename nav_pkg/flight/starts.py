"""Start poses of runs."""

from __future__ import annotations

import math

from nav_pkg.config.flight import START_MODES
from nav_pkg.control.seeds import generator
from nav_pkg.core import DataError, Pose, UsageError, nearest_name
from nav_pkg.world import FloorPlan

CLEARANCE = 0.6
"""Free space around a start pose, metres: the collision limit of 0.5 m and some space to turn."""

MAX_ALONG = 2.0
"""Largest distance along the route between a varied start pose and the plan's, metres."""

MAX_LATERAL = 0.3
"""Largest distance of a start pose from the route, or from the lane of the plan's start pose, metres."""

MAX_TURN = math.radians(10)
"""Largest angle between a start pose and the route, or the heading of the plan's start pose, radians."""

ATTEMPTS = 200


def start_pose(plan: FloorPlan, seed: int, run: int, mode: str = "varied", reverse: bool = False) -> Pose:
    """The start pose of a run: a pure function of the arguments.

    Mode `varied` draws a pose near the plan's start pose: uniformly up to 2 m before or after it
    along the route, 0.3 m to either side and 10 degrees turned. No two runs then see the same
    images. Mode `exact` (or `start`) is the plan's start pose for every run. Mode `route` draws
    uniformly along the route, with the route's heading, up to 0.3 m beside it and 10 degrees turned.

    A draw with less than 0.6 m of free space around it is repeated. If the world lacks such space, a
    `route` pose lies on the route, and a `varied` pose has at least the space of the plan's start pose.

    Args:
        plan: the world.
        seed: of the series of runs.
        run: number of the run.
        mode: `varied`, `exact`, `start` or `route`.
        reverse: whether the pose points against the route's direction of travel.

    Returns:
        The pose, level at the plan's spawn height above the floor (0.1 m).

    Raises:
        UsageError: the mode is unknown, or the seed or run is negative.
        DataError: no drawn point of the route lies on the free floor.
    """
    if mode not in START_MODES:
        raise UsageError(f"no start mode is called {mode!r}{nearest_name(str(mode), list(START_MODES))}")
    about = math.pi if reverse else 0.0
    z = plan.floor + plan.spawn_height
    if mode == "route":
        x, y, yaw = _along_route(plan, seed, run)
    elif mode == "varied":
        x, y, yaw = _near_start(plan, seed, run)
    else:
        x, y, yaw = plan.start_pose
    return Pose(x, y, z, yaw=math.remainder(yaw + about, 2 * math.pi))


def _near_start(plan: FloorPlan, seed: int, run: int) -> tuple[float, float, float]:
    """Draw a pose near the plan's start pose: x, y, yaw."""
    start = plan.start_pose
    start_position = plan.route.project(start.x, start.y)
    # The plan's offset from the route, and its heading relative to the route, are kept through bends.
    start_heading = start.yaw - plan.route.pose_at(start_position.s).yaw
    clearance = min(CLEARANCE, plan.clearance(start.x, start.y))
    random = generator(seed, "start", run)
    for attempt in range(ATTEMPTS):
        # The range shrinks with every attempt: a start in a tight corner varies as much as its space allows.
        scale = 1 - attempt / ATTEMPTS
        along, beside, turn = (scale * (2 * random.random(3) - 1)).tolist()
        point = plan.route.pose_at(start_position.s + MAX_ALONG * along)
        lateral = start_position.offset + MAX_LATERAL * beside
        x = point.x - lateral * math.sin(point.yaw)
        y = point.y + lateral * math.cos(point.yaw)
        if plan.inside(x, y) and plan.clearance(x, y) >= clearance:
            return x, y, point.yaw + start_heading + MAX_TURN * turn
    return start.x, start.y, start.yaw + MAX_TURN * turn


def _along_route(plan: FloorPlan, seed: int, run: int) -> tuple[float, float, float]:
    """Draw a pose anywhere along the route: x, y, yaw."""
    random = generator(seed, "start", run)
    for _ in range(ATTEMPTS):
        along, beside, turn = random.random(3)
        s = along * plan.route.length
        lateral = MAX_LATERAL * (2 * beside - 1)
        point = plan.route.pose_at(s)
        # If the route has less free space than required, use its centre line.
        if plan.clearance(point.x, point.y) < CLEARANCE:
            lateral = 0.0
        x = point.x - lateral * math.sin(point.yaw)
        y = point.y + lateral * math.cos(point.yaw)
        if not plan.inside(x, y) or (lateral and plan.clearance(x, y) < CLEARANCE):
            continue
        return x, y, point.yaw + MAX_TURN * (2 * turn - 1)
    raise DataError(f"plan {plan.name}: no free place along the route for a start pose")
