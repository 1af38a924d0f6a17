"""Child processes that do not outlive their parent, and the X display that a camera needs."""

from __future__ import annotations

import collections
import contextlib
import ctypes
import os
import re
import select
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Callable, Deque, Dict, List, Optional, Sequence

from nav_pkg.core import SimulatorError

_PRCTL = ctypes.CDLL(None).prctl
"""Found before any fork. When another thread loads a library at the moment of the fork, the child cannot load
any: the loader ends it with 127 (`Inconsistency detected by ld.so`)."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def dying_with_parent(number: int) -> Callable[[], None]:
    """What a child is to do first so that it gets a signal when this process dies, however that dies.

    A shell that started this process in the background has it ignore SIGINT, which children inherit:
    the child heeds the signal again.

    Args:
        number: of the signal.

    Returns:
        For `Popen(preexec_fn=...)`.
    """
    parent = os.getpid()

    def in_child() -> None:
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        _PRCTL(1, number)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it died before prctl was called
            os.kill(os.getpid(), number)

    return in_child


class Child:
    """A program in a process group of its own that dies with this process.

    Its output is read line by line in a thread, without colour codes; the last 200 lines are kept.

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
        self.process = subprocess.Popen(
            list(command),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=dying_with_parent(signal.SIGKILL),
            pass_fds=pass_fds,
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
        """Ask the program to end, kill its whole group after `limit` seconds."""
        for sign, seconds in ((number, limit), (signal.SIGKILL, 10.0)):
            if self.running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, sign)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(seconds)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)  # what the program may have left in its group
        self.drain()


def has_gpu() -> bool:
    """Whether this machine has a graphics card that OpenGL can use."""
    return Path("/dev/nvidiactl").exists() or any(Path("/dev/dri").glob("renderD*"))


def display_answers(display: str) -> bool:
    """Whether an X server listens on a local display."""
    number = display.split(":")[-1].split(".")[0]
    if not display.startswith(":"):
        return bool(number)  # a remote display: left to the program to find out
    return Path(f"/tmp/.X11-unix/X{number}").exists()


class Display:
    """An X display of our own (Xvfb on a free number), or the present one.

    Cameras draw through GLX, which needs an X server even where nobody looks.

    Args:
        environment: the environment whose DISPLAY may be used.
        present: use the present display (somebody wants to look at a window).

    Raises:
        SimulatorError: no X server program, or it did not start.
    """

    def __init__(self, environment: Dict[str, str], present: bool = False, limit: float = 20.0):
        self._server: Optional[Child] = None
        here = environment.get("DISPLAY", "")
        if present and not (here and display_answers(here)):
            raise SimulatorError(f"a window needs an X display, but DISPLAY is {here!r}; start without --gui")
        if here and display_answers(here) and (present or has_gpu()):
            self.name = here
            return
        program = shutil.which("Xvfb", path=environment.get("PATH"))
        if program is None:
            raise SimulatorError("no X server program: Xvfb is not on the PATH; install it (package xvfb)")
        read, write = os.pipe()
        try:
            # The server writes the number of the display that it found free.
            command = [program, "-displayfd", str(write), "-screen", "0", "640x480x24", "-nolisten", "tcp"]
            self._server = Child(command + ["-noreset", "+extension", "GLX"], environment, pass_fds=[write])
        finally:
            os.close(write)
        try:
            self.name = ":" + self._number(read, limit)
        except SimulatorError:
            self._server.stop(signal.SIGTERM)
            raise
        finally:
            os.close(read)

    def _number(self, read: int, limit: float) -> str:
        assert self._server is not None
        deadline = time.monotonic() + limit
        text = b""
        while time.monotonic() < deadline:
            if select.select([read], [], [], 0.2)[0]:
                part = os.read(read, 64)
                text += part
                if text.endswith(b"\n"):
                    return text.decode().strip()
                if not part:
                    break
        self._server.drain(0.5)
        last = self._server.lines[-1] if self._server.lines else "it said nothing"
        raise SimulatorError(f"the X server Xvfb did not start within {limit:g} s: {last}")

    @property
    def running(self) -> bool:
        """Whether the display can still be used, as far as we know."""
        return self._server is None or self._server.running

    def close(self) -> None:
        """End our own server."""
        if self._server is not None:
            self._server.stop(signal.SIGTERM)


def interesting(lines: Sequence[str]) -> List[str]:
    """Gazebo's lines without those that every start without a sound card prints."""
    noise = ("ALSA lib", "AL lib", "OpenAL", "Audio will be disabled", "InitializeSockets", "XDG_RUNTIME_DIR")
    return [line for line in lines if not any(word in line for word in noise)]
