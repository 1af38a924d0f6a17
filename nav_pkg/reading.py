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

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

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
    return parse_object(read_small(path, limit), path, fields)


def parse_object(
    data: Any, where: PathLike, fields: Optional[Mapping[str, Field]] = None, non_finite: bool = False
) -> Dict[str, Any]:
    """A JSON object out of bytes or text; arguments and errors as those of `parse_json` and `read_json`."""
    return _object(parse_json(data, where, non_finite), where, fields)


def _object(
    value: Any, where: PathLike, fields: Optional[Mapping[str, Field]], kind: str = "JSON object"
) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{where}: holds a {type(value).__name__}, not a {kind}")
    check_fields(value, fields or {}, where)
    return value


def read_json_lines(
    path: PathLike, fields: Mapping[str, Field], strict: str = "", limit: int = SMALL
) -> Tuple[List[Dict[str, Any]], List[int]]:
    """Read a file of JSON objects, one a line, as far as it can be read.

    Args:
        path: the file.
        fields: what the entries of each object must be.
        strict: refuse a line that is JSON, but not such an object; the text ends the error.
        limit: bytes that it may have at most.

    Returns:
        The objects, in order, and the numbers (from 1) of the lines that are something else: damaged,
        or cut by a crash. Empty lines are neither.

    Raises:
        DataError: the file is missing, cannot be read, or is larger, or what `strict` refuses.
    """
    found, unreadable = [], []
    # not splitlines(), for which characters that a text may hold end lines, too
    for number, line in enumerate(read_small(path, limit).split(b"\n"), 1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        try:
            value = parse_json(line, where, non_finite=True)
        except DataError:
            unreadable.append(number)
            continue
        try:
            found.append(_object(value, where, fields))
        except DataError as error:
            if strict:
                raise DataError(f"{error}{strict}") from error
            unreadable.append(number)
    return found, unreadable


def read_yaml(path: PathLike, fields: Optional[Mapping[str, Field]] = None) -> Dict[str, Any]:
    """Read a YAML file that holds a mapping of plain values, as JSON has them.

    Raises:
        DataError: the file is missing, cannot be read, no YAML or something else, or an entry is not what it
            must be; the text names it.
    """
    import yaml

    try:
        value = yaml.safe_load(read_text(path, 1 << 20))
        _measure(value, {}, 0)
        check_json(value)
    except RecursionError as error:
        raise DataError(f"{path} is not YAML: nested too deep") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise DataError(f"{path} is not YAML: {printable(' '.join(str(error).split()))[:300]}") from error
    return _object(value, path, fields, "mapping")


def _measure(value: Any, known: Dict[int, int], depth: int) -> int:
    """How many values there are, where those that aliases repeat count each time; a ValueError for too many.

    Raises:
        ValueError: too many or too deep, or something that JSON does not have (a date, a set, bytes).
    """
    if depth > 64:
        raise ValueError("nested too deep")
    if id(value) in known:
        return known[id(value)]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError(
                f"the key {next(key for key in value if not isinstance(key, str))!r} is not text"
            )
        total = 1 + sum(_measure(item, known, depth + 1) for item in value.values())
    elif isinstance(value, list):
        total = 1 + sum(_measure(item, known, depth + 1) for item in value)
    elif value is None or isinstance(value, (str, int, float)):
        return 1
    else:
        raise ValueError(f"{value!r} is neither text, a number, true, false nor null")
    if total > 100_000:
        raise ValueError("more than 100,000 values")
    known[id(value)] = total
    return total
