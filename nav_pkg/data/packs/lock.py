"""The lock of a pack: one process makes or removes it at a time."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
from pathlib import Path
from typing import Optional

from nav_pkg.config import paths
from nav_pkg.data import files
from nav_pkg.data.packs.store import PackFile
from nav_pkg.locks import open_locked


@functools.lru_cache(maxsize=1)
def host_name() -> str:
    """Name of this machine, for messages and temporary files."""
    return socket.gethostname() or "here"


class PackLock:
    """Held by the process that makes or removes a pack; the kernel releases it when the process ends."""

    def __init__(self, path: Path, descriptor: int, exclusive: bool):
        self._path, self._descriptor = path, descriptor
        self.exclusive = exclusive
        """False on a file system without locks: other processes may then write the same pack."""

    @staticmethod
    def path(pack: PackFile) -> Path:
        """Path of the lock file."""
        return pack.folder / f".{pack.key}.lock"

    @staticmethod
    def acquire(pack: PackFile) -> Optional[PackLock]:
        """Acquire the lock; None while another process holds it.

        Raises:
            DataError: the file system refuses.
        """
        path = PackLock.path(pack)
        try:
            pack.folder.mkdir(parents=True, exist_ok=True)
            opened = open_locked(path)
        except OSError as error:
            raise files.disk_error(pack.path, error, paths.cache_variable(pack.cache)) from error
        if opened is None:
            return None
        with contextlib.suppress(OSError):  # only for the message of waiting processes
            os.ftruncate(opened[0], 0)
            os.write(opened[0], f"process {os.getpid()} on {host_name()}".encode())
        return PackLock(path, *opened)

    @staticmethod
    def holder(pack: PackFile) -> str:
        """Description of the process that holds the lock, for messages."""
        with contextlib.suppress(OSError):
            return PackLock.path(pack).read_text(encoding="utf-8", errors="replace") or "another process"
        return "another process"

    def release(self) -> None:
        """Release the lock."""
        with contextlib.suppress(OSError):
            if self.exclusive:
                self._path.unlink()
        os.close(self._descriptor)
