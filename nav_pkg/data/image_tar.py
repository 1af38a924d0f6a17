"""A camera's images in one uncompressed tar (POSIX ustar), and its index for random access.

Members have the paths that the images have as files, and fixed metadata: equal images give equal bytes. The
index is an array int64 (frames, 2): offset and size of each image's bytes, in order of frames. It only saves
time. Each read compares the member's header with the index; where they differ, the headers are scanned.
"""

from __future__ import annotations

import contextlib
import functools
import os
import tarfile
import threading
from pathlib import Path
from typing import BinaryIO, NamedTuple, Optional

import numpy as np

from nav_pkg.config.session import TAR
from nav_pkg.core import DataError
from nav_pkg.data import files
from nav_pkg.data import format as fmt
from nav_pkg.data.folders import npy_header

BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)
"""The end of a tar."""
WRITEBACK_BYTES = 3 << 20
"""Bytes between two requests to the kernel to start writeback; this keeps the final flush short."""

_NAME, _SIZE, _CHECKSUM, _TYPE, _MAGIC = (
    slice(*ends) for ends in ((0, 100), (124, 136), (148, 156), (156, 157), (257, 262))
)
_FILE_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE)
_LONGEST_END = 1 << 20
"""Maximum number of zeros after the last member; programs pad tars to 10 kB, or to what the user chose."""


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


@functools.lru_cache(maxsize=1)
def _template() -> bytes:
    """The header of a member without name, size and checksum: mtime 0, uid and gid 0, mode 0644."""
    header = bytearray(tarfile.TarInfo("").tobuf(tarfile.USTAR_FORMAT))
    header[_CHECKSUM] = b" " * 8
    return bytes(header)


def member_header(name: str, size: int) -> bytes:
    """The 512 bytes before a member's data.

    Args:
        name: path of the image within its run; ASCII, at most 100 characters.
        size: bytes of the image.
    """
    header = bytearray(_template())
    header[: len(name)] = name.encode("ascii")
    header[_SIZE] = b"%011o\0" % size
    header[_CHECKSUM] = b"%06o\0 " % sum(header)
    return bytes(header)


