"""Files that are whole or not there: write, flush to disk, rename; and what to say when that fails."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import math
import os
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterable, Iterator, Optional, Tuple

from nav_pkg.config.paths import PathLike
from nav_pkg.core import DataError
from nav_pkg.locks import flock, is_at, open_locked
from nav_pkg.reading import (
    SMALL,
    open_regular,
    parse_json,
    parse_object,
    printable,
    read_error,
    read_json,
    read_json_lines,
    read_small,
    read_text,
)

__all__ = [  # what reads is a module of its own, which every layer may import
    "SMALL",
    "open_regular",
    "parse_json",
    "parse_object",
    "printable",
    "read_error",
    "read_json",
    "read_json_lines",
    "read_small",
    "read_text",
]

_LIBC = ctypes.CDLL(None)


def disk_error(path: PathLike, error: OSError, chosen_by: str = "--data_root") -> DataError:
    """The DataError for a failed write: path, reason, free space and what to do.

    Args:
        path: what could not be written.
        error: why.
        chosen_by: the flag or variable that chooses where it is written.
    """
    reason = (error.strerror or str(error)).lower()
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = f"free some space or choose another {chosen_by}" if full else f"check {chosen_by} and its rights"
    if error.errno == errno.ENAMETOOLONG:
        remedy = "choose a shorter name"
    # what is free when this is said, the unfinished file is gone, or the disk is full by quota
    room = "" if full else f" ({free_text(path)})"
    return DataError(f"{path}: cannot write: {reason}{room}; {remedy}")


def free_bytes(path: PathLike) -> Optional[int]:
    """Free space of the file system that `path` is or would be on; None when unknown."""
    folder = Path(path)
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def free_text(path: PathLike) -> str:
    """The free space of the file system that `path` is or would be on, for people."""
    free = free_bytes(path)
    return "free space unknown" if free is None else f"{free / 1e6:,.0f} MB free"


def write_all(fd: int, data: Any) -> None:
    """Write all bytes of `data` to a file descriptor, whatever portions the kernel takes."""
    view = memoryview(data)
    while view.nbytes:
        view = view[os.write(fd, view) :]


def write_file(path: PathLike, data: Any) -> None:
    """Write a new or emptied file; it is on its way to the disk, but not known to be there."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        write_all(fd, data)
        start_writeback(fd)
    finally:
        os.close(fd)


def fsync(path: PathLike) -> None:
    """Flush a file or folder to disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError as error:
        # some network file systems cannot flush a folder
        if error.errno not in (errno.EINVAL, errno.EBADF) or not os.path.isdir(path):
            raise
    finally:
        os.close(fd)


def start_writeback(fd: int) -> None:
    """Let the kernel begin to write a file out, without waiting (Linux; nothing elsewhere)."""
    call = getattr(_LIBC, "sync_file_range", None)
    if call is not None:
        call(ctypes.c_int(fd), ctypes.c_int64(0), ctypes.c_int64(0), ctypes.c_uint(2))


def fsync_all(paths: Iterable[PathLike]) -> None:
    """Flush many files to disk, four at a time, so that the file system's journal takes them together.

    4,900 images of a run of 2,450 frames, on a disk that others use too: 2.6 to 16 s one by one, 0.7
    to 1.2 s four at a time, 0.2 to 0.3 s when `start_writeback` went before. `syncfs` would wait for
    what all other programs have written, too (1.4 to 2.3 s).
    """
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fsync, paths))


def atomic_write(path: PathLike, data: Any, chosen_by: str = "--data_root") -> None:
    """Write a file as a whole: beside, flushed, renamed.

    Args:
        path: the file's final name.
        data: bytes, or text that is written as UTF-8.
        chosen_by: the flag or variable that chooses where it is written.

    Raises:
        DataError: when the file system does not take it; the old file is then still there.
    """
    path = Path(path)
    try:
        with temporary(path) as (beside, fd):
            write_all(fd, data.encode(errors="backslashreplace") if isinstance(data, str) else data)
            os.fsync(fd)
            os.replace(beside, path)
        fsync(path.parent)
    except OSError as error:
        raise disk_error(path, error, chosen_by) from error


@contextlib.contextmanager
def temporary(path: PathLike, ending: str = "") -> Iterator[Tuple[Path, int]]:
    """A file beside another, to be written and renamed; it is gone at the end unless it was.

    It is locked as long as this process works on it, so that `sweep` knows what a killed one left.

    Args:
        path: the file's final name.
        ending: of the temporary name, for whom it tells the file's kind (`.gif`).

    Yields:
        The temporary name (`.NAME.PID.tmp`, and the ending) and the file, empty and open for writing.

    Raises:
        OSError: the file system refuses.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp{ending}")
    while True:
        fd = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        flock(fd, wait=True)
        if is_at(fd, beside):
            break
        os.close(fd)  # swept before it was locked, or another thread's, which has been renamed
    try:
        os.ftruncate(fd, 0)  # not before: another thread, or a process of this number elsewhere, may have it
        yield beside, fd
    finally:
        if is_at(fd, beside):
            with contextlib.suppress(OSError):
                beside.unlink()
        os.close(fd)


_TEMPORARY = re.compile(r"\.(?P<name>.+)\.\d+\.tmp(\.\w+)?\Z")


