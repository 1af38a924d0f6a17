"""Where runs start."""

from __future__ import annotations

import math

from nav_pkg.config.flight import START_MODES
from nav_pkg.control.seeds import generator
from nav_pkg.core import DataError, Pose, UsageError, nearest_name
from nav_pkg.world import FloorPlan

CLEARANCE = 0.6
"""Room round a start pose, metres: the collision limit of 0.5 m and a bit to turn in."""

ALONG = 2.0
"""Largest distance along the route between a varied start pose and the plan's, metres."""

LATERAL = 0.3
"""Largest distance of a start pose from the route, or from the plan's own lane, metres."""

TURN = math.radians(10)
"""Largest angle between a start pose and the route, or the plan's own heading, radians."""

ATTEMPTS = 200


def start_pose(plan: FloorPlan, seed: int, run: int, mode: str = "varied", reverse: bool = False) -> Pose:
    """The pose at which a run starts: a pure function of its arguments.

    Mode `varied` lies near the plan's start pose: drawn uniformly up to 2 m before or behind it
    along the route, 0.3 m to either side and 10 degrees turned, so that no two runs see the same
    images. Mode `exact` (or `start`) is the plan's start pose, for every run. Mode `route` is drawn
    uniformly along the route, with the route's heading, up to 0.3 m beside it and 10 degrees turned.

    A draw with less room round it than 0.6 m is drawn again. Where there is no such room, a `route`
    pose lies on the route, and a `varied` one has at least the room of the plan's start pose.

    Args:
        plan: the world.
        seed: of the series of runs.
        run: number of the run.
        mode: `varied`, `exact`, `start` or `route`.
        reverse: headed against the route's direction of travel.

    Returns:
        The pose, standing level on the floor at the plan's spawn height (0.1 m).

    Raises:
        UsageError: an unknown mode, a negative seed or run.
        DataError: no point of the route lies on the free floor.
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
    """A place near the plan's start pose: x, y, yaw."""
    start = plan.start_pose
    here = plan.route.project(start.x, start.y)
    # The plan's own lane beside the route, and its own heading, are kept through bends.
    turned = start.yaw - plan.route.pose_at(here.s).yaw
    room = min(CLEARANCE, plan.clearance(start.x, start.y))
    chance = generator(seed, "start", run)
    for attempt in range(ATTEMPTS):
        # Ever nearer, so that a start in a tight corner is varied by what its room allows.
        share = 1 - attempt / ATTEMPTS
        along, beside, turn = (share * (2 * chance.random(3) - 1)).tolist()
        point = plan.route.pose_at(here.s + ALONG * along)
        lateral = here.offset + LATERAL * beside
        x = point.x - lateral * math.sin(point.yaw)
        y = point.y + lateral * math.cos(point.yaw)
        if plan.inside(x, y) and plan.clearance(x, y) >= room:
            return x, y, point.yaw + turned + TURN * turn
    return start.x, start.y, start.yaw + TURN * turn


def _along_route(plan: FloorPlan, seed: int, run: int) -> tuple[float, float, float]:
    """A place anywhere along the route: x, y, yaw."""
    chance = generator(seed, "start", run)
    for _ in range(ATTEMPTS):
        along, beside, turn = chance.random(3)
        s = along * plan.route.length
        lateral = LATERAL * (2 * beside - 1)
        point = plan.route.pose_at(s)
        # Where the route has less room than asked for, its own middle is the best there is.
        if plan.clearance(point.x, point.y) < CLEARANCE:
            lateral = 0.0
        x = point.x - lateral * math.sin(point.yaw)
        y = point.y + lateral * math.cos(point.yaw)
        if not plan.inside(x, y) or (lateral and plan.clearance(x, y) < CLEARANCE):
            continue
        return x, y, point.yaw + TURN * (2 * turn - 1)
    raise DataError(f"plan {plan.name}: no free place along the route for a start pose")