class TarWriter:
    """Appends a camera's images to a new tar, each with one system call.

    Args:
        run: folder of the unfinished run.
        folder: the camera's folder, e.g. `RGB`.

    Raises:
        OSError: the file system refuses (also `add` and `finish`).
    """

    def __init__(self, run: Path, folder: str):
        self._folder, self._index_path = folder, run / fmt.index_file(folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = os.open(run / fmt.tar_file(folder), flags, 0o666)
        self._lock = threading.Lock()
        self._waiting: dict[int, bytes] = {}
        self._index: list[tuple[int, int]] = []
        self._end = self._flushed = 0

    def add(self, number: int, data: bytes) -> None:
        """Append an image; an image whose predecessor is missing waits for it, in memory.

        Args:
            number: the index of the image's frame; each from 0 exactly once. Any thread may call this.
            data: the image's bytes.
        """
        with self._lock:
            self._waiting[number] = data
            while len(self._index) in self._waiting:
                self._append(self._waiting.pop(len(self._index)))
            if self._end - self._flushed >= WRITEBACK_BYTES:
                files.start_writeback(self._fd)
                self._flushed = self._end

    def _append(self, data: bytes) -> None:
        header = member_header(fmt.image_file(self._folder, len(self._index)), len(data))
        parts = [header, data, bytes(_padded(len(data)) - len(data))]
        size = sum(map(len, parts))
        written = os.writev(self._fd, parts)
        if written < size:  # the disk is full, or a signal came: the next call says which
            files.write_all(self._fd, b"".join(parts)[written:])
        self._index.append((self._end + BLOCK, len(data)))
        self._end += size

    def finish(self) -> None:
        """Write the tar's end and its index, and close it; does not flush them to disk."""
        assert not self._waiting, "an image without its predecessor"
        files.write_all(self._fd, END)
        self.close()
        files.write_file(self._index_path, index_bytes(self._index))

    def close(self) -> None:
        """Close the tar as it is."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def index_bytes(index: object) -> bytes:
    """The content of an index file, from (frames, 2) numbers."""
    array = np.asarray(index, "<i8").reshape(-1, 2)
    return npy_header("<i8", array.shape) + array.tobytes()


class _Content(NamedTuple):
    """What the headers of a tar say.

    Attributes:
        places: frame -> offset and size of its image.
        problems: one line each, without the tar's path.
    """

    places: dict[int, tuple[int, int]]
    problems: tuple[str, ...] = ()


class ImageTar:
    """Reads a camera's images from a tar.

    Args:
        run: the run's folder.
        folder: the camera's folder, e.g. `RGB`.
    """

    storage = TAR

    def __init__(self, run: Path, folder: str):
        self._folder = folder
        self.path = run / fmt.tar_file(folder)
        self.index_path = run / fmt.index_file(folder)
        self._scanned: Optional[_Content] = None

    def where(self, name: str) -> str:
        """Tar and member, for messages."""
        return f"{self.path}: {name}"

    def _open(self) -> BinaryIO:
        return files.open_regular(self.path, "; see dataset.py verify", follow=False)

    @functools.cached_property
    def _indexed(self) -> Optional[_Content]:
        """The content by the index; None if the index is missing or cannot be that of this tar."""
        try:
            data = files.read_small(self.index_path, follow=False)
        except DataError:
            return None
        frames = max(0, len(data) - 128) // 16
        if data[:128] != npy_header("<i8", (frames, 2)) or len(data) != 128 + 16 * frames:
            return None
        index = np.frombuffer(data, "<i8", offset=128).reshape(frames, 2)
        starts, sizes = index[:, 0], index[:, 1]
        if frames and not ((sizes >= 0) & (sizes <= files.SMALL) & (starts >= BLOCK)).all():
            return None
        ends = np.sort(starts + -(-sizes // BLOCK) * BLOCK)
        if not (np.sort(starts) == np.concatenate([[0], ends[:-1]])[:frames] + BLOCK).all():
            return None  # members that the index does not have are between those that it has
        with self._open() as tar:
            if not _is_end(tar, int(ends[-1]) if frames else 0):
                return None
            last = int(starts.argmax()) if frames else 0
            if frames and _read(tar, fmt.image_file(self._folder, last), *map(int, index[last])) is None:
                return None  # the zeros begin before it
        return _Content(dict(enumerate(map(tuple, index.tolist()))))

    def scan(self) -> _Content:
        """The content by the tar's headers.

        Raises:
            DataError: the tar cannot be read.
        """
        if self._scanned is None:
            try:
                with self._open() as tar:
                    self._scanned = _scan(tar, self._folder)
            except OSError as error:
                raise files.read_error(self.path, error) from error
        return self._scanned

    def _content(self) -> _Content:
        return self._indexed or self.scan()

    def exists(self) -> bool:
        """Whether the run has this camera."""
        return True  # `ImageStore` looked

    def names(self) -> list[str]:
        """Paths of the images in the run, in order.

        Raises:
            DataError: the tar cannot be read.
        """
        return [
            fmt.image_file(self._folder, number)
            for number in sorted((self._scanned or self._content()).places)
        ]

    def read(self, name: str) -> bytes:
        """The bytes of an image.

        Raises:
            DataError: the tar cannot be read or does not have the image.
        """
        number = fmt.image_number(self._folder, name)
        with self._open() as tar:
            for content in (self._content, self.scan):
                place = content().places.get(-1 if number is None else number)
                data = None if place is None else _read(tar, name, *place)
                if data is not None:
                    return data
        raise DataError(f"{self.where(name)}: missing; see dataset.py verify")

    def state(self) -> str:
        """Text that changes with the file: name, size and modification time."""
        try:
            state = os.lstat(self.path)
        except OSError as error:
            raise files.read_error(self.path, error, "; see dataset.py verify") from error
        return f"{self.path.name} {state.st_size} {state.st_mtime_ns}\n"

    def problems(self) -> list[str]:
        """What is wrong with tar and index, one line each; each member's header is read."""
        try:
            content = self.scan()
        except DataError as error:
            return [str(error)]
        if content.problems:
            return [f"{self.path}: {problem}" for problem in content.problems]
        return [] if not self.is_whole() or self.index_fits() else [self._index_problem()]

    def _index_problem(self) -> str:
        state = "does not fit its tar" if os.path.lexists(self.index_path) else "missing"
        return f"{self.index_path}: {state}; dataset.py repair writes it again"

    def index_fits(self) -> bool:
        """Whether the index says what the tar's headers say."""
        return self._indexed is not None and self._indexed.places == self.scan().places

    def index_from_headers(self) -> bytes:
        """The content of the index file that fits the tar."""
        return index_bytes([place for _, place in sorted(self.scan().places.items())])

    def is_whole(self) -> bool:
        """Whether the tar is undamaged and has an image for each frame up to its last."""
        with contextlib.suppress(DataError):
            content = self.scan()
            return not content.problems and len(content.places) == max(content.places, default=-1) + 1
        return False

    def file_names(self) -> list[str]:
        """Names of the tar (also if it is missing) and, if it is there, its index."""
        indexes = [self.index_path.name] if os.path.lexists(self.index_path) else []
        return [self.path.name, *indexes]


def _read(tar: BinaryIO, name: str, offset: int, size: int) -> Optional[bytes]:
    """The data of a member at its place; None if another member is there."""
    try:
        data = os.pread(tar.fileno(), BLOCK + size, offset - BLOCK)
    except OSError as error:
        raise files.read_error(tar.name, error) from error
    header = data[:BLOCK]
    same = _text(header) == name and _number(header[_SIZE]) == size and header[_TYPE] in _FILE_TYPES
    return data[BLOCK:] if same and len(data) == BLOCK + size else None


def _text(header: bytes) -> str:
    return header[_NAME].split(b"\0", 1)[0].decode("utf-8", "replace")


def _number(field: bytes) -> int:
    """The value of an octal field; -1 if it is none."""
    digits = field.strip(b" \0")
    return int(digits, 8) if digits and not digits.strip(b"01234567") else -1


def _is_header(header: bytes) -> bool:
    total = sum(header) - sum(header[_CHECKSUM]) + 8 * 32
    return header[_MAGIC] == b"ustar" and _number(header[_CHECKSUM]) == total and _number(header[_SIZE]) >= 0


def _is_end(tar: BinaryIO, at: int) -> bool:
    """Whether a tar has zeros from an offset to its end, and enough of them."""
    left = os.fstat(tar.fileno()).st_size - at
    return len(END) <= left <= _LONGEST_END and not any(os.pread(tar.fileno(), left, at))


def _scan(tar: BinaryIO, folder: str) -> _Content:
    """Read the headers of a tar, up to the first damage."""
    fd, total = tar.fileno(), os.fstat(tar.fileno()).st_size
    places: dict[int, tuple[int, int]] = {}
    problems = []
    at, last = 0, "its beginning"
    while True:
        header = os.pread(fd, BLOCK, at)
        if not any(header):
            if _is_end(tar, at):
                return _Content(places, tuple(problems))
            header = b""
        if len(header) < BLOCK:
            problems.append(f"is cut at byte {total}, after {last}; see dataset.py repair")
            return _Content(places, tuple(problems))
        if not _is_header(header):
            problems.append(f"is damaged at byte {at}, after {last}; see dataset.py repair")
            return _Content(places, tuple(problems))
        name, size = _text(header), _number(header[_SIZE])
        shown = files.printable(name)
        number = fmt.image_number(folder, name)
        if number is None or header[_TYPE] not in _FILE_TYPES:
            problems.append(f"has a foreign member {shown!r}; see dataset.py repair")
        elif number in places:
            problems.append(f"has the member {shown} twice; see dataset.py repair")
        elif size > files.SMALL:
            problems.append(f"{shown} is larger than the {files.SMALL:,} bytes that an image may have")
        elif at + BLOCK + size <= total:
            places[number] = (at + BLOCK, size)
        if at + BLOCK + _padded(size) > total:
            problems.append(f"is cut at byte {total}, in {shown}; see dataset.py repair")
            return _Content(places, tuple(problems))
        at, last = at + BLOCK + _padded(size), shown
