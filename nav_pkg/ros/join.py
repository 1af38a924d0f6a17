"""Joining messages of several topics by their exact stamp."""

from __future__ import annotations

import threading
import time
from typing import Any, Dict, Iterable

from nav_pkg.core import SimulatorError


class StampJoin:
    """Collects one message a channel and stamp; callers wait for a stamp to be complete.

    Thread-safe: ROS callbacks put, one consumer waits. Nothing is dropped for being early or late;
    what is older than a stamp that was taken is forgotten, so that memory stays bounded by how far
    the producers run ahead (in lock-step: one frame).

    Args:
        limit: stamps held at most; the oldest goes. For whoever may have nobody to wait for; 0: no limit.
    """

    def __init__(self, limit: int = 0):
        self._limit = limit
        self._frames: Dict[int, Dict[str, Any]] = {}
        self._newest: Dict[str, int] = {}
        self._taken = -1
        self._changed = threading.Condition()
        self._closed = ""

    def put(self, channel: str, stamp: int, message: Any) -> None:
        """Add a message of a channel, stamp in nanoseconds."""
        with self._changed:
            self._newest[channel] = max(stamp, self.newest(channel))
            if stamp > self._taken:
                self._frames.setdefault(stamp, {})[channel] = message
                if self._limit and len(self._frames) > self._limit:
                    del self._frames[min(self._frames)]
                self._changed.notify_all()

    def newest(self, channel: str) -> int:
        """The latest stamp that a channel has given; -1 before the first."""
        return self._newest.get(channel, -1)

    def close(self, reason: str) -> None:
        """Make every present and later wait fail with this reason."""
        with self._changed:
            self._closed = reason
            self._changed.notify_all()

    def wait(
        self, stamp: int, channels: Iterable[str], limit: float, in_order: bool = False
    ) -> Dict[str, Any]:
        """The messages of the given channels at a stamp.

        Args:
            stamp: nanoseconds.
            channels: the channels that must be there.
            limit: wall seconds to wait at most.
            in_order: channels give their stamps in order and may leave some out: one that has given a
                later stamp is not waited for.

        Raises:
            SimulatorError: time ran out, a stamp was left out, or the join was closed; names the missing
                channels.
        """
        wanted = list(channels)
        deadline = time.monotonic() + limit
        with self._changed:
            while True:
                frame = self._frames.get(stamp, {})
                missing = [channel for channel in wanted if channel not in frame]
                if not missing:
                    return {channel: frame[channel] for channel in wanted}
                lost = [channel for channel in missing if self.newest(channel) > stamp]
                if in_order and lost:
                    raise SimulatorError(f"{', '.join(lost)} left out stamp {stamp * 1e-9:.3f} s")
                if self._closed:
                    raise SimulatorError(self._closed)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise SimulatorError(
                        f"waited {limit:g} s for {', '.join(missing)} with stamp {stamp * 1e-9:.3f} s"
                    )
                self._changed.wait(min(left, 1.0))

    def wait_newer(self, stamp: int, channel: str, limit: float) -> int:
        """The newest stamp of a channel that is later than the given one (free-running mode).

        Raises:
            SimulatorError: as in `wait`.
        """
        deadline = time.monotonic() + limit
        with self._changed:
            while True:
                newer = [s for s, frame in self._frames.items() if s > stamp and channel in frame]
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
        """Forget this stamp and everything before it."""
        with self._changed:
            self._taken = max(self._taken, stamp)
            for old in [s for s in self._frames if s <= stamp]:
                del self._frames[old]

    def begin_anew(self) -> None:
        """Forget everything, and that anything was taken: time was set back."""
        with self._changed:
            self._frames.clear()
            self._newest.clear()
            self._taken = -1

    def __len__(self) -> int:
        """Number of stamps held."""
        with self._changed:
            return len(self._frames)
