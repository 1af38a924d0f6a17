"""Where runs start."""

from __future__ import annotations

import math

from nav_pkg.control.seeds import generator
from nav_pkg.core import DataError, Pose, UsageError, nearest_name
from nav_pkg.world import FloorPlan

MODES = ("start", "route")
CLEARANCE = 0.6
"""Room round a start pose, metres: the collision limit of 0.5 m and a bit to turn in."""

LATERAL = 0.3
"""Largest distance of a start pose from the route, metres."""

TURN = math.radians(10)
"""Largest angle between a start pose and the route, radians."""

ATTEMPTS = 200


def start_pose(plan: FloorPlan, seed: int, run: int, mode: str = "start", reverse: bool = False) -> Pose:
    """The pose at which a run starts: a pure function of its arguments.

    Mode `start` is the plan's start pose, for every run. Mode `route` is drawn uniformly along
    the route, with the route's heading, up to 0.3 m beside it and 10 degrees turned. A draw with
    less room round it than 0.6 m is drawn again; where the route itself is tighter, the pose lies
    on the route.

    Args:
        plan: the world.
        seed: of the series of runs.
        run: number of the run.
        mode: `start` or `route`.
        reverse: headed against the route's direction of travel.

    Returns:
        The pose, standing level on the floor at the plan's spawn height (0.1 m).

    Raises:
        UsageError: an unknown mode, a negative seed or run.
        DataError: no point of the route lies on the free floor.
    """
    if mode not in MODES:
        raise UsageError(f"no start mode is called {mode!r}{nearest_name(str(mode), list(MODES))}")
    about = math.pi if reverse else 0.0
    z = plan.floor + plan.spawn_height
    if mode == "start":
        start = plan.start_pose
        return Pose(start.x, start.y, z, yaw=_wrapped(start.yaw + about))
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
        return Pose(x, y, z, yaw=_wrapped(point.yaw + TURN * (2 * turn - 1) + about))
    raise DataError(f"plan {plan.name}: no free place along the route for a start pose")


def _wrapped(angle: float) -> float:
    return math.remainder(angle, 2 * math.pi)
