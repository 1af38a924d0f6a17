"""The X display that a camera needs: a private one (Xvfb), or the current one."""

from __future__ import annotations

import os
import secrets
import select
import shutil
import signal
import struct
import time
from pathlib import Path
from typing import Dict, Mapping, Optional

from nav_pkg.children import Child
from nav_pkg.core import SimulatorError, UsageError
from nav_pkg.private import open_private


def has_gpu() -> bool:
    """Whether this machine has a graphics card that OpenGL can use."""
    return Path("/dev/nvidiactl").exists() or any(Path("/dev/dri").glob("renderD*"))


def display_answers(display: str) -> bool:
    """Whether an X server listens on a local display."""
    number = display.split(":")[-1].split(".")[0]
    if not display.startswith(":"):
        return bool(number)  # a remote display: the program itself checks it
    return Path(f"/tmp/.X11-unix/X{number}").exists()


def usable_display(environment: Mapping[str, str], present: bool) -> str:
    """The current X display if it should be used, else an empty string.

    Args:
        environment: its DISPLAY is the current display.
        present: the current display is required, to show a window.

    Raises:
        UsageError: a window is required, and there is no display.
    """
    here = environment.get("DISPLAY", "")
    answers = bool(here) and display_answers(here)
    if present and not answers:
        raise UsageError(
            f"a window needs an X display, but DISPLAY is {here!r}: start it on a desktop, or without "
            "--graphics (--gui, gui:=true)"
        )
    return here if answers and (present or has_gpu()) else ""


def x_server(environment: Mapping[str, str]) -> str:
    """Find Xvfb and return its path.

    Raises:
        UsageError: it is not installed.
    """
    program = shutil.which("Xvfb", path=environment.get("PATH"))
    if program is None:
        raise UsageError("no X server program: Xvfb is not on the PATH; install it (package xvfb)")
    return program


def _write_authority(path: Path) -> None:
    """Write an X authority file with a new secret; only this user can read it.

    The format is libXau's: family, address, display number, method name, data; each length is two bytes,
    big-endian. Family 65535 and an empty number match any display, since the server chooses its number.
    """
    parts = (b"", b"", b"MIT-MAGIC-COOKIE-1", secrets.token_bytes(16))
    entry = struct.pack(">H", 0xFFFF) + b"".join(struct.pack(">H", len(part)) + part for part in parts)
    with os.fdopen(open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
        file.write(entry)


class Display:
    """A private X display (Xvfb on a free number), or the current one.

    Cameras render through GLX, which needs an X server even without a window.

    Args:
        environment: its DISPLAY is the current display.
        folder: private folder of the caller, for the authority file of the private server.
        present: use the current display, to show a window.
        limit: wall seconds for the start of the server.

    Attributes:
        environment: variables that its clients need: DISPLAY, and XAUTHORITY for the private server.

    Raises:
        UsageError: Xvfb is not installed, or there is no current display.
        SimulatorError: the server did not start.
    """

    def __init__(self, environment: Dict[str, str], folder: Path, present: bool = False, limit: float = 20.0):
        self._server: Optional[Child] = None
        here = usable_display(environment, present)
        if here:
            self.environment = {"DISPLAY": here}
            return
        program = x_server(environment)
        authority = folder / "Xauthority"
        _write_authority(authority)
        read, write = os.pipe()
        try:
            # The server writes the number of the free display that it found.
            command = [program, "-displayfd", str(write), "-screen", "0", "640x480x24", "-nolisten", "tcp"]
            command += ["-auth", str(authority), "-noreset", "+extension", "GLX"]
            self._server = Child(command, environment, pass_fds=[write])
        finally:
            os.close(write)
        try:
            self.environment = {"DISPLAY": ":" + self._number(read, limit), "XAUTHORITY": str(authority)}
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
        last = self._server.lines[-1] if self._server.lines else "no output"
        raise SimulatorError(f"the X server Xvfb did not start within {limit:g} s: {last}")

    @property
    def running(self) -> bool:
        """Whether the private server runs; always true for the current display."""
        return self._server is None or self._server.running

    def close(self) -> None:
        """Stop the private server."""
        if self._server is not None:
            self._server.stop(signal.SIGTERM)
