"""The last check before a robot: selects the command to send, and the reason if it is not the network's.

A real robot does not wait for answers. Any failure before it (camera, network, joystick, clock) must lead
to a zero command within a known time; the last command must never be repeated without end.
"""

from __future__ import annotations

import enum
import math
from array import array
from dataclasses import dataclass
from typing import Any, Dict, Mapping, NamedTuple, Optional

import numpy as np

from nav_pkg.core import Command, DataError, UsageError

CLOCK_JUMP = 1.0
"""Seconds by which the stamps of images may go backwards; a larger jump means another clock."""


class Reason(str, enum.Enum):
    """Reason for sending another command than the network's."""

    NO_JOYSTICK = "no_joystick"
    """No joystick message yet, or none for longer than the limit."""
    DEADMAN = "deadman"
    """The deadman button is not pressed, or was held while the joystick was lost and is not released yet."""
    NO_COMMAND = "no_command"
    """The network has not answered an image yet (or not since the clock was set back)."""
    STALE_COMMAND = "stale_command"
    """The network's last command is too old."""
    STALE_IMAGE = "stale_image"
    """The image of the command is too old, or not newer than the image before."""
    NOT_FINITE = "not_finite"
    """The network's command is nan or infinite."""
    LIMITED = "limited"
    """The command exceeds a speed limit; the limited command is sent, not zero."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class RobotLimits:
    """The largest absolute command on each axis, and the scale to the robot's units.

    Attributes:
        max_command: m/s forward, left, up, and rad/s.
        scale: factor applied to each axis last: 1 for a robot that takes m/s and rad/s.
    """

    max_command: Command
    scale: Command = Command(1.0, 1.0, 1.0, 1.0)

    @staticmethod
    def from_robot(name: str, description: Mapping[str, Any]) -> RobotLimits:
        """Read the limits of a robot file: `guard: {limits: {x, y, z, yaw}, scale: {x, y, z, yaw}}`.

        Args:
            name: of the robot, for errors.
            description: the file's content.

        Raises:
            DataError: a limit is missing, not a finite number or below 0; a scale is not a finite number.
        """
        guard = description.get("guard")
        guard = guard if isinstance(guard, dict) else {}
        limits, scale = guard.get("limits"), guard.get("scale", {})
        if not isinstance(limits, dict) or not isinstance(scale, dict):
            raise DataError(
                f"robot {name}: its file lacks guard: limits: with x, y, z (m/s) and yaw (rad/s), without "
                "which it is not flown; see config/robot/bebop.yaml"
            )
        values = {}
        for key, given, default in (("limits", limits, None), ("scale", scale, 1.0)):
            unknown = sorted(set(given) - set(Command._fields))
            if unknown:
                raise DataError(f"robot {name}: guard: {key}: {unknown[0]}: known are x, y, z and yaw")
            for axis in Command._fields:
                value: Any = given.get(axis, default)
                number = isinstance(value, (int, float)) and not isinstance(value, bool)
                if not number or not math.isfinite(value) or (key == "limits" and value < 0):
                    raise DataError(
                        f"robot {name}: guard: {key}: {axis} is {value!r}: give a finite number"
                        + (" of 0 or more" if key == "limits" else "")
                    )
                values[key, axis] = float(value)
        return RobotLimits(
            *(Command(*(values[key, a] for a in Command._fields)) for key in ("limits", "scale"))
        )

    def clip(self, command: Command) -> Command:
        """Limit a finite command; does not scale it."""
        return Command(
            *(
                min(max(value, -max_command), max_command)
                for value, max_command in zip(command, self.max_command)
            )
        )

    def to_robot_units(self, command: Command) -> Command:
        """Convert a command to the robot's own units."""
        return Command(*(value * scale for value, scale in zip(command, self.scale)))


class GuardedCommand(NamedTuple):
    """The command to send.

    Attributes:
        command: in the robot's own units.
        reason: why the command is not the network's; None if it is.
        reason_changed: whether the reason differs from that of the last period.
    """

    command: Command
    reason: Optional[Reason]
    reason_changed: bool


class _Answer(NamedTuple):
    """The network's last command, the stamp of its image (ROS time) and its arrival (`now`)."""

    command: Command
    stamp: float
    arrived: float


