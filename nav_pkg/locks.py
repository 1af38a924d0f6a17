"""Advisory locks of files and folders (flock). The kernel releases them when their process ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Optional, Tuple, Union


def flock(descriptor: int, shared: bool = False, wait: bool = False) -> Optional[bool]:
    """Lock an open file or folder until it is closed.

    Args:
        descriptor: of the file or folder.
        shared: take a shared lock; otherwise an exclusive lock.
        wait: wait until the other processes release it.

    Returns:
        True: locked. False: another process holds the lock. None: the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def is_at(descriptor: int, path: Union[str, Path]) -> bool:
    """Whether a path still names this open file."""
    try:
        at_path, own = os.lstat(path), os.fstat(descriptor)
    except OSError:
        return False
    return (at_path.st_dev, at_path.st_ino) == (own.st_dev, own.st_ino)


def open_locked(path: Union[str, Path]) -> Optional[Tuple[int, bool]]:
    """Open and lock a lock file; create it if it is missing. The process that holds it may remove it.

    Returns:
        The descriptor, and whether it is locked (False: the file system has no locks). None if another
        process holds the lock.

    Raises:
        OSError: the file cannot be created.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        locked = flock(descriptor)
        if locked is False:
            os.close(descriptor)
            return None
        if is_at(descriptor, path):
            return descriptor, locked is True
        os.close(descriptor)  # the previous holder removed it in the meantime
