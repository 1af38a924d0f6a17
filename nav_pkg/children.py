"""Child processes and process pools that end with their parent, and detection of a suspended process."""

from __future__ import annotations

import collections
import contextlib
import ctypes
import multiprocessing.resource_tracker
import os
import re
import signal
import subprocess
import threading
import time
import warnings
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Callable, Deque, Dict, Optional, Sequence, Tuple

if TYPE_CHECKING:
    import loky

_PRCTL = ctypes.CDLL(None).prctl
"""Loaded before any fork. If another thread loads a library during the fork, the child cannot load any
library: the loader ends it with exit code 127 (`Inconsistency detected by ld.so`)."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def dying_with_parent(number: int) -> Callable[[], None]:
    """Make a `preexec_fn` that sends the child a signal when this process dies, however it dies.

    A shell that starts this process in the background makes it ignore SIGINT, and children inherit that. The
    child therefore resets the signal to its default action.

    Args:
        number: signal number.

    Returns:
        The function for `Popen(preexec_fn=...)`.
    """
    parent = os.getpid()

    def in_child() -> None:
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        end_with_parent(parent, number)

    return in_child


def end_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Let the kernel send this process a signal when the thread that started it ends or is killed.

    Args:
        parent: process ID of the parent.
        number: signal number.
    """
    _PRCTL(1, number)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:  # the parent died before prctl was called
        os.kill(os.getpid(), number)


def start_child(command: Sequence[object], ends_by: int = signal.SIGKILL, **options: Any) -> subprocess.Popen:
    """Start a program without standard input, in its own session: Ctrl-C does not reach it.

    Args:
        command: program and arguments.
        ends_by: the signal that the program gets when this process dies, however it dies.
        options: further options of Popen.

    Raises:
        OSError: the program cannot be started.
    """
    return subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=dying_with_parent(ends_by),
        **options,
    )


def start_process_pool(count: int) -> Tuple[loky.ProcessPoolExecutor, Future]:
    """Start a pool of Python processes that end with this process; Ctrl-C does not reach them.

    They are loky's: like those of `multiprocessing`'s "spawn", they are new interpreters that inherit no
    memory, locks or signal handlers from a parent that may have torch loaded and control a simulator. Unlike
    "spawn", they do not import the user's main script again, which then needs no `if __name__ == "__main__"`.

    Close the pool in the thread that starts it: the processes end with this thread, too.

    Args:
        count: number of processes.

    Returns:
        The pool, and a future that is done when it accepts tasks. If a process is killed, all futures raise
        `concurrent.futures.process.BrokenProcessPool`.

    Raises:
        OSError: the system has not enough memory or semaphores.
    """
    import loky  # imported here because few commands need it, and it takes 0.1 s
    from loky.backend.popen_loky_posix import Popen
    from loky.backend.resource_tracker import ensure_running

    if not hasattr(Popen, "kill"):  # which loky calls where pgrep is missing, as on a minimal system
        Popen.kill = lambda process: os.kill(process.pid, signal.SIGKILL)
        warnings.filterwarnings("ignore", "Failed to kill subprocesses on this platform")

    # the trackers start with the first process, and unblock SIGINT
    multiprocessing.resource_tracker.ensure_running()
    ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the processes inherit it
    try:
        pool = loky.ProcessPoolExecutor(count, initializer=_prepare_process, initargs=(os.getpid(),))
        try:
            return pool, pool.submit(os.getpid)  # the first task starts all of them
        except BaseException:
            pool.shutdown(kill_workers=True)
            raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _prepare_process(parent: int) -> None:
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


class Child:
    """A program in its own process group that dies with this process.

    A thread reads its output line by line and removes colour codes. The last 200 lines are kept.

    Args:
        command: program and arguments.
        environment: the whole environment.
        on_line: called with each line, in the reading thread.
        pass_fds: descriptors that the program inherits.

    Raises:
        FileNotFoundError: no such program.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Dict[str, str],
        on_line: Optional[Callable[[str], None]] = None,
        pass_fds: Sequence[int] = (),
    ):
        self.lines: Deque[str] = collections.deque(maxlen=200)
        self._on_line = on_line
        self.process = start_child(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=pass_fds
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            line = _COLOURS.sub("", raw.decode(errors="replace")).rstrip()
            if line:
                self.lines.append(line)
                if self._on_line is not None:
                    self._on_line(line)

    @property
    def running(self) -> bool:
        """Whether the program still runs."""
        return self.process.poll() is None

    def how_it_ended(self) -> str:
        """`exit code 3` or `signal SIGSEGV`."""
        code = self.process.returncode
        if code is None:
            return "still running"
        if code >= 0:
            return f"exit code {code}"
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
        return f"signal {-code}"

    def drain(self, seconds: float = 1.0) -> None:
        """Wait until the output of an ended program has been read."""
        self._reader.join(seconds)

    def stop(self, number: int = signal.SIGINT, limit: float = 5.0) -> None:
        """Send the signal `number` to the program; kill its whole group after `limit` seconds."""
        for sign, seconds in ((number, limit), (signal.SIGKILL, 10.0)):
            if self.running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, sign)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(seconds)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)  # child processes that the program may have left
        self.drain()


class SuspensionWatch:
    """Detects that this process was suspended: a closed laptop, a suspended job, a stopped process.

    Args:
        limit: a longer gap between two calls of `poll` counts as a suspension, wall seconds.
    """

    def __init__(self, limit: float = 30.0):
        self._limit, self._polled = limit, time.monotonic()

    def poll(self) -> float:
        """Return the seconds since the last call if this process was suspended in between, else 0."""
        now = time.monotonic()
        gap, self._polled = now - self._polled, now
        return gap if gap > self._limit else 0.0
