"""Safe reading of small files of any origin: only regular files, limited size, UTF-8, JSON/YAML by schema.

Whatever the path names (a folder, a FIFO, random bytes, deeply nested brackets), a function returns the
content or raises a DataError of one line, without waiting.
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
"""Default limit in bytes for a file that is read as a whole."""

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
    """A text for one line of a terminal, with unprintable characters escaped."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def open_regular(path: PathLike, remedy: str = "", follow: bool = True) -> BinaryIO:
    """Open a regular file for reading. Anything else is refused, and the call never blocks.

    Args:
        path: the file.
        remedy: end of the error text, e.g. `; see dataset.py verify`.
        follow: follow a symbolic link; otherwise refuse a link.

    Raises:
        DataError: it is missing, cannot be read, or is a folder, FIFO, socket or device.
    """
    try:
        # O_NONBLOCK: opening a FIFO without a writer would block
        fd = os.open(path, _READ if follow else _READ | os.O_NOFOLLOW)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENXIO:  # result of opening a socket
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
    """Read all bytes of a regular file.

    Args:
        path: the file.
        limit: maximum size in bytes.
        remedy: end of the error text.
        follow: as in `open_regular`.

    Raises:
        DataError: as in `open_regular`, or the file is larger than `limit`.
    """
    with open_regular(path, remedy, follow) as stream:
        try:
            size = os.fstat(stream.fileno()).st_size
            parts, room = [], limit + 1 if size <= limit else 0
            while room > 0:  # at most the file's size at once: a read allocates what it requests
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
    """Read the text of a regular file in UTF-8.

    Raises:
        DataError: as in `read_small`, or the bytes are not UTF-8; the error names the line.
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
    """Parse JSON text, within the limits of our files.

    Args:
        data: bytes or text.
        where: what is read, for the error text: a file, and the line if it has several.
        non_finite: read `NaN` and the like as null, as `to_json` writes them.

    Raises:
        DataError: not JSON, not UTF-8, nested too deep, a number that is not finite or too large for any
            field (`NaN`, `1e999`), or text that UTF-8 cannot encode.
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
        fields: rules of its entries; other entries are allowed.
        limit: maximum size in bytes.

    Raises:
        DataError: the file is missing, truncated or not a JSON object (see `parse_json`), or an entry does
            not match its rule; the error names the entry.
    """
    return parse_object(read_small(path, limit), path, fields)


def parse_object(
    data: Any, where: PathLike, fields: Optional[Mapping[str, Field]] = None, non_finite: bool = False
) -> Dict[str, Any]:
    """Parse a JSON object; arguments and errors as in `parse_json` and `read_json`."""
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
    """Read a file of JSON objects, one per line, and skip unreadable lines.

    Args:
        path: the file.
        fields: rules of the entries of each object.
        strict: if not empty, refuse a line of valid JSON that does not match `fields`; the text ends the
            error.
        limit: maximum size in bytes.

    Returns:
        The objects, in order, and the numbers (from 1) of the unreadable lines: damaged, or truncated by a
        crash. Empty lines are skipped.

    Raises:
        DataError: the file is missing, cannot be read or is too large, or `strict` refuses a line.
    """
    records, unreadable = [], []
    # not splitlines(): it also splits at characters that a JSON text may contain
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
            records.append(_object(value, where, fields))
        except DataError as error:
            if strict:
                raise DataError(f"{error}{strict}") from error
            unreadable.append(number)
    return records, unreadable


def read_yaml(path: PathLike, fields: Optional[Mapping[str, Field]] = None) -> Dict[str, Any]:
    """Read a YAML file that holds a mapping of plain values, like a JSON object.

    Raises:
        DataError: the file is missing, cannot be read or is not such a YAML file, or an entry does not match
            its rule; the error names the entry.
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
    """Count the values; a value that YAML aliases repeat counts each time.

    Raises:
        ValueError: too many values, nested too deep, or a type that JSON does not have (date, set, bytes).
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
