"""Being asked to stop: SIGTERM, Ctrl-C or the wall time, heard at the next batch.

Without torch, so that a command can listen before its slow imports.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import Optional

from nav_pkg.core import EXIT_CHECKPOINTED


class Stopped(Exception):
    """Work was left because a stop was asked for; raised between batches, when all is consistent."""


class Stop:
    """Whether someone wants this process to stop; a context manager that listens to signals.

    A second Ctrl-C stops at once.

    Args:
        wall_time: seconds from now after which to stop; 0 or less never.
    """

    def __init__(self, wall_time: float = 0):
        self._start = time.monotonic()
        self._wall_time = wall_time
        self._signal: Optional[int] = None
        self._before: dict = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _hear(self, number: int, _frame: object) -> None:
        self._signal = number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @property
    def reason(self) -> str:
        """Why to stop; empty when not."""
        if self._signal is not None:
            return "Ctrl-C" if self._signal == signal.SIGINT else signal.Signals(self._signal).name
        if 0 < self._wall_time <= time.monotonic() - self._start:
            return f"--wall_time of {self._wall_time:g} s"
        return ""

    @property
    def exit_code(self) -> int:
        """The process's exit code after a stop: 85 (run again to go on), after Ctrl-C 130."""
        return 128 + signal.SIGINT if self._signal == signal.SIGINT else EXIT_CHECKPOINTED

    def check(self) -> None:
        """Raise Stopped when a stop is asked for."""
        if self.reason:
            raise Stopped(self.reason)
