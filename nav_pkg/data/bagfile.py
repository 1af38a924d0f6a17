"""Read ROS 1 bags sequentially, whether complete, unindexed (`.active`) or truncated.

rosbag writes the index of a bag when it closes the bag; if the recorder crashed, the bag has no index. This
reader needs no index. It iterates over the records of the format (ROSBAG V2.0,
wiki.ros.org/Bags/Format/2.0) until they end. The rosbags package deserialises the messages with the
definitions stored in the bag.
"""

from __future__ import annotations

import bz2
import struct
from pathlib import Path
from typing import Any, BinaryIO, Iterator, NamedTuple, Optional

from nav_pkg.config.paths import PathLike
from nav_pkg.core import DataError
from nav_pkg.data import files

_MAGIC = b"#ROSBAG V2.0\n"
_MESSAGE, _HEADER, _INDEX, _CHUNK, _CHUNK_INFO, _CONNECTION = 2, 3, 4, 5, 6, 7
_MAX_RECORD = 1 << 30


class Connection(NamedTuple):
    """A topic of one publisher: name, type (`pkg/Type`) and full message definition."""

    topic: str
    type: str
    definition: str


class _Truncated(Exception):
    """The file ends within a record, or a record is invalid."""


def _read(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise _Truncated
    return data


def _fields(data: bytes) -> dict[str, bytes]:
    fields, at = {}, 0
    while at < len(data):
        if at + 4 > len(data):
            raise _Truncated
        (size,) = struct.unpack_from("<I", data, at)
        name, equals, value = data[at + 4 : at + 4 + size].partition(b"=")
        if not equals or at + 4 + size > len(data):
            raise _Truncated
        fields[name.decode("latin-1")] = value
        at += 4 + size
    return fields


def _record(stream: BinaryIO) -> Optional[tuple[dict[str, bytes], int]]:
    """The next record's header fields and data size; None at the end of the file."""
    start = stream.read(4)
    if not start:
        return None
    if len(start) < 4:
        raise _Truncated
    (size,) = struct.unpack("<I", start)
    if size > 1 << 20:
        raise _Truncated
    fields = _fields(_read(stream, size))
    (length,) = struct.unpack("<I", _read(stream, 4))
    if len(fields.get("op", b"")) != 1 or length > _MAX_RECORD:
        raise _Truncated
    return fields, length


class Bag:
    """One bag file.

    Args:
        path: a `.bag` or `.bag.active` file.

    Attributes:
        truncated_at: the byte where the bag breaks off, None if it is complete; valid after a full pass of
            `messages`.
        closed: whether the recorder closed the bag; valid after `connections`.

    Raises:
        DataError: the file is missing, empty or not a ROS 1 bag.
    """

    def __init__(self, path: PathLike):
        self.path = Path(path)
        self.truncated_at: Optional[int] = None
        self.closed = False
        self._connections: dict[int, Connection] = {}
        with files.open_regular(self.path) as stream:
            magic = stream.read(len(_MAGIC))
        if not magic:
            raise DataError(f"{path}: the bag is empty (0 bytes); was the recording stopped at once?")
        if magic != _MAGIC:
            raise DataError(f"{path}: not a ROS 1 bag (it does not begin with {_MAGIC.decode().strip()!r})")

    def connections(self) -> list[Connection]:
        """All connections, from the bag's index; without an index, from a pass over the whole bag."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(len(_MAGIC))
                fields, length = _record(stream) or ({}, 0)
                (at,) = struct.unpack("<Q", fields["index_pos"])
                if at:
                    stream.seek(at)
                    while True:
                        record = _record(stream)
                        if record is None or record[0]["op"][0] != _CONNECTION:
                            break
                        self._connect(record[0], _read(stream, record[1]))
                    if self._connections:
                        self.closed = True
                        return list(self._connections.values())
        except (_Truncated, KeyError, struct.error, UnicodeDecodeError):
            pass
        for _ in self.messages():
            pass
        return list(self._connections.values())

    def _connect(self, fields: dict[str, bytes], data: bytes) -> None:
        more = _fields(data)
        (number,) = struct.unpack("<I", fields["conn"])
        self._connections[number] = Connection(
            fields["topic"].decode(), more["type"].decode(), more["message_definition"].decode()
        )

    def messages(self) -> Iterator[tuple[Connection, bytes]]:
        """Iterate over the messages in file order: connection and bytes of each."""
        self.truncated_at = None
        with self.path.open("rb") as stream:
            stream.seek(len(_MAGIC))
            at = stream.tell()
            try:
                while True:
                    at = stream.tell()
                    record = _record(stream)
                    if record is None:
                        return
                    fields, length = record
                    if fields["op"][0] == _CHUNK:
                        yield from self._chunk(stream, fields, length)
                    else:
                        yield from self._parse_message(fields, _read(stream, length))
            except (_Truncated, KeyError, struct.error, UnicodeDecodeError):
                self.truncated_at = at

    def _parse_message(self, fields: dict[str, bytes], data: bytes) -> Iterator[tuple[Connection, bytes]]:
        kind = fields["op"][0]
        if kind == _CONNECTION:
            self._connect(fields, data)
        elif kind == _MESSAGE:
            (number,) = struct.unpack("<I", fields["conn"])
            yield self._connections[number], data
        elif kind not in (_HEADER, _INDEX, _CHUNK_INFO):
            raise _Truncated

    def _chunk(
        self, stream: BinaryIO, fields: dict[str, bytes], length: int
    ) -> Iterator[tuple[Connection, bytes]]:
        import io

        compression = fields["compression"]
        if length == 0:
            return  # the chunk was open when the recorder crashed: its records follow one by one
        if compression == b"none":
            end = stream.tell() + length
            while stream.tell() < end:
                record = _record(stream)
                if record is None:
                    raise _Truncated
                yield from self._parse_message(record[0], _read(stream, record[1]))
            return
        data = _read(stream, length)
        (size,) = struct.unpack("<I", fields["size"])
        try:
            unpacker: Any
            if compression == b"bz2":
                unpacker = bz2.BZ2Decompressor()
            elif compression == b"lz4":
                import lz4.frame

                unpacker = lz4.frame.LZ4FrameDecompressor()
            else:
                raise DataError(f"{self.path}: unknown compression {compression[:40]!r}")
            # the stated size is the limit, even if a damaged or malicious chunk would unpack to more
            data = unpacker.decompress(data, min(size, _MAX_RECORD))
        except (OSError, RuntimeError, ValueError, EOFError) as error:
            raise _Truncated from error
        inner = io.BytesIO(data)
        record = _record(inner)
        while record is not None:
            yield from self._parse_message(record[0], _read(inner, record[1]))
            record = _record(inner)


class Deserialiser:
    """Deserialises a bag's messages into objects with the fields that the bag defines."""

    def __init__(self) -> None:
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore

        self._parse = get_types_from_msg
        self._builtin = get_typestore(Stores.ROS1_NOETIC)
        self._new = lambda: get_typestore(Stores.EMPTY)
        self._stores: dict[Connection, tuple[Any, str]] = {}

    def __call__(self, connection: Connection, data: bytes) -> Any:
        """Deserialise one message.

        Raises:
            DataError: the bytes or the definition do not match the type.
        """
        try:
            if connection not in self._stores:
                self._stores[connection] = self._store(connection)
            store, name = self._stores[connection]
            return store.deserialize_ros1(data, name)
        except Exception as error:  # rosbags raises many exception types
            reason = " ".join(str(error).split())
            reason = reason if len(reason) <= 120 else f"{reason[:117]}..."
            raise DataError(
                f"{files.printable(connection.topic[:200])}: a message is not the "
                f"{files.printable(connection.type[:100])} that the bag defines ({files.printable(reason)})"
            ) from error

    def _store(self, connection: Connection) -> tuple[Any, str]:
        package, _, kind = connection.type.partition("/")
        name = f"{package}/msg/{kind}"
        store = self._new()
        times = {
            key: self._builtin.fielddefs[key]
            for key in ("builtin_interfaces/msg/Time", "builtin_interfaces/msg/Duration")
        }
        store.register({**times, **self._parse(connection.definition, name)})
        return store, name
