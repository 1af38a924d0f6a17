"""The control delay: the simulated time until the robot executes a command."""

from __future__ import annotations

import collections
import operator
from typing import Tuple

from nav_pkg.core import CONTROL_PERIOD_NS, Command, UsageError

Segment = Tuple[Command, int]
"""A command and the duration of its execution, nanoseconds."""


class CommandDelay:
    """Delays commands by a fixed time, a fraction of a control period or several periods.

    One command is pushed in every control period. The robot executes its current command until the
    pushed command takes effect. With a delay of one period (the default elsewhere) the command
    for an image is executed from the next image on.

    Args:
        delay_ns: nanoseconds of simulated time, 0 or more.
        period_ns: the control period, nanoseconds.

    Raises:
        UsageError: the delay is negative or not an integer, or the period is not a positive integer.
    """

    def __init__(self, delay_ns: int, period_ns: int = CONTROL_PERIOD_NS) -> None:
        try:
            self.delay_ns, self.period_ns = operator.index(delay_ns), operator.index(period_ns)
        except TypeError:
            raise UsageError(f"the control delay must be whole nanoseconds, not {delay_ns!r}") from None
        if self.delay_ns < 0:
            raise UsageError(f"the control delay must not be negative, not {self.delay_ns} ns")
        if self.period_ns <= 0:
            raise UsageError(f"the control period must be positive, not {self.period_ns} ns")
        self.reset()

    @property
    def seconds(self) -> float:
        """The delay in seconds."""
        return self.delay_ns / 1e9

    def reset(self, initial: Command = Command()) -> None:  # noqa: B008 (immutable)
        """Begin a run: the robot executes `initial` until the first pushed command takes effect."""
        self._current = initial
        # Pending commands, oldest first, with the time until each takes effect.
        self._pending: collections.deque[tuple[int, Command]] = collections.deque()

    def push(self, command: Command) -> list[Segment]:
        """Send a command now; return what the robot executes during the period that begins now.

        Returns:
            Segments in order, each longer than zero, together exactly one period. A command that takes
            effect at the end of the period is the first of the next one.
        """
        self._pending.append((self.delay_ns, command))
        segments: list[Segment] = []
        at = 0
        while self._pending and self._pending[0][0] < self.period_ns:
            begin, following = self._pending.popleft()
            if begin > at:
                segments.append((self._current, begin - at))
                at = begin
            self._current = following
        segments.append((self._current, self.period_ns - at))
        self._pending = collections.deque((t - self.period_ns, c) for t, c in self._pending)
        return segments
