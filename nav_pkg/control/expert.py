"""The expert: follows waypoints, avoids walls and keeps a height.

This is the behaviour arbitration expert of Kelchtermans & Tuytelaars (2018-2019): two behaviours vote
for left (+1), straight on (0) or right (-1), and the turn is their weighted sum. A continuous
variant follows the route by pursuit instead: its labels lack the limit cycle of bang-bang control around
its dead band.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from nav_pkg.control.height import FloorKeeper, HeightKeeper
from nav_pkg.control.tracking import RouteTracker
from nav_pkg.core import Command, DataError, Pose, UsageError
from nav_pkg.world import FloorPlan

SCAN_HALF_WIDTH = math.radians(50)
"""Part of the lidar scan used, to either side, radians."""

FRONT_HALF_WIDTH = math.radians(20)
"""Half width of the centre sector, radians."""

MAX_RANGE = 5.0
"""Ranges are clipped at this distance, metres; rays without a return count as this far."""

DEAD_BAND = math.radians(5)
"""Largest bearing error that needs no turn, radians."""

TURNING_YAW_RATE = 0.3
"""Yaw rate above which the turn speed is flown, rad/s."""

LOOK_AHEAD = 1.2
"""Distance along the route to the point that the continuous expert pursues, metres."""

PURSUIT_GAIN = 1.5
"""Turn per bearing error of the continuous expert, (rad/s)/rad."""

AVOIDANCE_DISTANCE = 2.0
"""Clearance ahead at which the continuous expert starts to avoid, metres."""

_TINY = 1e-9
"""Tolerance for rounding at an edge, radians or metres."""


class Sectors(NamedTuple):
    """The nearest obstacle in each lidar sector, metres in [0, CLIP]."""

    left: float
    centre: float
    right: float


def sectors(scan: np.ndarray) -> Sectors:
    """The nearest obstacle to the left (20 to 50 degrees), ahead (within 20) and to the right.

    A ray on the border of two sectors belongs to the centre sector. Ranges are clipped at 5 m;
    ranges of 0 and below, NaN and inf count as 5 m (no return); -inf counts as 0 m
    (nearer than the lidar can measure, REP 117).

    Args:
        scan: float (rays,), metres; ray 0 points backwards, the middle ray forwards,
            counter-clockwise.

    Raises:
        DataError: the scan is not one row of rays, or has too few rays to fill the sectors.
    """
    ranges = np.asarray(scan, dtype=np.float64)
    if ranges.ndim != 1 or len(ranges) < 2:
        raise DataError(f"a lidar scan is one row of ranges, not an array of {ranges.shape}")
    middle = len(ranges) // 2
    angles = (np.arange(len(ranges)) - middle) * (math.pi / middle)
    too_near = np.isneginf(ranges)
    with np.errstate(invalid="ignore"):
        valid = np.isfinite(ranges) & (ranges > 0)
    ranges = np.where(valid, np.minimum(np.where(valid, ranges, MAX_RANGE), MAX_RANGE), MAX_RANGE)
    ranges[too_near] = 0.0
    angles_from_front = np.abs(angles)
    side = (angles_from_front > FRONT_HALF_WIDTH + _TINY) & (angles_from_front <= SCAN_HALF_WIDTH + _TINY)
    left, right = ranges[side & (angles > 0)], ranges[side & (angles < 0)]
    if not (len(left) and len(right)):
        raise DataError(f"a lidar scan of {len(ranges)} rays is too coarse; the expert needs 12 or more")
    return Sectors(
        float(left.min()),
        float(ranges[angles_from_front <= FRONT_HALF_WIDTH + _TINY].min()),
        float(right.min()),
    )


def avoidance(nearest: Sectors) -> int:
    """The vote of avoidance: 0 if no side is freer than ahead, else towards the freest sector.

    Left (+1) if left and right are equally free and freer than ahead.
    """
    if nearest.centre >= max(nearest.left, nearest.right):
        return 0
    return 1 if nearest.left >= nearest.right else -1


def graded_avoidance(nearest: Sectors) -> float:
    """The vote of avoidance without jumps, in [-1, 1].

    It grows with the difference between the freest side and ahead (fully at 1 m), and with the nearness of
    the obstacle ahead (from nothing at 2 m to fully at 0 m).
    """
    vote = avoidance(nearest)
    freer = max(nearest.left, nearest.right) - nearest.centre
    return (
        vote
        * min(1.0, max(0.0, freer))
        * min(1.0, max(0.0, (AVOIDANCE_DISTANCE - nearest.centre) / AVOIDANCE_DISTANCE))
    )


def bearing_error(pose: Pose, x: float, y: float) -> float:
    """The shortest rotation from the robot's heading to a point, radians in [-pi, pi]."""
    return math.remainder(math.atan2(y - pose.y, x - pose.x) - pose.yaw, 2 * math.pi)


