"""The basic types of all packages: poses, commands, observations, frames, outcomes, errors.

Plain types without ROS. Frames and units follow REP 103: metres, radians, seconds; x forward,
y left, z up; the world frame is the Gazebo world. Simulated time is an integer number of
nanoseconds, so that stamps compare exactly.
"""

from __future__ import annotations

import enum
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping, NamedTuple, Optional

import numpy as np


def _root() -> Path:
    around = Path(__file__).resolve().parents[1]
    if around.name not in ("dist-packages", "site-packages"):
        return around
    for folder in (above / "share" / "nav_pkg" for above in around.parents):
        if (folder / "package.xml").is_file():
            return folder
    return Path(os.path.expanduser(os.environ.get("NAV_PKG_SHARE") or "~/.local/share/nav_pkg"))


ROOT = _root()
"""Folder of the worlds, models, robots, launch files and set-up: the checkout, or `share/nav_pkg` of a catkin
install space. If pip installed only the library, it is a folder of the user, where worlds are generated."""

CONTROL_PERIOD_NS = 100_000_000
"""One control period (10 Hz), the rate of the camera and of every command."""


class Outcome(str, enum.Enum):
    """How a run ended."""

    SUCCESS = "success"
    """A whole lap, measured as progress along the route."""
    COLLISION = "collision"
    """A contact, or an obstacle nearer than the limit in the depth image."""
    TIMEOUT = "timeout"
    """`max_duration` passed without a whole lap."""
    TRAPPED = "trapped"
    """Less than 0.5 m of progress in 10 s."""
    UPSIDE_DOWN = "upside_down"
    """The robot tipped over."""
    ABORTED = "aborted"
    """The operator or a node stopped the run."""
    SIM_FAILURE = "sim_failure"
    """The simulator failed. The run is repeated with the same seed and never counts against the pilot."""

    def __str__(self) -> str:
        return self.value

    @property
    def counts(self) -> bool:
        """Whether the run counts as a result of the pilot."""
        return self not in (Outcome.ABORTED, Outcome.SIM_FAILURE)


class Actor(str, enum.Enum):
    """Whose command was applied in a frame."""

    EXPERT = "expert"
    LEARNER = "learner"
    NONE = "none"
    """No actor: the command was stale or not finite, and zero replaced it."""

    def __str__(self) -> str:
        return self.value


class Pose(NamedTuple):
    """A pose in the world frame: position in metres, fixed-axis roll, pitch, yaw in radians."""

    x: float
    y: float
    z: float
    roll: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0

    def quaternion(self) -> tuple[float, float, float, float]:
        """The unit quaternion (x, y, z, w) of the orientation Rz(yaw) Ry(pitch) Rx(roll)."""
        cr, sr = math.cos(self.roll / 2), math.sin(self.roll / 2)
        cp, sp = math.cos(self.pitch / 2), math.sin(self.pitch / 2)
        cy, sy = math.cos(self.yaw / 2), math.sin(self.yaw / 2)
        return (
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
            cr * cp * cy + sr * sp * sy,
        )

    @staticmethod
    def from_quaternion(
        position: tuple[float, float, float], quaternion: tuple[float, float, float, float]
    ) -> Pose:
        """The pose of a position and a unit quaternion (x, y, z, w)."""
        qx, qy, qz, qw = quaternion
        roll = math.atan2(2 * (qw * qx + qy * qz), 1 - 2 * (qx * qx + qy * qy))
        pitch = math.asin(max(-1.0, min(1.0, 2 * (qw * qy - qz * qx))))
        yaw = math.atan2(2 * (qw * qz + qx * qy), 1 - 2 * (qy * qy + qz * qz))
        return Pose(*position, roll, pitch, yaw)


class Command(NamedTuple):
    """A velocity command in the body frame: m/s forward, left, up, and rad/s counter-clockwise."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    yaw: float = 0.0

    @property
    def finite(self) -> bool:
        """Whether all four numbers are finite."""
        return all(math.isfinite(value) for value in self)


class Velocity(NamedTuple):
    """The robot's own velocity in its body frame: m/s forward, left, up, and yaw rate in rad/s."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    yaw: float = 0.0


@dataclass(frozen=True)
class Observation:
    """The sensor data of one stamp. A sensor that the robot lacks is None.

    Attributes:
        stamp: simulated time, nanoseconds.
        rgb: camera image, uint8 (height, width, 3), channels red, green, blue.
        depth: depth image, float32 (height, width), metres; not finite where there is no return.
        scan: lidar ranges, float32 (rays,), metres, counter-clockwise. Ray 0 points backwards (-pi), the
            middle ray forwards. Not finite where there is no return.
        pose: ground truth, world frame.
        velocity: ground truth, body frame.
        contact: whether the robot touched anything since the last observation.
        sides: images of the side cameras by name (`left`, `right`), as `rgb`.
    """

    stamp: int
    pose: Pose
    velocity: Velocity
    rgb: Optional[np.ndarray] = None
    depth: Optional[np.ndarray] = None
    scan: Optional[np.ndarray] = None
    contact: bool = False
    sides: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Frame:
    """One row of a recorded run: the state at a stamp and the command that answers it.

    `applied` is the command selected for this frame (after mixing, noise and limits). It reaches the robot
    `control_delay` later, but is always stored with the image that it answers.

    Attributes:
        index: consecutive, from 0.
        stamp: nanoseconds of simulated time since the run's first frame.
        expert: the expert's command.
        learner: the learner's command; None when no learner flies.
        applied: the command selected for the robot.
        actor: who gave the applied command.
        pose: ground truth, world frame.
        velocity: ground truth, body frame.
        nearest: nearest obstacle, metres (nan when the robot has no depth camera).
        progress: metres along the route since the run's first frame.
    """

    index: int
    stamp: int
    expert: Command
    learner: Optional[Command]
    applied: Command
    actor: Actor
    pose: Pose
    velocity: Velocity
    nearest: float
    progress: float


class NavError(Exception):
    """An error that the user can fix; its text is one line with the remedy.

    Commands print this line and exit with the class's exit code, without a traceback.
    """

    code = 1


class UsageError(NavError):
    """Wrong use: an invalid flag, name or combination. Do not retry."""

    code = 2


class DataError(NavError):
    """Bad or missing data on disk."""

    code = 3


class SimulatorError(NavError):
    """The simulator or the ROS graph failed. The same command may succeed when repeated."""

    code = 4


class LearnerError(NavError):
    """The learner failed."""

    code = 5


EXIT_RETRY_ELSEWHERE = 75
EXIT_CHECKPOINTED = 85
EXIT_LAST = 100
"""Added to the exit code of a cluster job's last try."""


def nearest_name(name: str, known: list[str]) -> str:
    """A hint for an unknown name: `; did you mean 'x'?`, or the list of all known names."""
    import difflib

    lowered = {each.lower(): each for each in known}  # ignore case
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    if close:
        return f"; did you mean {lowered[close[0]]!r}?"
    return f"; known: {', '.join(sorted(known))}" if known else ""


MISSING_WEIGHTS = "is missing: put torchvision's"
"""Part of the error text of a training whose ImageNet weights are not on this machine."""
