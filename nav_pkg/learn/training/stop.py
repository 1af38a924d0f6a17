"""Stop requests: SIGTERM, Ctrl-C or the wall time, checked at the next batch.

This module does not import torch: a command can handle signals before its slow imports.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import Optional

from nav_pkg.core import EXIT_CHECKPOINTED


class Stopped(Exception):
    """Work ended early because of a stop request; raised between batches, in a consistent state."""


class Stop:
    """Whether this process should stop; a context manager that handles signals.

    A second Ctrl-C stops immediately.

    Args:
        wall_time: seconds from now after which to stop; 0 or less for no limit.
    """

    def __init__(self, wall_time: float = 0):
        self._start = time.monotonic()
        self._wall_time = wall_time
        self._signal: Optional[int] = None
        self._before: dict = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _on_signal(self, number: int, _frame: object) -> None:
        self._signal = number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @property
    def reason(self) -> str:
        """The reason to stop; empty without one."""
        if self._signal is not None:
            return "Ctrl-C" if self._signal == signal.SIGINT else signal.Signals(self._signal).name
        if 0 < self._wall_time <= time.monotonic() - self._start:
            return f"--wall_time of {self._wall_time:g} s"
        return ""

    @property
    def exit_code(self) -> int:
        """Exit code of the process after a stop: 130 after Ctrl-C, else 85 (run again to resume)."""
        return 128 + signal.SIGINT if self._signal == signal.SIGINT else EXIT_CHECKPOINTED

    def check(self) -> None:
        """Raise Stopped if a stop is requested."""
        if self.reason:
            raise Stopped(self.reason)
