"""Joining messages of several topics by their exact stamp."""

from __future__ import annotations

import threading
import time
from typing import Any, Dict, Iterable

from nav_pkg.core import SimulatorError


class StampSynchronizer:
    """Collects one message per channel and stamp. Callers wait until a stamp is complete.

    Thread-safe: ROS callbacks put messages, one consumer waits. Early and late messages are kept. `forget`
    drops a stamp and all older messages, which bounds the memory by the distance that the producers are
    ahead (in lock-step: one frame).
    """

    def __init__(self) -> None:
        self._messages: Dict[int, Dict[str, Any]] = {}
        self._dropped_until = -1
        self._changed = threading.Condition()
        self._closed = ""

    def add(self, channel: str, stamp: int, message: Any) -> None:
        """Add a message of a channel, stamp in nanoseconds."""
        with self._changed:
            if stamp > self._dropped_until:
                self._messages.setdefault(stamp, {})[channel] = message
                self._changed.notify_all()

    def close(self, reason: str) -> None:
        """Make all present and later calls of `wait` fail with this reason."""
        with self._changed:
            self._closed = reason
            self._changed.notify_all()

    def wait(self, stamp: int, channels: Iterable[str], limit: float) -> Dict[str, Any]:
        """The messages of the given channels at a stamp.

        Args:
            stamp: nanoseconds.
            channels: the required channels.
            limit: maximum wall seconds to wait.

        Raises:
            SimulatorError: the time ran out (the text names the missing channels), or the join was closed.
        """
        wanted = list(channels)
        deadline = time.monotonic() + limit
        with self._changed:
            while True:
                frame = self._messages.get(stamp, {})
                missing = [channel for channel in wanted if channel not in frame]
                if not missing:
                    return {channel: frame[channel] for channel in wanted}
                if self._closed:
                    raise SimulatorError(self._closed)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise SimulatorError(
                        f"waited {limit:g} s for {', '.join(missing)} with stamp {stamp * 1e-9:.3f} s"
                    )
                self._changed.wait(min(left, 1.0))

    def wait_newer(self, stamp: int, channel: str, limit: float) -> int:
        """The newest stamp of a channel after the given stamp (free-running mode).

        Raises:
            SimulatorError: as in `wait`.
        """
        deadline = time.monotonic() + limit
        with self._changed:
            while True:
                newer = [s for s, frame in self._messages.items() if s > stamp and channel in frame]
                if newer:
                    return max(newer)
                if self._closed:
                    raise SimulatorError(self._closed)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise SimulatorError(
                        f"waited {limit:g} s for {channel} later than stamp {stamp * 1e-9:.3f} s"
                    )
                self._changed.wait(min(left, 1.0))

    def forget(self, stamp: int) -> None:
        """Drop the messages of this stamp and of all earlier ones."""
        with self._changed:
            self._dropped_until = max(self._dropped_until, stamp)
            for old in [s for s in self._messages if s <= stamp]:
                del self._messages[old]

    def __len__(self) -> int:
        """Number of stamps with stored messages."""
        with self._changed:
            return len(self._messages)
