"""Folders of this user's own in places where all may write: never another's, never behind a link."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Union

from nav_pkg.core import DataError


def private_folder(path: Union[str, Path], variable: str) -> Path:
    """Make a folder that this user alone may enter, or check one that is there.

    The last part of the path is not followed: whoever may write beside it could make it a link to another
    folder, or make the folder first, and so read or replace what is written.

    Args:
        path: of the folder; the one that it lies in must exist.
        variable: environment variable that chooses another place, for messages.

    Returns:
        The path. The folder is a real one, owned by this user, of mode 0700.

    Raises:
        DataError: it can't be made, or something of another user, a link or a file stands there.
    """
    path = Path(path)
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = os.lstat(path)
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
            if stat.S_IMODE(found.st_mode) != 0o700:
                os.chmod(path, 0o700)
            return path
    except FileExistsError:
        pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{path}: cannot make this folder: {reason}; set {variable} to another") from error
    raise DataError(f"{path}: is not a folder of this user's own; remove it, or set {variable} to another")


def open_private(path: Union[str, Path], flags: int) -> int:
    """Open a file without following a link; made with mode 0600 where `flags` say so.

    Args:
        path: of the file, in a private folder.
        flags: as of `os.open`.

    Returns:
        The file descriptor.

    Raises:
        OSError: as of `os.open`; ELOOP where a link stands there.
    """
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
