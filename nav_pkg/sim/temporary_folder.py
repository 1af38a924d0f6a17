"""The temporary folder of a simulator, and removal of the folders that killed simulators left."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import Dict, Iterator, List, Optional

from nav_pkg.locks import flock

_LOCK = ".lock"
_STARTUP_TIME = 600.0
"""Seconds for which a folder without a lock is kept: its process may still be creating it."""


class TemporaryFolder:
    """A folder that is locked while this process lives. Creating one also removes folders of dead processes.

    Args:
        prefix: of the folder's name, such as `nav_pkg-sim-`.
    """

    def __init__(self, prefix: str):
        remove_abandoned(prefix)
        self._lock: Optional[int] = None
        while self._lock is None:
            self.path = Path(tempfile.mkdtemp(prefix=prefix))
            # O_CLOEXEC: child processes must not hold the lock
            lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            flock(lock, wait=True)
            if (self.path / _LOCK).exists():
                self._lock = lock
            else:  # another process removed it before this one had locked it
                os.close(lock)

    def close(self) -> None:
        """Remove the folder. Further calls do nothing."""
        if self._lock is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_error) -> None:
        self.close()


def remove_abandoned(prefix: str) -> None:
    """Remove this user's folders of dead processes: unlocked, and not named by any process."""
    left: Dict[Path, int] = {}
    try:
        for path in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
            lock = _lock_abandoned(path)
            if lock is not None:
                left[path] = lock
        used = set(_in_use(list(left))) if left else set()
        for path in left:
            if path not in used:
                shutil.rmtree(path, ignore_errors=True)  # does not follow links
    finally:
        for lock in filter(lambda number: number >= 0, left.values()):
            os.close(lock)


def _lock_abandoned(path: Path) -> Optional[int]:
    """Lock the folder of a dead process, until it is removed.

    A process that has just created a folder may wait for this lock; it then finds that the folder is gone.

    Returns:
        The descriptor of the lock; -1 for a dead folder without a lock file; None for a folder in use.
    """
    try:
        status = path.lstat()
    except OSError:  # its own process has just removed it
        return None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        return None
    try:
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1 if time.time() - status.st_mtime > _STARTUP_TIME else None
    except OSError:
        return None
    if not flock(lock):  # locked, or a file system without locks
        os.close(lock)
        return None
    return lock


def _in_use(paths: List[Path]) -> Iterator[Path]:
    """The paths that occur in the command line or environment of a process of this user."""
    names = {path: os.fsencode(path) for path in paths}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                words = Path("/proc", entry, "cmdline").read_bytes()
                words += Path("/proc", entry, "environ").read_bytes()
            except OSError:
                continue
            yield from (path for path, name in names.items() if name in words)