class Expert:
    """Flies a world's route without end, one command per frame.

    Waypoints: the robot flies to a target waypoint until it is within the plan's reached distance of
    it. In that frame the vote is 0, and the next waypoint becomes the target. The list is cyclic. The
    vote is 0 within the dead band of 5 degrees, including its edges; otherwise it is the sign of the
    shortest rotation (left, if the target lies exactly behind).

    Missed waypoints: if the robot's projection onto the route is further past the target than the
    reached distance, the next waypoint becomes the target, in the same frame. The original lacks this
    rule. Without it, a robot that passes a waypoint at 0.6 m turns back and may circle around it
    forever, because its turning circle (speed over turn, 0.8 m) is larger than the reached distance. The
    rule has no effect while waypoints are reached.

    Args:
        plan: the world.
        speed: forward speed, m/s.
        turn_speed: forward speed while turning at more than 0.3 rad/s, m/s; 0 turns on the spot.
        height: height to keep, metres; None for a robot that stays on the floor.
        continuous: pursue a point on the route ahead, turn in proportion to its bearing, and keep
            the height smoothly; waypoints and the dead band are not used.
        goto_weight: share of waypoint following in the turn, in [0, 1]; None for the plan's.
        reverse: fly the loop in the opposite direction.

    Attributes:
        target: index of the target waypoint.

    Raises:
        UsageError: a speed or height is not a positive number, or a weight is outside [0, 1].
    """

    def __init__(
        self,
        plan: FloorPlan,
        speed: float = 0.8,
        turn_speed: float = 0.8,
        height: float | None = 1.0,
        continuous: bool = False,
        goto_weight: float | None = None,
        reverse: bool = False,
    ) -> None:
        if not (math.isfinite(speed) and speed > 0):
            raise UsageError(f"the expert's speed must be a positive number, not {speed}")
        if not (math.isfinite(turn_speed) and turn_speed >= 0):
            raise UsageError(f"the expert's turn speed must be a number >= 0, not {turn_speed}")
        weight = plan.goto_weight if goto_weight is None else goto_weight
        if not 0 <= weight <= 1:
            raise UsageError(f"goto_weight is a share between 0 and 1, not {weight}")
        self.plan = plan
        self.speed = speed
        self.turn_speed = turn_speed
        self.continuous = continuous
        self.goto_weight = weight
        self.reverse = reverse
        self.height_keeper = FloorKeeper() if height is None else HeightKeeper(height, smooth=continuous)
        self.target = 0
        self._tracker = RouteTracker(plan.route, reverse)
        self._arcs = [plan.route.arc_of_waypoint(i) for i in range(len(plan.waypoints))]
        self._target_at = 0.0
        self._ready = False

    @property
    def kind(self) -> str:
        """`bang_bang` or `continuous`."""
        return "continuous" if self.continuous else "bang_bang"

    def reset(self, pose: Pose) -> None:
        """Start at a pose; the target is the next waypoint along the route in the direction of travel.

        Raises:
            DataError: the position is not finite.
        """
        if not (math.isfinite(pose.x) and math.isfinite(pose.y)):
            raise DataError(f"the expert cannot begin at ({pose.x}, {pose.y}): not a position")
        self._tracker.reset(pose.x, pose.y)
        ways = [self._tracker.ahead(arc) for arc in self._arcs]
        # A waypoint at this position counts as passed; the one after it is next.
        ways = [way if way > _TINY else self.plan.route.length for way in ways]
        self.target = int(np.argmin(ways))
        self._target_at = ways[self.target]
        self._ready = True

    def command(self, scan: np.ndarray | None, pose: Pose) -> Command:
        """The command of a frame. The first call resets the expert to its pose.

        Args:
            scan: lidar ranges as in `core.Observation`; None: no avoidance.
            pose: ground truth, world frame.

        Returns:
            Command: x speed, y 0, z from the height keeper, yaw in [-1, 1]. All parts are nan if the
            pose is not finite; mixing replaces such a command by zero and counts it.

        Raises:
            DataError: the scan is not one row of ranges.
        """
        if not all(math.isfinite(value) for value in pose):
            return Command(math.nan, math.nan, math.nan, math.nan)
        if not self._ready:
            self.reset(pose)
        self._tracker.update(pose.x, pose.y)
        depths = None if scan is None else sectors(scan)
        if self.continuous:
            goto = self._pursue(pose)
            avoid = 0.0 if depths is None else graded_avoidance(depths)
        else:
            goto = float(self._follow(pose))
            avoid = 0.0 if depths is None else float(avoidance(depths))
        # Rounded: 0.9 * 1 - 0.1 * 1 must give the label 0.8, not 0.8000000000000002.
        yaw = round(self.goto_weight * goto + (1 - self.goto_weight) * avoid, 12) + 0.0
        forward = self.turn_speed if abs(yaw) > TURNING_YAW_RATE else self.speed
        return Command(forward, 0.0, self.height_keeper.command(pose.z), yaw)

    def _follow(self, pose: Pose) -> int:
        """The vote of waypoint following; may advance the target."""
        reach = self.plan.reached_distance
        for _ in self._arcs:
            if self._tracker.travelled - self._target_at <= reach:
                break
            self._advance()
        x, y = self.plan.waypoints[self.target]
        if math.hypot(x - pose.x, y - pose.y) <= reach + _TINY:
            self._advance()
            return 0
        error = bearing_error(pose, x, y)
        if abs(error) <= DEAD_BAND + _TINY:
            return 0
        # remainder() gives -pi or pi for a target exactly behind; both turn left.
        return -1 if -math.pi + _TINY < error < 0 else 1

    def _advance(self) -> None:
        """Make the next waypoint the target."""
        last = self._arcs[self.target]
        self.target = (self.target + (-1 if self.reverse else 1)) % len(self._arcs)
        way = self._arcs[self.target] - last
        self._target_at += (-way if self.reverse else way) % self.plan.route.length

    def _pursue(self, pose: Pose) -> float:
        """The turn towards the point on the route ahead, in [-1, 1]."""
        ahead = -LOOK_AHEAD if self.reverse else LOOK_AHEAD
        point = self.plan.route.pose_at(self._tracker.s + ahead)
        return max(-1.0, min(1.0, PURSUIT_GAIN * bearing_error(pose, point.x, point.y)))
