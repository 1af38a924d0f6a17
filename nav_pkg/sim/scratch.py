"""A simulator's own folder in the system's temporary one, and what killed simulators left there."""

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
_YOUNG = 600.0
"""Seconds for which a folder without a lock is left alone: it may be just being made."""


class Scratch:
    """A folder that is locked while this process lives; making one removes what dead ones left.

    Args:
        prefix: of its name; `nav_pkg-sim-` and the like.
    """

    def __init__(self, prefix: str):
        sweep(prefix)
        self._lock: Optional[int] = None
        while self._lock is None:
            self.path = Path(tempfile.mkdtemp(prefix=prefix))
            # closed in programs that this process starts, so that none of them keeps it
            lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            flock(lock, wait=True)
            if (self.path / _LOCK).exists():
                self._lock = lock
            else:  # another process swept it before it was locked
                os.close(lock)

    def close(self) -> None:
        """Remove it; harmless when called again."""
        if self._lock is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_error) -> None:
        self.close()


def sweep(prefix: str) -> None:
    """Remove this user's folders of dead processes: no lock is held, and no process names them."""
    left: Dict[Path, int] = {}
    try:
        for path in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
            lock = _lock_of_left(path)
            if lock is not None:
                left[path] = lock
        used = set(_in_use(list(left))) if left else set()
        for path in left:
            if path not in used:
                shutil.rmtree(path, ignore_errors=True)  # which follows no link
    finally:
        for lock in filter(lambda number: number >= 0, left.values()):
            os.close(lock)


def _lock_of_left(path: Path) -> Optional[int]:
    """The lock of a folder that is left, held until it is removed.

    A process that has just made it waits for the lock, and then finds the folder gone. None for a folder
    that is not left; -1 for one without a lock file.
    """
    try:
        found = path.lstat()
    except OSError:  # its own process has just removed it
        return None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        return None
    try:
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1 if time.time() - found.st_mtime > _YOUNG else None
    except OSError:
        return None
    if not flock(lock):  # held, or a file system without locks
        os.close(lock)
        return None
    return lock


def _in_use(paths: List[Path]) -> Iterator[Path]:
    """Those that a process of this user has in its command line or environment."""
    names = {path: os.fsencode(path) for path in paths}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                words = Path("/proc", entry, "cmdline").read_bytes()
                words += Path("/proc", entry, "environ").read_bytes()
            except OSError:
                continue
            yield from (path for path, name in names.items() if name in words)
