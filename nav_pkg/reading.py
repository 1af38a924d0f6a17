"""Read small files of any origin: ordinary ones alone, bounded, in UTF-8, JSON and YAML by a schema.

Whatever lies under the name (a folder, a FIFO, noise, a hundred thousand brackets), the answer is the
content or a DataError of one line, at once.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from typing import Any, BinaryIO, Dict, List, Mapping, Optional, Tuple, Union

from nav_pkg.core import DataError
from nav_pkg.fields import Field, check_fields, check_json

PathLike = Union[str, "os.PathLike[str]"]

SMALL = 64 << 20
"""Bytes at most of a file that is read as a whole unless its reader says otherwise."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


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


def open_regular(path: PathLike, remedy: str = "") -> BinaryIO:
    """Open an ordinary file for reading. Nothing else is opened, and nothing is waited for.

    Args:
        path: the file; a link to one is followed.
        remedy: ends the error's text, e.g. `; see dataset.py verify`.

    Raises:
        DataError: it is missing, cannot be read, or is a folder, FIFO, socket or device.
    """
    try:
        # a FIFO without a writer would make the call wait for one
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENXIO:  # what opening a socket gives
            error = OSError(errno.ENXIO, "is a socket or device, not a file")
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


def read_small(path: PathLike, limit: int = SMALL, remedy: str = "") -> bytes:
    """All bytes of an ordinary file.

    Args:
        path: the file.
        limit: bytes that it may have at most.
        remedy: ends the error's text.

    Raises:
        DataError: as `open_regular`, or the file is larger.
    """
    with open_regular(path, remedy) as stream:
        try:
            data = stream.read(limit + 1) if os.fstat(stream.fileno()).st_size <= limit else None
        except OSError as error:
            raise read_error(path, error, remedy) from error
    if data is None or len(data) > limit:
        raise DataError(f"{path}: larger than the {limit:,} bytes that such a file may have{remedy}")
    return data


def read_text(path: PathLike, limit: int = SMALL, remedy: str = "") -> str:
    """The text of an ordinary file in UTF-8.

    Raises:
        DataError: as `read_small`, or the bytes are no UTF-8; the text names the line.
    """
    data = read_small(path, limit, remedy)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}: line {line}: not UTF-8 text (byte {data[error.start]:#04x}){remedy}"
        ) from error


def parse_json(data: Any, where: PathLike) -> Any:
    """The value of JSON text, as far as our files use JSON.

    Args:
        data: bytes or text.
        where: what is read, for the error: a file, and its line if it has several.

    Raises:
        DataError: not JSON, not UTF-8, nested too deep, a number that is not finite or too large for any
            field (`NaN`, `1e999`), or text that UTF-8 cannot hold.
    """
    try:
        value = json.loads(data)
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
    return parse_object(read_small(path, limit), path, fields)


def parse_object(data: Any, where: PathLike, fields: Optional[Mapping[str, Field]] = None) -> Dict[str, Any]:
    """A JSON object out of bytes or text; arguments and errors as those of `parse_json` and `read_json`."""
    value = parse_json(data, where)
    if not isinstance(value, dict):
        raise DataError(f"{where}: holds a {type(value).__name__}, not a JSON object")
    check_fields(value, fields or {}, where)
    return value


def read_json_lines(
    path: PathLike, fields: Mapping[str, Field], limit: int = SMALL
) -> Tuple[List[Dict[str, Any]], List[int]]:
    """Read a file of JSON objects, one a line, as far as it can be read.

    Args:
        path: the file.
        fields: what the entries of each object must be.
        limit: bytes that it may have at most.

    Returns:
        The objects, in order, and the numbers (from 1) of the lines that are something else: damaged,
        or cut by a crash. Empty lines are neither.

    Raises:
        DataError: the file is missing, cannot be read, or is larger.
    """
    found, unreadable = [], []
    # not splitlines(), for which characters that a text may hold end lines, too
    for number, line in enumerate(read_small(path, limit).split(b"\n"), 1):
        if line.strip():
            try:
                found.append(parse_object(line, f"{path}: line {number}", fields))
            except DataError:
                unreadable.append(number)
    return found, unreadable
