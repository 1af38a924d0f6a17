"""Process the frames of runs in chunks: in threads, and also in processes where there are many images.

Threads are enough for hashing and copying, which release Python's global interpreter lock. Decoding holds
it in part: threads gain less with every core, processes do not. Processes need about 1 s to start; threads
decode until then. Afterwards one thread of this process continues beside them, so that there is one decoder
for each core.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Callable, Deque, Iterable, Iterator, NamedTuple, Optional

from nav_pkg.children import start_process_pool

POLL = 0.2
"""Seconds between two ticks while waiting."""

LARGEST_CHUNK = 64
"""Frames: about 0.1 s of work, short enough to stop quickly."""

SMALLEST_CHUNK = 8
"""Frames. Chunks become smaller towards the end of a run, so that all workers end at about the same time."""

IMAGES_FOR_PROCESSES = 2000
"""Number of images from which processes decode; fewer are done soon after the processes have started."""


class _Chunk(NamedTuple):
    """The frames `first` to `last` - 1 and where they are processed."""

    first: int
    last: int
    executor: Executor
    future: Future


def _chunks(frames: int, workers: int) -> Iterator[tuple[int, int]]:
    """The first frame of each chunk and the frame after its last."""
    first = 0
    while first < frames:
        size = max(SMALLEST_CHUNK, min(LARGEST_CHUNK, (frames - first) // (4 * workers)))
        yield first, min(first + size, frames)
        first += size


def _first_free_executor(slots: list[tuple[Executor, int]], running: Iterable[_Chunk]) -> Optional[Executor]:
    """The first executor that holds fewer chunks than it may."""
    for executor, size in slots:
        if sum(chunk.executor is executor and not chunk.future.done() for chunk in running) < size:
            return executor
    return None


class Workers:
    """Threads, and processes on request; a context manager.

    Args:
        count: number of threads, or of processes and one thread; 0 for the cores available to this process.
        bar: makes a progress bar from a total and a unit, like `progress.Bar`.
        tick: called in the caller's thread with the number of frames just done, or 0; may raise.
        say: prints a line.
    """

    def __init__(
        self,
        count: int,
        bar: Callable[[int, str], Any],
        tick: Callable[[int], None],
        say: Callable[[str], None],
    ):
        self._bar, self.tick, self.say = bar, tick, say
        self._count = count or len(os.sched_getaffinity(0))
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="pack")
        self._thread_beside_processes = ThreadPoolExecutor(1, thread_name_prefix="pack")
        self._commits = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._commit: Optional[Future] = None
        self._processes: Optional[Executor] = None
        self._started: Optional[Future] = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=True)
        self._thread_beside_processes.shutdown(wait=True)
        self._commits.shutdown(wait=True)
        if self._processes is not None:
            self._processes.shutdown(wait=True)

    def start_processes(self, images: int) -> None:
        """Let processes run tasks of `run`, too, if there are many images and the system permits it.

        Threads run the tasks until the processes have started, then one thread.
        """
        if self._processes is not None or self._count < 2 or images < IMAGES_FOR_PROCESSES:
            return
        with contextlib.suppress(OSError, ImportError):  # no memory or no semaphores: threads do the work
            self._processes, self._started = start_process_pool(self._count - 1)

    @contextlib.contextmanager
    def shown(self, frames: int, unit: str) -> Iterator[Callable[[int], None]]:
        """Show a progress bar; yield the function to call with the number of frames just done."""
        with self._bar(frames, unit) as bar:

            def done(count: int) -> None:
                bar.add(count)
                self.tick(count)

            yield done

    def for_each(self, frames: int, process: Callable[[int], Any], done: Callable[[int], None]) -> None:
        """Call `process` with 0 to `frames` - 1 in threads; the first error stops all of them.

        Args:
            frames: number of frames.
            process: processes one frame.
            done: called in this thread with the number of frames just done.
        """

        def chunk(first: int, last: int) -> None:
            for i in range(first, last):
                process(i)

        self._run(frames, self._thread_slots, chunk, lambda first, last, _: done(last - first))

    def run(
        self, frames: int, task: Callable[[int, int], Any], done: Callable[[int, int, Any], None]
    ) -> None:
        """Run a task on all frames in processes and threads; the first error stops all of them.

        If a process is killed, for example for lack of memory, threads run the remaining tasks.

        Args:
            frames: number of frames.
            task: called with the first frame and the frame after the last; must be picklable.
            done: called in this thread with the same two numbers and the result.

        Raises:
            Exception: that of a task or of `done`.
        """
        self._run(frames, self._slots, task, done)

    def _thread_slots(self) -> list[tuple[Executor, int]]:
        return [(self._threads, 2 * self._count)]

    def _slots(self) -> list[tuple[Executor, int]]:
        """The executors of `run`, preferred first, and the number of chunks that each may hold now."""
        if self._processes is None or not self._started.done():
            return self._thread_slots()
        return [(self._processes, 2 * (self._count - 1)), (self._thread_beside_processes, 2)]

    def _close_broken_pool(self) -> None:
        if self._processes is not None:
            self._processes.shutdown(wait=True)
            self._processes = None
            self.say("a process that packs images ended (killed, or no memory?); threads continue its work")

    def _run(
        self,
        frames: int,
        slots: Callable[[], list[tuple[Executor, int]]],
        task: Callable[[int, int], Any],
        done: Callable[[int, int, Any], None],
    ) -> None:
        chunks = deque(_chunks(frames, self._count))
        running: Deque[_Chunk] = deque()
        ticked = time.monotonic()
        try:
            while chunks or running:
                while chunks and (executor := _first_free_executor(slots(), running)) is not None:
                    first, last = chunks.popleft()
                    try:
                        running.append(_Chunk(first, last, executor, executor.submit(task, first, last)))
                    except BrokenProcessPool:
                        self._close_broken_pool()
                        chunks.appendleft((first, last))
                active = [chunk.future for chunk in running if not chunk.future.done()]
                if active and not running[0].future.done():
                    wait(active, timeout=POLL, return_when=FIRST_COMPLETED)
                    if time.monotonic() - ticked > POLL:  # also while only later chunks end
                        self.tick(0)
                        ticked = time.monotonic()
                    continue
                chunk = running.popleft()
                try:
                    result = chunk.future.result()
                except BrokenProcessPool:
                    self._close_broken_pool()
                    chunks.appendleft((chunk.first, chunk.last))
                    continue
                done(chunk.first, chunk.last, result)
                ticked = time.monotonic()
        finally:
            wait([chunk.future for chunk in running if not chunk.future.cancel()])

    def commit(self, commit: Callable[[], None]) -> None:
        """Run the last step of a file in the background, after waiting for the previous file's last step.

        The next file is made meanwhile. On a slow disk, flushing takes as long as decoding.
        """
        self.wait_for_commit()
        self._commit = self._commits.submit(commit)

    def wait_for_commit(self) -> None:
        """Wait for the running last step and raise its error, if any."""
        if self._commit is None:
            return
        while not wait([self._commit], timeout=POLL).done:
            self.tick(0)
        commit, self._commit = self._commit, None
        commit.result()