def sweep(folder: PathLike, name: str = "") -> None:
    """Remove the temporary files that killed processes left in a folder.

    Only this user's own, no links, and nothing that a living process on any host has locked; on a file
    system without locks, nothing.

    Args:
        folder: where; one that is missing is empty.
        name: only those of a file of this name; empty for all.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        left = [entry for entry in entries if _TEMPORARY.match(entry.name)]
        for entry in left:
            match = _TEMPORARY.match(entry.name)
            if name in ("", match and match.group("name")) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    _remove_if_left(Path(entry.path))


def _remove_if_left(path: Path) -> None:
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if flock(fd) and os.fstat(fd).st_uid == os.getuid() and is_at(fd, path):
            path.unlink()
    finally:
        os.close(fd)


def _plain(value: Any) -> Any:
    """The value in JSON's types: numpy numbers as Python's, non-finite numbers as null."""
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist") and not isinstance(value, str):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(value)  # what UTF-8 cannot hold, such as a byte of a file's name, is escaped
    return text if text.isascii() else str(text.encode(errors="backslashreplace"), "utf-8")


def to_json(value: Any) -> str:
    """JSON text of a value, the same bytes for equal values; non-finite numbers become null."""
    return json.dumps(_plain(value), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def first_difference(one: Any, other: Any, where: str = "") -> Tuple[str, str, str]:
    """Where two values of JSON differ first, for people.

    Args:
        one: a value.
        other: another, not equal to it.
        where: what they are called.

    Returns:
        The name of what differs (`robot.camera.width`), and both values there as short texts.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        key = next(key for key in sorted({*one, *other}) if one.get(key) != other.get(key))
        return first_difference(one.get(key), other.get(key), f"{where}.{key}" if where else key)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        at = next(i for i, (a, b) in enumerate(zip(one, other)) if a != b)
        return first_difference(one[at], other[at], f"{where}[{at}]" if len(one) > 1 else where)
    return where, _short(one), _short(other)


def _short(value: Any) -> str:
    if value is None or value == []:
        return "not given"
    if isinstance(value, list) and value and not any(isinstance(item, (list, dict)) for item in value):
        value = " ".join(map(str, value))
    text = value if isinstance(value, str) and value else json.dumps(value, sort_keys=True)
    return text if len(text) < 80 else f"{text[:77]}..."


def lock_beside(folder: PathLike) -> Optional[int]:
    """Take a folder for this process by a lock file beside it, which outlives the folder.

    Returns:
        The file descriptor that holds the lock until it is closed, at the latest when the process
        ends; None when another process holds it.

    Raises:
        OSError: the lock file cannot be made.
    """
    path = lock_path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    tries = 3  # `is_locked` of another process holds it for a moment
    while True:
        opened = open_locked(path)
        tries -= 1
        if opened or not tries:
            return opened[0] if opened else None
        time.sleep(0.01)


def is_locked(folder: PathLike) -> bool:
    """Whether a process holds the lock of `lock_beside`."""
    if not lock_path(folder).exists():
        return False
    descriptor = lock_beside(folder)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def lock_path(folder: PathLike) -> Path:
    """The lock file of `lock_beside`; who holds the lock may remove it."""
    folder = Path(folder)
    return folder.parent / f".{folder.name}.lock"


def remove_tree(path: PathLike) -> None:
    """Remove a folder as a whole: renamed out of sight first, so that no half of it is ever seen.

    What a killed process left of such a removal beside it is removed along.

    Raises:
        DataError: when it cannot be removed.
    """
    path = Path(path)
    away = path.with_name(f".{path.name}.{os.getpid()}.removed")
    lock = -1
    try:
        sweep_removed(path.parent)
        shutil.rmtree(away, ignore_errors=True)
        with contextlib.suppress(OSError):  # a link, or a file system without locks
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            flock(lock, shared=True)
        os.rename(path, away)
        away.unlink() if away.is_symlink() else shutil.rmtree(away)
    except OSError as error:
        raise DataError(f"{path}: cannot remove: {(error.strerror or str(error)).lower()}") from error
    finally:
        if lock >= 0:
            os.close(lock)


_REMOVED = re.compile(r"\..+\.\d+\.removed\Z")


def sweep_removed(folder: PathLike) -> None:
    """Remove what killed processes left of folders that they were removing, but nothing that is locked."""
    left = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        left = [e.path for e in entries if _REMOVED.match(e.name) and e.is_dir(follow_symlinks=False)]
    for path in left:
        with contextlib.suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if flock(lock):
                    shutil.rmtree(path)
            finally:
                os.close(lock)


_EXCHANGE = 2
"""RENAME_EXCHANGE of renameat2(2)."""
_HERE = -100
"""AT_FDCWD."""


def put_in_place(made: PathLike, place: PathLike) -> None:
    """Give a folder its name, in the place of one that may be there and is removed.

    Both are exchanged in one step, so that a kill at any moment leaves one of them under the name. Where the
    file system cannot do that, the old one is away for a moment, as `.NAME.PID.replaced`.

    Args:
        made: the folder, whole, beside its place.
        place: its name.

    Raises:
        OSError: the file system refuses; what was there is there still.
    """
    made, place = Path(made), Path(place)
    if not os.path.lexists(place):
        os.rename(made, place)
        fsync(place.parent)
        return
    if not _exchange(made, place):
        old = place.with_name(f".{place.name}.{os.getpid()}.replaced")
        os.rename(place, old)
        try:
            os.rename(made, place)
        except BaseException:
            os.rename(old, place)
            raise
        os.rename(old, made)
    fsync(place.parent)
    with contextlib.suppress(DataError):  # the new one is in place; remains of the old one are hidden
        remove_tree(made)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step; False where the system cannot."""
    call = getattr(_LIBC, "renameat2", None)
    if call is None:
        return False
    return call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), ctypes.c_uint(_EXCHANGE)) == 0
