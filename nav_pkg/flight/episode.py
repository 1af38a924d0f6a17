"""The episode: one run from take-off to its end, as a state machine on simulated time."""

from __future__ import annotations

import collections
import enum
import math

import numpy as np

from nav_pkg.control.height import BAND
from nav_pkg.control.tracking import RouteTracker
from nav_pkg.core import Observation, Outcome, Pose, UsageError
from nav_pkg.world import FloorPlan

TAKE_OFF_LIMIT = 30.0
"""Longest time to reach the height, seconds."""

TRAPPED_TIME = 10.0
TRAPPED_RADIUS = 0.5
"""A robot that stays within TRAPPED_WAY (metres) of a position for TRAPPED_TIME (seconds) is trapped."""


class State(str, enum.Enum):
    """State of an episode."""

    IDLE = "idle"
    """The robot climbs to the height; nothing is recorded and nothing counts."""
    RUNNING = "running"
    """The pilot flies."""
    ENDED = "ended"
    """The outcome is known and final."""

    def __str__(self) -> str:
        return self.value


def nearest_depth(depth: np.ndarray | None, rows: tuple[float, float] = (0.0, 1.0)) -> float:
    """The smallest finite depth above zero, metres; nan if there is none.

    Args:
        depth: float (height, width), metres; NaN, infinities, 0 and below are pixels without a
            return.
        rows: the part of the image that is used, as shares of its height from the top.
    """
    if depth is None or depth.size == 0:
        return math.nan
    height = depth.shape[0]
    part = depth[math.floor(rows[0] * height) : math.ceil(rows[1] * height)]
    with np.errstate(invalid="ignore"):
        least = float(np.min(part, where=part > 0, initial=np.inf))
    return least if math.isfinite(least) else math.nan


