"""Reads scalars of TensorBoard event files in pieces: files of this project and of any other tool.

An event file is a sequence of records (tensorflow/core/lib/io/record_writer.h): the length of the data
(uint64, little endian), 4 bytes of checksum, the data (an Event of tensorflow/core/util/event.proto) and
4 bytes of checksum. The checksums (CRC-32C) are not verified: in Python this would take a hundred times as
long as the rest. Of a truncated or damaged file, the records before that position are read.

Most events hold one scalar and differ only in time, step and value, so NumPy parses many at once. All other
events (several values, TensorFlow 2's tensors) are parsed one by one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from nav_pkg.reading import PathLike, open_regular

PIECE = 1 << 24
"""Bytes of one read."""
LARGEST_RECORD = 1 << 30
"""Maximum length of a record, bytes; a larger length means damage."""
LARGEST_SCALAR = 4096
"""Maximum length of an event with scalars, bytes; larger events are images, histograms and graphs."""
ONE_BY_ONE = 256
"""Records whose lengths are read one by one, to find their period."""
KINDS_AT_ONCE = 200
"""Groups of events of equal length (one group per tag) that NumPy parses; others are parsed one by one."""

_BEFORE, _BEHIND = 12, 4
"""Bytes of a record before and behind its data."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Wire types of protocol buffers."""
_STEP, _SUMMARY = 2, 5
"""Fields of an Event."""
_TAG, _SIMPLE_VALUE, _TENSOR = 1, 2, 8
"""Fields of a Summary.Value."""
_DTYPE, _CONTENT, _FLOATS, _DOUBLES = 1, 4, 5, 6
"""Fields of a TensorProto."""
_TYPES = {1: "<f4", 2: "<f8"}
"""NumPy types by a TensorProto's dtype."""

_Part = Tuple[bytes, np.ndarray, np.ndarray]


class Scalar(NamedTuple):
    """The points of a tag, in the order of the file.

    Attributes:
        steps: int64 (n,).
        values: float64 (n,).
    """

    steps: np.ndarray
    values: np.ndarray


def read_events(path: PathLike, tags: Optional[Sequence[str]] = None) -> Tuple[Dict[str, Scalar], bool]:
    """Read the scalars of an event file.

    Args:
        path: the file.
        tags: the tags to read; None for all.

    Returns:
        The points by tag, and whether the file is complete. A file may be incomplete while it is written.

    Raises:
        DataError: it is missing, or not a regular file.
    """
    wanted = None if tags is None else {tag.encode() for tag in tags}
    parts_by_tag: Dict[bytes, List[Tuple[np.ndarray, np.ndarray]]] = {}
    whole = True
    with open_regular(path) as stream:
        for piece in _pieces(stream):
            whole = piece.whole
            for tag, steps, values in _scalars(piece):
                if wanted is None or tag in wanted:
                    parts_by_tag.setdefault(tag, []).append((steps, values))
    return {tag.decode("utf-8", "replace"): _joined(parts) for tag, parts in parts_by_tag.items()}, whole


def _joined(parts: List[Tuple[np.ndarray, np.ndarray]]) -> Scalar:
    return Scalar(*(np.concatenate(arrays) for arrays in zip(*parts)))


@dataclass(frozen=True)
class _Piece:
    """A part of a file: its bytes, start and length of each record's data, and whether it ends completely."""

    data: bytes
    starts: np.ndarray
    lengths: np.ndarray
    whole: bool


def _pieces(stream: BinaryIO) -> Iterator[_Piece]:
    rest = b""
    while True:
        new = stream.read(PIECE)
        data = rest + new
        starts, lengths, place, damaged = _records(data)
        rest = data[place:]
        whole = not damaged and (bool(new) or not rest)
        yield _Piece(data, starts, lengths, whole)
        if damaged or not new:
            return


