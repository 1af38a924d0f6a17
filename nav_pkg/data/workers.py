"""A thread pool that processes the frames of runs and reports progress to its caller.

Threads are enough for hashing and copying. To decode many images, all threads but one pass their work to
a helper process each (see `helper`).
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as NotYet
from typing import Any, Callable, Deque, Iterator, Optional

from nav_pkg.data.helper import Helper, HelperLost

POLL = 0.2
"""Seconds between two ticks while waiting."""

CHUNK = 16
"""Frames that a thread takes at a time: 16 ms of work, short enough to stop quickly."""

FRAMES_PER_HELPER = 1000
"""Frames per helper that justify its start-up time (0.3 s)."""


class Workers:
    """A thread pool plus one thread that finishes files in the background; a context manager.

    Args:
        threads: number of threads; 0 for one per core available to this process.
        bar: makes a progress bar from a total and a unit, like `progress.Bar`.
        tick: called in the caller's thread with the number of frames just done, or 0; may raise.
        say: prints a line.
    """

    def __init__(
        self,
        threads: int,
        bar: Callable[[int, str], Any],
        tick: Callable[[int], None],
        say: Callable[[str], None],
    ):
        self._bar, self.tick, self.say = bar, tick, say
        self._threads = threads or len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="pack")
        self._finisher = ThreadPoolExecutor(1, thread_name_prefix="finish")
        self._last: Optional[Future] = None
        self._helpers: list[Helper] = []
        self._free: Deque[Helper] = deque()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True)
        self._finisher.shutdown(wait=True)
        for helper in self._helpers:
            helper.close()

    def start_helpers(self, frames: int) -> None:
        """Start helpers if there are enough frames; each is used as soon as it is ready."""
        wanted = min(self._threads - 1, frames // FRAMES_PER_HELPER)
        while len(self._helpers) < wanted and sys.executable:
            try:
                self._helpers.append(Helper())
            except OSError:
                return  # not enough memory or processes: continue without helpers
            self._free.append(self._helpers[-1])

    @contextlib.contextmanager
    def shown(self, frames: int, unit: str) -> Iterator[Callable[[int], None]]:
        """Show a progress bar; yield the function to call with the number of frames just done."""
        with self._bar(frames, unit) as bar:

            def done(count: int) -> None:
                bar.add(count)
                self.tick(count)

            yield done

    def each(
        self,
        frames: int,
        do: Callable[[int], Any],
        done: Callable[[int], None],
        helped: Optional[Callable[[Helper, int, int], None]] = None,
    ) -> None:
        """Call `do` with 0 to `frames` - 1 on all threads; the first error stops all of them.

        Args:
            frames: number of frames.
            do: processes one frame; any thread may call it.
            done: called in this thread with the number of frames just done.
            helped: processes frames `first` to `last` (exclusive) in a helper process.
        """

        def chunk(first: int) -> int:
            last = min(first + CHUNK, frames)
            if helped is None or not self._helped(helped, first, last):
                for i in range(first, last):
                    do(i)
            return last - first

        waiting: Deque[Future] = deque()
        try:
            for first in range(0, frames, CHUNK):
                waiting.append(self._pool.submit(chunk, first))
                if len(waiting) > 2 * self._threads:
                    done(waiting.popleft().result())
            while waiting:
                done(waiting.popleft().result())
        except BaseException:
            for future in waiting:
                future.cancel()
            wait(waiting)
            raise

    def _helped(self, helped: Callable[[Helper, int, int], None], first: int, last: int) -> bool:
        """Let a free helper process the frames; False if no helper is free or ready, or it has ended."""
        try:
            helper = self._free.popleft()
        except IndexError:
            return False
        try:
            ready = helper.ready()
            if ready:
                helped(helper, first, last)
        except HelperLost:
            return False
        except BaseException:
            self._free.append(helper)
            raise
        self._free.append(helper)
        return ready

    def finish(self, last_step: Callable[[], None]) -> None:
        """Run the last step of a file in the background, after waiting for the previous file's last step.

        The next file is made meanwhile. On a slow disk, flushing takes as long as decoding.
        """
        self.settle()
        self._last = self._finisher.submit(last_step)

    def settle(self) -> None:
        """Wait for the running last step and raise its error, if any."""
        while self._last is not None:
            try:
                self._last.result(timeout=POLL)
                self._last = None
            except NotYet:
                self.tick(0)
            except BaseException:
                self._last = None
                raise