class Episode:
    """One run: idle -> running -> ended.

    Idle: the robot climbs. Running begins with the first observation at least `delay` seconds
    after the first one and at a height of at least `height` - 0.1 m. This observation is frame 0, and
    progress, time and distance count from it. The outcome is `sim_failure` if the robot does not get
    there within 30 s, tips over or reports a pose that is not finite: the pilot has not flown yet and
    is not at fault. Contacts and near obstacles do not count while idle (the robot stands on the
    floor).

    Running ends with the first of these conditions that holds, in this order:

    1. `sim_failure`: pose not finite, or stamps that do not increase (also while idle).
    2. `upside_down`: |roll| or |pitch| above 90 degrees (at exactly 90 the run continues).
    3. `collision`: a contact since the last observation, or a nearest depth below
       `min_depth` (at exactly `min_depth` the run continues).
    4. `success`: progress of at least the route's length. A lap that ends in a collision is a
       collision; a lap that is complete at the time limit is a success.
    5. `trapped`: for 10 s the robot was always less than 0.5 m from its position 10 s ago. A straight
       flight below 0.05 m/s is trapped, and so is shaking on the spot, however long the flown way.
    6. `timeout`: `max_duration` of simulated time or more since frame 0.

    The order also holds for frame 0. The observation that ends a run is not a frame of the run.

    Progress is the furthest position along the route since frame 0. It continues across the end of the
    loop and never decreases; flying back and forth, or in the wrong direction, adds nothing.

    By default the whole depth image is used: the camera looks level and sees the floor no nearer than
    2.3 m, from 1.1 m height with a vertical field of view of 50 degrees. A robot whose camera sees the
    floor or itself needs other `depth_rows`.

    Args:
        plan: the world.
        height: height to climb to, metres; None for a robot that stays on the floor: it is ready after
            `delay`.
        max_duration: of the run, seconds of simulated time.
        min_depth: nearest depth that is not yet a collision, metres; 0 to count contacts only.
        delay: shortest time in idle, seconds.
        reverse: whether progress counts against the route's direction of travel.
        depth_rows: the part of the depth image that is used, shares of its height from the top.
        take_off_limit: longest time in idle, seconds.

    Attributes:
        state: State.
        outcome: core.Outcome once ended, else None.
        reason: one sentence about the outcome, else "".
        index: of the current frame, -1 before frame 0.
        start: stamp of frame 0, nanoseconds, or None.
        stamp: of the last observation, nanoseconds, or None.
        progress: metres, see above.
        distance: length of the path flown since frame 0, metres (in space).
        nearest: nearest obstacle in the last depth image, metres, or nan.
        nearest_overall: the smallest `nearest` since frame 0, metres, or nan.

    Raises:
        UsageError: a limit is invalid.
    """

    def __init__(
        self,
        plan: FloorPlan,
        height: float | None = 1.0,
        max_duration: float = 260.0,
        min_depth: float = 0.5,
        delay: float = 3.0,
        reverse: bool = False,
        depth_rows: tuple[float, float] = (0.0, 1.0),
        take_off_limit: float = TAKE_OFF_LIMIT,
    ) -> None:
        for name, value, least in (
            ("height", 1.0 if height is None else height, 1e-9),
            ("max_duration", max_duration, 1e-9),
            ("min_depth", min_depth, 0.0),
            ("delay", delay, 0.0),
            ("take-off limit", take_off_limit, delay),
        ):
            if not (math.isfinite(value) and value >= least):
                raise UsageError(f"the episode's {name} cannot be {value}")
        if height is not None and height >= plan.ceiling - plan.floor:
            raise UsageError(
                f"the height of {height:g} m is not below the ceiling of {plan.name} "
                f"({plan.ceiling - plan.floor:g} m)"
            )
        if not 0 <= depth_rows[0] < depth_rows[1] <= 1:
            raise UsageError(f"depth rows are two growing shares between 0 and 1, not {depth_rows}")
        self.plan = plan
        self.height = height
        self.max_duration = max_duration
        self.min_depth = min_depth
        self.delay = delay
        self.reverse = reverse
        self.depth_rows = depth_rows
        self.take_off_limit = take_off_limit
        self._tracker = RouteTracker(plan.route, reverse)
        self._clear()

    def _clear(self) -> None:
        self.state = State.IDLE
        self.outcome: Outcome | None = None
        self.reason = ""
        self.index = -1
        self.start: int | None = None
        self.stamp: int | None = None
        self.progress = 0.0
        self.distance = 0.0
        self.nearest = math.nan
        self.nearest_overall = math.nan
        self._idle_since: int | None = None
        self._last: Pose | None = None
        # Stamps and positions of the last TRAPPED_TIME, oldest first.
        self._trail: collections.deque[tuple[int, np.ndarray]] = collections.deque()

    @property
    def duration(self) -> float:
        """Seconds of simulated time from frame 0 to the last observation; 0 while idle."""
        return 0.0 if self.start is None or self.stamp is None else (self.stamp - self.start) / 1e9

    @property
    def deviation(self) -> float:
        """Distance from the route, metres."""
        return abs(self._tracker.offset)

    @property
    def laps(self) -> float:
        """Progress in laps."""
        return self.progress / self.plan.route.length

    def reset(self, observation: Observation) -> None:
        """Begin in idle; the time in idle counts from this observation. `update` may process it again."""
        self._clear()
        self._idle_since = observation.stamp

    def update(self, observation: Observation) -> State:
        """Process the next observation. Once ended, nothing changes until `reset`."""
        if self.state is State.ENDED:
            return self.state
        stamp, pose = observation.stamp, observation.pose
        if self._idle_since is None:
            self.reset(observation)
        assert self._idle_since is not None  # set by reset
        before = self._idle_since if self.stamp is None else self.stamp + 1
        if stamp < before:
            return self._end(Outcome.SIM_FAILURE, f"the stamp {stamp} ns does not follow {self.stamp} ns")
        self.stamp = stamp
        if not all(math.isfinite(value) for value in pose):
            return self._end(Outcome.SIM_FAILURE, f"the pose is not finite: {tuple(pose)}")
        self.nearest = nearest_depth(observation.depth, self.depth_rows)
        if self.state is State.IDLE:
            return self._update_idle(observation)
        return self._update_running(observation)

    def abort(self, reason: str, outcome: Outcome = Outcome.ABORTED) -> None:
        """End the episode from outside: by the operator or a node, or as SIM_FAILURE; ignored once ended."""
        if self.state is not State.ENDED:
            self._end(outcome, reason)

    def _update_idle(self, observation: Observation) -> State:
        pose = observation.pose
        assert self._idle_since is not None  # idle since some observation
        waited = (observation.stamp - self._idle_since) / 1e9
        if _is_tipped(pose):
            return self._end(
                Outcome.SIM_FAILURE, f"tipped over after {waited:.1f} s of take-off{_tilt_text(pose)}"
            )
        at_height = self.height is None or pose.z - self.plan.floor >= self.height - BAND
        if at_height and waited >= self.delay:
            self.state = State.RUNNING
            self.start = observation.stamp
            self._tracker.reset(pose.x, pose.y)
            return self._update_running(observation)
        if waited >= self.take_off_limit:
            return self._end(
                Outcome.SIM_FAILURE,
                f"at {pose.z:.2f} m after {waited:.1f} s of take-off instead of {self.height} m",
            )
        return self.state

    def _update_running(self, observation: Observation) -> State:
        pose = observation.pose
        if self._last is not None:
            self.distance += math.dist(self._last[:3], pose[:3])
        self._last = pose
        self.progress = max(self.progress, self._tracker.update(pose.x, pose.y))
        self.nearest_overall = float(np.fmin(self.nearest_overall, self.nearest))
        trapped = self._is_trapped(observation)
        length = self.plan.route.length
        place = f"after {self.duration:.1f} s and {self.progress:.1f} m of the route"
        if _is_tipped(pose):
            return self._end(Outcome.UPSIDE_DOWN, f"tipped over {place}{_tilt_text(pose)}")
        if observation.contact:
            return self._end(Outcome.COLLISION, f"touched something {place}, at {_position_text(pose)}")
        if self.nearest < self.min_depth:
            return self._end(
                Outcome.COLLISION,
                f"an obstacle at {self.nearest:.3f} m (limit {self.min_depth:g} m) {place}, "
                f"at {_position_text(pose)}",
            )
        if self.progress >= length:
            return self._end(Outcome.SUCCESS, f"a whole lap of {length:.1f} m in {self.duration:.1f} s")
        if trapped:
            return self._end(
                Outcome.TRAPPED,
                f"less than {TRAPPED_RADIUS:g} m of way in {TRAPPED_TIME:g} s {place}, "
                f"at {_position_text(pose)}",
            )
        if self.duration >= self.max_duration:
            return self._end(
                Outcome.TIMEOUT,
                f"{self.progress:.1f} of {length:.1f} m of the route in {self.duration:.1f} s",
            )
        self.index += 1
        return self.state

    def _is_trapped(self, observation: Observation) -> bool:
        """Whether the robot stayed near its position of TRAPPED_TIME ago."""
        here = np.array(observation.pose[:3])
        window_start = observation.stamp - round(TRAPPED_TIME * 1e9)
        self._trail.append((observation.stamp, here))
        # The newest position that is at least TRAPPED_TIME old stays at the front.
        while len(self._trail) > 1 and self._trail[1][0] <= window_start:
            self._trail.popleft()
        then, place = self._trail[0]
        if then > window_start or math.dist(here, place) >= TRAPPED_RADIUS:
            return False
        return all(math.dist(position, place) < TRAPPED_RADIUS for _, position in self._trail)

    def _end(self, outcome: Outcome, reason: str) -> State:
        self.state = State.ENDED
        self.outcome = outcome
        self.reason = reason
        return self.state


def _is_tipped(pose: Pose) -> bool:
    return abs(pose.roll) > math.pi / 2 or abs(pose.pitch) > math.pi / 2


def _tilt_text(pose: Pose) -> str:
    return f" (roll {math.degrees(pose.roll):.0f}, pitch {math.degrees(pose.pitch):.0f} degrees)"


def _position_text(pose: Pose) -> str:
    return f"({pose.x:.2f}, {pose.y:.2f}, {pose.z:.2f})"
