"""Run other commands as steps of a longer command: pass their output through, time them, report errors."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import List, Optional, Sequence

from nav_pkg.children import dying_with_parent
from nav_pkg.core import NavError
from nav_pkg.flight.runlog import RunLog

POLL = 0.25
"""Seconds between two polls of a step."""


class StepFailed(NavError):
    """A step failed; `code` is the exit code of the step."""

    def __init__(self, text: str, code: int):
        super().__init__(text)
        self.code = code


class Pace:
    """Simulation speed of a session, from the heartbeat that its supervisor writes.

    Only time within runs counts: from the first heartbeat of a run to its last.

    Args:
        folder: the session's log folder.

    Attributes:
        simulated: simulated seconds observed.
        wall: wall seconds for them.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._last: Optional[dict] = None
        self.simulated = self.wall = 0.0

    def poll(self) -> None:
        """Read the newest heartbeat."""
        if not self._folder.is_dir():
            return
        state = RunLog(self._folder).state()
        known = state is not None and None not in map(state.get, ("wall", "stamp"))
        if not known or state.get("state") not in ("idle", "running"):
            self._last = None
            return
        last, self._last = self._last, state
        if last is None or any(last.get(key) != state.get(key) for key in ("run", "pid")):
            return
        if state["wall"] > last["wall"] and state["stamp"] >= last["stamp"]:
            self.simulated += state["stamp"] - last["stamp"]
            self.wall += state["wall"] - last["wall"]


def run_step(command: Sequence[str], title: str, pace: Optional[Pace] = None) -> float:
    """Run a command to its end and pass its output through, including progress bars.

    Args:
        command: program and arguments.
        title: name of the step in error messages.
        pace: updated while the command runs.

    Returns:
        Wall seconds.

    Raises:
        StepFailed: the exit code is not 0; the text is the last `error:` line, else the last line of stderr.
        KeyboardInterrupt: Ctrl-C; the command has already ended.
    """
    begin = time.monotonic()
    tail = _Tail()
    sys.stdout.flush()
    with tail.stream() as stderr:
        stop_with_us = dying_with_parent(signal.SIGTERM)  # on SIGTERM the command saves its state
        process = subprocess.Popen(list(command), stderr=stderr, preexec_fn=stop_with_us)
    try:
        while process.poll() is None:
            time.sleep(POLL)
            if pace is not None:
                pace.poll()
    except BaseException:
        _end(process)
        raise
    finally:
        tail.close()
    if process.returncode:
        code = process.returncode if process.returncode > 0 else 1
        raise StepFailed(f"{title}: {tail.message() or f'exit code {process.returncode}'}", code)
    return time.monotonic() - begin


def _end(process: subprocess.Popen) -> None:
    """Wait for a command that received our Ctrl-C too; then send SIGTERM, then SIGKILL."""
    for ask, limit in ((None, 1.0), (signal.SIGTERM, 60.0), (signal.SIGKILL, 10.0)):
        if ask is not None:
            process.send_signal(ask)
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(limit)
            return


class _Tail:
    """Forwards a child's stderr to ours and keeps its last lines.

    If our stderr is a terminal, the child gets a pseudo-terminal: else it would show no progress bars.
    """

    def __init__(self) -> None:
        self._bytes = b""
        self._thread: Optional[threading.Thread] = None

    @contextlib.contextmanager
    def stream(self):
        """Yield the file descriptor for the child's stderr."""
        if sys.stderr.isatty():
            read_end, write_end = pty.openpty()
            with contextlib.suppress(OSError):
                size = fcntl.ioctl(sys.stderr.fileno(), termios.TIOCGWINSZ, struct.pack("4H", 0, 0, 0, 0))
                fcntl.ioctl(write_end, termios.TIOCSWINSZ, size)
                # The real terminal already translates line ends.
                modes = termios.tcgetattr(write_end)
                modes[1] &= ~termios.OPOST
                termios.tcsetattr(write_end, termios.TCSANOW, modes)
        else:
            read_end, write_end = os.pipe()
        try:
            yield write_end
        finally:
            os.close(write_end)
        self._thread = threading.Thread(target=self._copy, args=(read_end,), daemon=True)
        self._thread.start()

    def _copy(self, read_end: int) -> None:
        with os.fdopen(read_end, "rb", buffering=0) as source:
            while True:
                try:
                    data = source.read(4096)
                except OSError:  # the child closed its end of the pseudo-terminal
                    break
                if not data:
                    break
                self._bytes = (self._bytes + data)[-8192:]
                sys.stderr.buffer.write(data) if hasattr(sys.stderr, "buffer") else sys.stderr.write(
                    data.decode(errors="replace")
                )
                sys.stderr.flush()

    def close(self) -> None:
        """Wait until all output has been forwarded."""
        if self._thread is not None:
            self._thread.join(timeout=5)

    def message(self) -> str:
        """The child's last `error:` line, else its last line."""
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._bytes.decode(errors="replace"))
        lines: List[str] = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
        errors = [line[7:] for line in lines if line.startswith("error: ")]
        return (errors or lines or [""])[-1]
