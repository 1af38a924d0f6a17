"""Folders that belong to this user, in places where every user can write. Links are not followed."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Union

from nav_pkg.core import DataError


def private_folder(path: Union[str, Path], variable: str) -> Path:
    """Create a folder that only this user can enter, or check an existing one.

    The last part of the path is not followed if it is a link. Other users may be able to write to the parent
    folder: they could put a link or their own folder there, and read or replace what is written.

    Args:
        path: of the folder; its parent must exist.
        variable: environment variable that selects another place, for error messages.

    Returns:
        The path. It is a real folder, owned by this user, with mode 0700.

    Raises:
        DataError: it cannot be created, or the path is a link, a file or belongs to another user.
    """
    path = Path(path)
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid():
            if stat.S_IMODE(status.st_mode) != 0o700:
                os.chmod(path, 0o700)
            return path
    except FileExistsError:
        pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{path}: cannot make this folder: {reason}; set {variable} to another") from error
    raise DataError(f"{path}: is not a folder of this user's own; remove it, or set {variable} to another")


def open_private(path: Union[str, Path], flags: int) -> int:
    """Open a file without following a link. With O_CREAT, a new file gets mode 0600.

    Args:
        path: of the file, in a private folder.
        flags: as in `os.open`.

    Returns:
        The file descriptor.

    Raises:
        OSError: as in `os.open`; ELOOP if the path is a link.
    """
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
