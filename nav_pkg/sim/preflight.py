"""Checks of this machine before a simulator starts: faults that a retry would not remove."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from pathlib import Path
from typing import Mapping, Optional

from nav_pkg.core import UsageError
from nav_pkg.sim.description import PLUGIN, ROOT
from nav_pkg.sim.display import usable_display, x_server
from nav_pkg.sim.network import library_folder

MIN_OPEN_FILES = 256
"""Open files that a process may need; gzserver had 58 in a flight with a recorder."""
MIN_ADDRESS_SPACE = 4 * 1024**3
"""Bytes of address space that gzserver needs: 2 GB on two cores, more with the renderer's further threads."""
MIN_DATA_SEGMENT = 1024**3
"""Bytes of private memory that gzserver may request: 0.5 GB on two cores."""
MIN_MEMORY = 1024**3
"""Bytes of memory that a session needs without a learner."""
MIN_TEMPORARY_SPACE = 32 * 1024**2
"""Bytes in the temporary folder: the run's world, shaders, files of the X server."""


def check(environment: Optional[Mapping[str, str]] = None, window: bool = False) -> None:
    """Refuse to start a simulator where it cannot run.

    A soft limit of open files that is too low is raised for this process and its children.

    Args:
        environment: of the simulator; None: that of this process.
        window: Gazebo's window is requested.

    Raises:
        UsageError: a requirement is missing; the text gives the remedy.
    """
    environment = os.environ if environment is None else environment
    _check_home(environment)
    _check_temporary(environment)
    _check_limits()
    if not usable_display(environment, window):
        x_server(environment)
    folder = library_folder(environment)
    for needed in (ROOT / "setup" / "gzserver", folder / PLUGIN):
        if not needed.is_file():
            raise UsageError(f"{needed} is missing: run 'make setup' in {ROOT}")


def _writable(folder: str) -> bool:
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)


def _check_home(environment: Mapping[str, str]) -> None:
    home = environment.get("HOME", "")
    if not home:
        raise UsageError("HOME is not set, and ROS and Gazebo keep files below it: export HOME=/home/...")
    if not _writable(home):
        raise UsageError(
            f"HOME={home}: no folder that can be written to, and ROS and Gazebo keep files below it: export "
            "HOME=... with another"
        )


def _check_temporary(environment: Mapping[str, str]) -> None:
    given = environment.get("TMPDIR", "")
    if given and not _writable(given):
        raise UsageError(f"TMPDIR={given}: no folder that can be written to; unset it, or give another")
    try:
        folder = given or tempfile.gettempdir()
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, 65536)
        free = shutil.disk_usage(folder).free
    except OSError as error:  # also without any temporary folder
        where = f"TMPDIR={given}" if given else "temporary files"
        raise UsageError(
            f"{where}: {error.strerror or error}; make room, or set TMPDIR to another folder"
        ) from None
    if free < MIN_TEMPORARY_SPACE:
        raise UsageError(
            f"{folder}: {free / 1e6:.0f} MB are free, a simulator needs "
            f"{MIN_TEMPORARY_SPACE / 1e6:.0f} MB for temporary files; make room, or set TMPDIR to "
            "another folder"
        )


def _check_limits() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < MIN_OPEN_FILES:
        if hard != resource.RLIM_INFINITY and hard < MIN_OPEN_FILES:
            raise UsageError(
                f"a process may have {hard} open files here, the simulator needs {MIN_OPEN_FILES}: raise it "
                f"(ulimit -n {MIN_OPEN_FILES})"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (MIN_OPEN_FILES, hard))
    for name, kind, needed in (
        ("ulimit -v", resource.RLIMIT_AS, MIN_ADDRESS_SPACE),
        ("ulimit -d", resource.RLIMIT_DATA, MIN_DATA_SEGMENT),
    ):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY and soft < needed:
            raise UsageError(
                f"a process may have {soft / 1e9:.1f} GB of memory here, the simulator needs "
                f"{needed / 1e9:.1f} GB: raise it ({name} unlimited)"
            )
    limit = _group_limit()
    if limit is not None and limit < MIN_MEMORY:
        raise UsageError(
            f"this job or container may use {limit / 1e6:.0f} MB of memory, a session needs "
            f"{MIN_MEMORY / 1e6:.0f} MB: give it more"
        )


def _group_limit(root: Path = Path("/sys/fs/cgroup")) -> Optional[int]:
    """The memory limit of this process's control group in bytes; None if unknown."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    limits = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            folders = [root / path.lstrip("/"), root]
            names = ["memory.max"]
        elif "memory" in controllers.split(","):
            folders = [root / "memory" / path.lstrip("/"), root / "memory"]
            names = ["memory.limit_in_bytes"]
        else:
            continue
        for folder in folders:
            for name in names:
                try:
                    limits.append(int((folder / name).read_text()))
                except (OSError, ValueError):  # no such file, or "max"
                    continue
    return min(limits) if limits else None
