"""Files that are whole or not there: write, flush to disk, rename; and what to say when that fails."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import math
import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Iterable, Mapping, Optional, Tuple

from nav_pkg.core import DataError
from nav_pkg.data.fields import Field, check_fields, check_json
from nav_pkg.data.paths import PathLike

_LIBC = ctypes.CDLL(None)

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

SMALL = 64 << 20
"""Bytes at most of a file that is read as a whole unless its reader says otherwise."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


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
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write_file(beside, data.encode(errors="backslashreplace") if isinstance(data, str) else data)
        fsync(beside)
        os.replace(beside, path)
        fsync(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise disk_error(path, error, chosen_by) from error


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


def read_error(path: PathLike, error: Exception, remedy: str = "") -> DataError:
    """The DataError for a file that cannot be read: path, reason and remedy (`; see dataset.py verify`)."""
    if isinstance(error, OSError):
        reason = (error.strerror or str(error)).lower()
    else:  # a name with a NUL or with half a surrogate pair
        reason = "its name is not one that a file can have"
    text = os.fspath(path)
    text = text if len(text) <= 300 else f"{text[:300]}..."
    return DataError(f"{printable(text)}: cannot read: {reason}{remedy}")


def printable(text: str) -> str:
    """A text for one line of a terminal: what cannot be printed is escaped."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def open_regular(path: PathLike, remedy: str = "", follow: bool = True) -> BinaryIO:
    """Open an ordinary file for reading. Nothing else is opened, and nothing is waited for.

    Args:
        path: the file.
        remedy: ends the error's text, e.g. `; see dataset.py verify`.
        follow: open what a symbolic link leads to; else a link is refused.

    Raises:
        DataError: it is missing, cannot be read, or is a folder, FIFO, socket or device.
    """
    try:
        # a FIFO without a writer would make the call wait for one
        fd = os.open(path, _READ if follow else _READ | os.O_NOFOLLOW)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENXIO:  # what opening a socket gives
            error = OSError(errno.ENXIO, "is a socket or device, not a file")
        if isinstance(error, OSError) and error.errno == errno.ELOOP and not follow:
            error = OSError(errno.ELOOP, "is a symbolic link, not a file")
        raise read_error(path, error, remedy) from error
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            kind = next((name for check, name in _KINDS if check(mode)), "something else")
            raise read_error(path, OSError(0, f"is {kind}, not a file"), remedy)
        return os.fdopen(fd, "rb")
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(fd)
        raise


def read_small(path: PathLike, limit: int = SMALL, remedy: str = "", follow: bool = True) -> bytes:
    """All bytes of an ordinary file.

    Args:
        path: the file.
        limit: bytes that it may have at most.
        remedy: ends the error's text.
        follow: as in `open_regular`.

    Raises:
        DataError: as `open_regular`, or the file is larger.
    """
    with open_regular(path, remedy, follow) as stream:
        try:
            size = os.fstat(stream.fileno()).st_size
            parts, room = [], limit + 1 if size <= limit else 0
            while room > 0:  # no more than there is at once, since a read takes the memory it asks for
                parts.append(stream.read(min(room, max(size, 0xFFFF) + 1)))
                room -= len(parts[-1])
                if not parts[-1]:
                    break
        except OSError as error:
            raise read_error(path, error, remedy) from error
    data = parts[0] if len(parts) == 2 else b"".join(parts)
    if room <= 0:
        raise DataError(f"{path}: larger than the {limit:,} bytes that such a file may have{remedy}")
    return data


def read_text(path: PathLike, limit: int = SMALL, remedy: str = "", follow: bool = True) -> str:
    """The text of an ordinary file in UTF-8.

    Raises:
        DataError: as `read_small`, or the bytes are no UTF-8; the text names the line.
    """
    data = read_small(path, limit, remedy, follow)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}: line {line}: not UTF-8 text (byte {data[error.start]:#04x}){remedy}"
        ) from error


def parse_json(data: Any, where: PathLike, non_finite: bool = False) -> Any:
    """The value of JSON text, as far as our files use JSON.

    Args:
        data: bytes or text.
        where: what is read, for the error: a file, and its line if it has several.
        non_finite: take `NaN` and the like for null, which is what `to_json` writes for them.

    Raises:
        DataError: not JSON, not UTF-8, nested too deep, a number that is not finite or too large for any
            field (`NaN`, `1e999`), or text that UTF-8 cannot hold.
    """
    try:
        value = json.loads(data, parse_constant=(lambda _: None) if non_finite else None)
        check_json(value)
    except (ValueError, RecursionError, OverflowError) as error:
        deep = isinstance(error, RecursionError)
        reason = "nested too deep" if deep else str(error)
        raise DataError(f"{where}: not JSON, cut or damaged ({reason})") from error
    return value


def read_json(path: PathLike, fields: Optional[Mapping[str, Field]] = None, limit: int = SMALL) -> dict:
    """Read a JSON object.

    Args:
        path: the file.
        fields: what its entries must be; others may be there, too.
        limit: bytes that it may have at most.

    Raises:
        DataError: when the file is missing, cut or not a JSON object (see `parse_json`), or an entry is not
            what it must be; the text names it.
    """
    value = parse_json(read_small(path, limit), path)
    if not isinstance(value, dict):
        raise DataError(f"{path}: holds a {type(value).__name__}, not a JSON object")
    check_fields(value, fields or {}, path)
    return value


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
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(
        folder.parent / f".{folder.name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666
    )
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        pass  # a file system without locks
    return descriptor


def remove_tree(path: PathLike) -> None:
    """Remove a folder as a whole: renamed out of sight first, so that no half of it is ever seen.

    Raises:
        DataError: when it cannot be removed.
    """
    path = Path(path)
    away = path.with_name(f".{path.name}.{os.getpid()}.removed")
    try:
        shutil.rmtree(away, ignore_errors=True)
        os.rename(path, away)
        shutil.rmtree(away)
    except OSError as error:
        raise DataError(f"{path}: cannot remove: {(error.strerror or str(error)).lower()}") from error