def _records(data: bytes) -> Tuple[np.ndarray, np.ndarray, int, bool]:
    """Find the complete records of a piece.

    A training writes the same tags repeatedly, so the lengths of the records mostly have a period. Once a
    period is found, NumPy reads the lengths at the predicted positions, up to the first that differs.

    Returns:
        Start of each record's data, its length, end of the last record, whether damage follows.
    """
    length_at, parts, place = struct.Struct("<Q").unpack_from, [np.empty((2, 0), np.int64)], 0
    words = _number_at_each_byte(data, "<u8")
    while True:
        first_lengths: List[int] = []
        begin = place
        while len(first_lengths) < ONE_BY_ONE and place + _BEFORE + _BEHIND <= len(data):
            (length,) = length_at(data, place)
            if length > LARGEST_RECORD or place + _BEFORE + length + _BEHIND > len(data):
                break
            first_lengths.append(length)
            place += _BEFORE + length + _BEHIND
        lengths = np.array(first_lengths, np.int64)
        parts.append(np.array((begin + _starts(lengths), lengths)))
        if len(first_lengths) < ONE_BY_ONE:
            starts, lengths = np.concatenate(parts, axis=1)
            damaged = place + 8 <= len(data) and length_at(data, place)[0] > LARGEST_RECORD
            return starts, lengths, place, damaged
        period = next((n for n in range(1, ONE_BY_ONE // 2) if first_lengths[n:] == first_lengths[:-n]), None)
        if period is not None:
            sizes = lengths[-period:] + _BEFORE + _BEHIND
            lengths = np.tile(lengths[-period:], (len(data) - place) // int(sizes.sum()))
            starts = place + _starts(lengths)
            right = words[starts - _BEFORE] == lengths.astype(np.uint64)
            count = len(right) if right.all() else int(right.argmin())
            parts.append(np.array((starts[:count], lengths[:count])))
            if count:
                place = int(starts[count - 1] + lengths[count - 1]) + _BEHIND


def _starts(lengths: np.ndarray) -> np.ndarray:
    """Start offsets of the data of consecutive records."""
    ends = np.cumsum(lengths + _BEFORE + _BEHIND)
    return ends - lengths - _BEHIND


def _number_at_each_byte(data: Any, kind: str) -> np.ndarray:
    """A view of the number (of a NumPy type) that starts at each byte of the data."""
    size = np.dtype(kind).itemsize
    return np.ndarray((max(0, len(data) - size + 1),), kind, data, strides=(1,))


def _scalars(piece: _Piece) -> Iterator[_Part]:
    """The scalars of a piece; those of one tag in the order of the file."""
    order: List[Tuple[int, bytes, int, float]] = []  # place, tag, step, value of single events
    parts: Dict[bytes, List[Tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
    data = np.frombuffer(piece.data, np.uint8)
    for length in np.unique(piece.lengths).tolist():
        if length > LARGEST_SCALAR:
            continue
        places = piece.starts[piece.lengths == length]
        for _ in range(KINDS_AT_ONCE):
            if not len(places):
                break
            event = _event(piece.data[places[0] : places[0] + length])
            alike = places[:1] if event.value_at is None else places[_alike(data, places, length, event)]
            if event.value_at is None:
                order += [(int(places[0]), tag, event.step, value) for tag, value in event.values]
            else:
                steps, values = _read_alike(data, alike, event)
                parts.setdefault(event.values[0][0], []).append((alike, steps, values))
            places = places[~np.isin(places, alike)] if len(alike) > 1 else places[1:]
        for place in places.tolist():
            event = _event(piece.data[place : place + length])
            order += [(place, tag, event.step, value) for tag, value in event.values]
    for place, tag, step, value in order:
        part = (np.array([place]), np.array([step], np.int64), np.array([value]))
        parts.setdefault(tag, []).append(part)
    for tag, tag_parts in parts.items():
        place, steps, values = (np.concatenate(arrays) for arrays in zip(*tag_parts))
        sorting = np.argsort(place, kind="stable")
        yield tag, steps[sorting], values[sorting]


class _Event(NamedTuple):
    """An event: its scalars, and the positions of step and value if it holds a single simple value."""

    step: int
    values: List[Tuple[bytes, float]]
    step_at: Optional[Tuple[int, int]]
    value_at: Optional[int]


def _alike(data: np.ndarray, places: np.ndarray, length: int, event: _Event) -> np.ndarray:
    """Which events differ from the first one only in time, step and value; bool (n,)."""
    free = np.zeros(length, bool)
    free[1:9] = True  # the time, the first field of every event (its key is compared)
    assert event.value_at is not None
    free[event.value_at : event.value_at + 4] = True
    if event.step_at:
        free[slice(*event.step_at)] = True
    words, same = _number_at_each_byte(data, "<u8"), np.ones(len(places), bool)
    for column in range(0, length, 8):
        begin = min(column, length - 8)  # an event with a time has more than 8 bytes
        mask = np.where(free[begin : begin + 8], 0, 255).astype(np.uint8).view("<u8")[0]
        if mask:
            same &= (words[places + begin] & mask) == (words[places[0] + begin] & mask)
    if event.step_at:
        first, behind = event.step_at
        for column in range(first, behind):
            more = data[places + column] >= 128
            same &= more if column < behind - 1 else ~more
    return same


def _read_alike(data: np.ndarray, places: np.ndarray, event: _Event) -> Tuple[np.ndarray, np.ndarray]:
    steps = np.zeros(len(places), np.uint64)
    if event.step_at:
        for shift, column in enumerate(range(*event.step_at)):
            steps |= (data[places + column] & 127).astype(np.uint64) << np.uint64(7 * shift)
    assert event.value_at is not None
    return steps.astype(np.int64), _number_at_each_byte(data, "<f4")[places + event.value_at].astype(
        np.float64
    )


def _fields(data: bytes, begin: int, end: int) -> Iterator[Tuple[int, int, int, int]]:
    """The fields of a message: number, wire type, start and end of the value; stops at damage."""
    while begin < end:
        key, begin = _varint(data, begin, end)
        kind = key & 7
        if kind == _VARINT:
            _, behind = _varint(data, begin, end)
        elif kind == _BYTES:
            length, begin = _varint(data, begin, end)
            behind = begin + length
        else:
            behind = begin + {_FIXED64: 8, _FIXED32: 4}.get(kind, end)
        if behind > end:
            return
        yield key >> 3, kind, begin, behind
        begin = behind


def _varint(data: bytes, place: int, end: int) -> Tuple[int, int]:
    value = shift = 0
    while place < end and shift < 70:
        value |= (data[place] & 127) << shift
        place += 1
        if data[place - 1] < 128:
            return value, place
        shift += 7
    return 0, end + 1  # truncated


def _event(data: bytes) -> _Event:
    step, step_at, value_at = 0, None, None
    values: List[Tuple[bytes, float]] = []
    others = 0
    for number, kind, begin, behind in _fields(data, 0, len(data)):
        if (number, kind) == (_STEP, _VARINT):
            step, step_at = _varint(data, begin, behind)[0], (begin, behind)
            step -= (step >> 63) << 64  # int64
        elif (number, kind) == (_SUMMARY, _BYTES):
            for field, wire, first, last in _fields(data, begin, behind):
                if (field, wire) != (1, _BYTES):
                    continue
                tag, value, place = _value(data, first, last)
                if value is None:
                    others += 1
                else:
                    values.append((tag, value))
                    value_at = place
    simple = len(values) == 1 and not others and data[:1] == b"\x09"
    return _Event(step, values, step_at, value_at if simple else None)


def _value(data: bytes, begin: int, end: int) -> Tuple[bytes, Optional[float], Optional[int]]:
    """Parse a Summary.Value: tag, scalar (None for any other content), position of a simple value."""
    tag, value, place = b"", None, None
    for number, kind, first, behind in _fields(data, begin, end):
        if (number, kind) == (_TAG, _BYTES):
            tag = data[first:behind]
        elif (number, kind) == (_SIMPLE_VALUE, _FIXED32):
            value, place = struct.unpack_from("<f", data, first)[0], first
        elif (number, kind) == (_TENSOR, _BYTES):
            value = _tensor(data, first, behind)
    return tag, value, place


def _tensor(data: bytes, begin: int, end: int) -> Optional[float]:
    """The value of a TensorProto with a single float or double; None for any other."""
    kind, content = 0, b""
    for number, wire, first, behind in _fields(data, begin, end):
        if (number, wire) == (_DTYPE, _VARINT):
            kind = _varint(data, first, behind)[0]
        elif number in (_CONTENT, _FLOATS, _DOUBLES):
            content = data[first:behind]
    if kind not in _TYPES or len(content) != np.dtype(_TYPES[kind]).itemsize:
        return None
    return float(np.frombuffer(content, _TYPES[kind])[0])
