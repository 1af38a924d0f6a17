"""Process the frames of runs in chunks: in threads, or in processes where there are many images.

Threads are enough for hashing and copying, which release Python's global interpreter lock. Decoding holds
it in part: threads gain less with every core, processes do not. Processes need about 1 s to start; threads
decode until then. On two cores processes are not faster (4,813 images, AMD EPYC, medians of five runs: 939
images/s in threads, 893 in processes). They are therefore used from three cores on, which was not measured.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Callable, Deque, Iterator, Optional

from nav_pkg.children import start_process_pool

POLL = 0.2
"""Seconds between two ticks while waiting."""

CHUNK = 16
"""Frames of a chunk: 16 ms of work, short enough to stop quickly."""

IMAGES_FOR_PROCESSES = 2000
"""Number of images from which processes decode; fewer are done soon after the processes have started."""

CORES_FOR_PROCESSES = 3
"""Number of workers from which processes decode."""


class Workers:
    """Threads, and processes on request; a context manager.

    Args:
        count: number of threads, and of processes; 0 for one per core available to this process.
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
        self._commits = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._commit: Optional[Future] = None
        self._processes: Optional[Executor] = None
        self._started: Optional[Future] = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=True)
        self._commits.shutdown(wait=True)
        if self._processes is not None:
            self._processes.shutdown(wait=True)

    def start_processes(self, images: int) -> None:
        """Let processes run the tasks of `run` if images and workers are many and the system permits it.

        Threads run the tasks until the processes have started.
        """
        enough = self._count >= CORES_FOR_PROCESSES and images >= IMAGES_FOR_PROCESSES
        if self._processes is not None or not enough:
            return
        with contextlib.suppress(OSError, ImportError):  # no memory or no semaphores: threads do the work
            self._processes, self._started = start_process_pool(self._count)

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

        self._run(frames, self._threads.submit, chunk, lambda first, last, _: done(last - first))

    def run(
        self, frames: int, task: Callable[[int, int], Any], done: Callable[[int, int, Any], None]
    ) -> None:
        """Run a task on all frames in processes, else in threads; the first error stops all of them.

        If a process is killed, for example for lack of memory, threads run the remaining tasks.

        Args:
            frames: number of frames.
            task: called with the first frame and the frame after the last; must be picklable.
            done: called in this thread with the same two numbers and the result.

        Raises:
            Exception: that of a task or of `done`.
        """
        self._run(frames, self._submit, task, done)

    def _submit(self, task: Callable[[int, int], Any], first: int, last: int) -> Future:
        if self._processes is not None and self._started.done():
            try:
                return self._processes.submit(task, first, last)
            except BrokenProcessPool:
                self._leave_processes()
        return self._threads.submit(task, first, last)

    def _leave_processes(self) -> None:
        if self._processes is not None:
            self._processes.shutdown(wait=True)
            self._processes = None
            self.say("a process that packs images ended (killed, or no memory?); threads continue its work")

    def _run(
        self,
        frames: int,
        submit: Callable[..., Future],
        task: Callable[[int, int], Any],
        done: Callable[[int, int, Any], None],
    ) -> None:
        chunks = deque((first, min(first + CHUNK, frames)) for first in range(0, frames, CHUNK))
        running: Deque[tuple[int, int, Future]] = deque()
        try:
            while chunks or running:
                while chunks and len(running) <= 2 * self._count:
                    first, last = chunks.popleft()
                    running.append((first, last, submit(task, first, last)))
                first, last, future = running[0]
                if not wait([future], timeout=POLL).done:
                    self.tick(0)
                    continue
                running.popleft()
                try:
                    result = future.result()
                except BrokenProcessPool:
                    self._leave_processes()
                    chunks.appendleft((first, last))
                    continue
                done(first, last, result)
        finally:
            wait([future for _, _, future in running if not future.cancel()])

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