class CommandGuard:
    """Decides, once per period, which command to send to the robot.

    It uses two clocks. `now` is any steady clock and measures the time since a message; it continues when a
    simulator is paused. `clock` is ROS time, the clock of the images' stamps.

    Every limit applies one period early: a message that would be too old at the next decision is too old now.
    Zero is therefore sent within the limit after the last good message.

    Attributes:
        interventions: how often each reason began.
        outputs: total number of decisions.
        replaced_outputs: number of decisions with each reason.
        clock_resets: how often a clock was set back.

    Args:
        limits: limits of the robot.
        period: seconds between decisions.
        command_limit: seconds without a new command after which zero is sent.
        image_limit: age of the answered image, seconds, from which zero is sent; 0: not checked, for
            cameras whose stamps are from another clock.
        joystick_limit: seconds without a joystick message after which zero is sent.

    Raises:
        UsageError: a limit or the period is out of range.
    """

    def __init__(
        self,
        limits: RobotLimits,
        period: float = 0.02,
        command_limit: float = 0.2,
        image_limit: float = 0.2,
        joystick_limit: float = 0.5,
    ):
        if not (math.isfinite(period) and 0 < period <= 0.1):
            raise UsageError(f"rate {1 / period if period else period:g} Hz: must be 10 Hz or more")
        for name, value in (
            ("command_limit", command_limit),
            ("image_limit", image_limit),
            ("joystick_limit", joystick_limit),
        ):
            off = name == "image_limit" and value == 0
            if not off and not (math.isfinite(value) and value >= 2 * period):
                raise UsageError(f"{name} {value:g} s: must be at least two periods, {2 * period:g} s")
        self._limits, self._period = limits, period
        self._command_limit, self._image_limit = command_limit, image_limit
        self._joystick_limit = joystick_limit
        self._answer: Optional[_Answer] = None
        self._image_repeated = False
        self._last_ros_time = -math.inf
        self._pressed = False
        self._last_joystick = -math.inf
        self._must_release = False
        self._reason: Optional[Reason] = None
        self._first_decision = True
        self._latencies = array("d")
        self.interventions: Dict[Reason, int] = {reason: 0 for reason in Reason}
        self.replaced_outputs: Dict[Reason, int] = {reason: 0 for reason in Reason}
        self.outputs = 0
        self.clock_resets = 0

    def joystick(self, pressed: bool, now: float) -> None:
        """Process a joystick message.

        Args:
            pressed: whether the deadman button is pressed.
            now: seconds on the steady clock.
        """
        if self._joystick_lost(now):
            # A button that is already pressed when the joystick returns does not count as permission to fly.
            self._must_release = math.isfinite(self._last_joystick)
        self._last_joystick, self._pressed = now, pressed
        if not pressed:
            self._must_release = False

    def answer(self, command: Command, stamp: float, now: float, clock: float) -> None:
        """Process a command of the network.

        Args:
            command: body frame, m/s and rad/s; may be non-finite.
            stamp: ROS time of the image that the command is based on, seconds.
            now: seconds on the steady clock.
            clock: ROS time, seconds.
        """
        self._check_clock(clock)
        last = self._answer
        if last is not None and stamp < last.stamp - CLOCK_JUMP:
            self._reset()
        elif last is not None and stamp <= last.stamp:
            # A repeated image has no new information, however often the network answers it.
            self._image_repeated = True
            return
        self._image_repeated = False
        self._answer = _Answer(command, stamp, now)
        self._latencies.append(clock - stamp)

    def decide(self, now: float, clock: float) -> GuardedCommand:
        """Decide which command to send now; called once per period.

        Args:
            now: seconds on the steady clock.
            clock: ROS time, seconds.
        """
        self._check_clock(clock)
        reason = self._reason_for_zero(now, clock)
        command = Command()
        if reason is None:
            wanted = self._answer.command  # type: ignore[union-attr]
            command = self._limits.clip(wanted)
            reason = Reason.LIMITED if command != wanted else None
            command = self._limits.to_robot_units(command)
        reason_changed = self._first_decision or reason is not self._reason
        self._first_decision = False
        if reason is not None:
            self.replaced_outputs[reason] += 1
            self.interventions[reason] += reason_changed
        self.outputs += 1
        self._reason = reason
        return GuardedCommand(command, reason, reason_changed)

    def latency(self) -> Optional[Dict[str, float]]:
        """Latency from an image's stamp to the arrival of its command, seconds; None before the first.

        Returns:
            `p50`, `p99`, `max`, and `count`.
        """
        if not self._latencies:
            return None
        values = np.array(self._latencies)
        p50, p99 = np.percentile(values, [50, 99])
        return {"p50": float(p50), "p99": float(p99), "max": float(values.max()), "count": len(values)}

    def _joystick_lost(self, now: float) -> bool:
        return now - self._last_joystick + self._period > self._joystick_limit

    def _reason_for_zero(self, now: float, clock: float) -> Optional[Reason]:
        if self._joystick_lost(now):
            return Reason.NO_JOYSTICK
        if not self._pressed or self._must_release:
            return Reason.DEADMAN
        answer = self._answer
        if answer is None:
            return Reason.NO_COMMAND
        if now - answer.arrived + self._period > self._command_limit:
            return Reason.STALE_IMAGE if self._image_repeated else Reason.STALE_COMMAND
        # a stamp in the future is from another clock, and gives no age of the image either
        age = abs(clock - answer.stamp) + self._period
        if self._image_limit and age > self._image_limit:
            return Reason.STALE_IMAGE
        return None if answer.command.finite else Reason.NOT_FINITE

    def _check_clock(self, clock: float) -> None:
        """Reset when ROS time was set back (a restarted simulator or bag)."""
        if clock < self._last_ros_time:
            self._reset()
        self._last_ros_time = clock

    def _reset(self) -> None:
        self._answer, self._image_repeated = None, False
        self.clock_resets += 1
