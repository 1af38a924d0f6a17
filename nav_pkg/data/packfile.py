"""A pack on disk: its two files, its lock, writing and verification.

`<cache>/<height>x<width>/<key[:2]>/<key>.npy` is an ordinary array. `<key>.json` beside it describes the
array and is written last. A pack without a matching .json is invalid.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterator, Optional

import numpy as np

from nav_pkg.config import paths
from nav_pkg.core import DataError
from nav_pkg.data import files
from nav_pkg.data.helper import Helper
from nav_pkg.data.resize import RESIZE
from nav_pkg.data.verified_images import CommittedImages
from nav_pkg.locks import open_locked

WRITEBACK = 64
"""Frames between two requests to the kernel to start writeback; this keeps the final flush short."""


class Damaged(Exception):
    """A pack does not match its .json or has no .json; the message is one line that names the file."""


class PackFile:
    """The files of a pack: paths, expected shape, and access to both files.

    Args:
        cache: the folder of all packs.
        key: identifies the images and their size.
        frames: number of images.
        size: height and width, pixels.

    Attributes:
        path: the array's file: uint8 (frames, height, width, 3).
    """

    def __init__(self, cache: Path, key: str, frames: int, size: tuple[int, int]):
        self.cache, self.key, self.frames, self.size = cache, key, frames, tuple(size)
        self.folder = cache / f"{size[0]}x{size[1]}" / key[:2]
        self.path = self.folder / f"{key}.npy"
        self.facts_path = self.folder / f"{key}.json"
        self.shape = (frames, *self.size, 3)
        self.frame_bytes = int(np.prod(self.shape[1:]))
        self.bytes = frames * self.frame_bytes

    def facts(self) -> Optional[dict]:
        """Read the .json and check that the array's header and length match it.

        Returns:
            The entries of the .json; None if the pack does not exist.

        Raises:
            Damaged: files exist, but they are not a complete pack.
        """
        if not self.facts_path.exists():
            if self.path.exists():
                raise Damaged(f"{self.path}: was not finished")
            return None
        try:
            facts = files.read_json(self.facts_path)
            wanted = {"frames": self.frames, "size": list(self.size), "resize": RESIZE}
            if any(facts.get(name) != value for name, value in wanted.items()):
                raise Damaged(f"{self.facts_path}: does not fit the images")
            if not isinstance(facts.get("crc32"), list) or len(facts["crc32"]) != self.frames:
                raise Damaged(f"{self.facts_path}: damaged")
            with self.open() as stream:
                there, whole = os.fstat(stream.fileno()).st_size, stream.tell() + self.bytes
            if there != whole:
                raise Damaged(f"{self.path}: {there} bytes instead of {whole}")
        except DataError as error:
            raise Damaged(str(error)) from error
        except OSError as error:
            raise Damaged(f"{self.path}: cannot read: {(error.strerror or str(error)).lower()}") from error
        return facts

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the array's file and seek to the first byte after the header; a context manager.

        Raises:
            Damaged: the header does not match this array.
        """
        with files.open_regular(self.path) as stream:
            start = stream.read(10)  # .npy format 1.0; compared as text because numpy evaluates the header
            header = stream.read(int.from_bytes(start[8:], "little"))
            wanted = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {self.shape}, }}"
            if start[:8] != b"\x93NUMPY\x01\x00" or header.strip() != wanted.encode():
                raise Damaged(f"{self.path}: the header is damaged")
            yield stream

    def reader(self, facts: dict, stream: BinaryIO) -> Callable[[int], bytes]:
        """Return a function that reads the bytes of frame `i` and compares them with its CRC.

        Args:
            facts: the entries of the .json.
            stream: from `open`. While it is open, any thread may call the function.
        """
        descriptor, start, crcs = stream.fileno(), stream.tell(), facts["crc32"]

        def read(i: int) -> bytes:
            data = os.pread(descriptor, self.frame_bytes, start + i * self.frame_bytes)
            if len(data) != self.frame_bytes or zlib.crc32(data) != crcs[i]:
                raise Damaged(f"{self.path}: frame {i} is damaged (its CRC differs)")
            return data

        return read

    def stamp(self) -> list[int]:
        """Size, modification time and inode of the array's file; they change when the file changes."""
        about = os.stat(self.path)
        return [about.st_size, about.st_mtime_ns, about.st_ino]

    def write_facts(self, crcs: list[int], stamp: list[int]) -> None:
        """Write the .json: this makes the pack valid and records the stamp of the verified file.

        Args:
            crcs: CRC-32 of each frame.
            stamp: of the array's file when it was verified.

        Raises:
            DataError: the file system refuses.
        """
        facts: dict[str, Any] = {
            "frames": self.frames,
            "size": self.size,
            "resize": RESIZE,
            "bytes": self.bytes,
            "crc32": crcs,
            "verified": stamp,
        }
        files.atomic_write(self.facts_path, files.to_json(facts), paths.cache_variable(self.cache))

    def invalidate(self) -> None:
        """Remove the .json; the pack is then made again."""
        with contextlib.suppress(OSError):
            self.facts_path.unlink()

    def leftovers(self) -> list[Path]:
        """Temporary files of unfinished arrays, from the lock's holder or from killed processes."""
        return sorted(self.folder.glob(f".{self.key}.*.tmp"))

    def writer_state(self) -> list:
        """Inode, size and modification time of the temporary files; they change while a process writes."""
        with contextlib.suppress(OSError):
            abouts = [path.stat() for path in self.leftovers()]
            return [(about.st_ino, about.st_size, about.st_mtime_ns) for about in abouts]
        return []

    def remove(self) -> int:
        """Remove the pack (its .json first) and its temporary files; the caller holds the lock.

        Returns:
            Size of the array's file in bytes; 0 if it did not exist.

        Raises:
            DataError: the file system refuses.
        """
        try:
            there = self.path.stat().st_size if self.path.exists() else 0
            for path in (self.facts_path, self.path, *self.leftovers()):
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
        except OSError as error:
            raise DataError(
                f"{self.path}: cannot remove: {(error.strerror or str(error)).lower()}; check its rights"
            ) from error
        return there


@functools.lru_cache(maxsize=1)
def _myself() -> str:
    return socket.gethostname() or "here"


class PackLock:
    """The lock to make or remove one pack; the kernel releases it when the process ends."""

    def __init__(self, path: Path, descriptor: int, sure: bool):
        self._path, self._descriptor = path, descriptor
        self.sure = sure
        """False on a file system without locks: other processes may then write the same pack."""

    @staticmethod
    def path(pack: PackFile) -> Path:
        """Path of the lock file."""
        return pack.folder / f".{pack.key}.lock"

    @staticmethod
    def take(pack: PackFile) -> Optional[PackLock]:
        """Take the lock; None while another process holds it.

        Raises:
            OSError: the file system refuses.
        """
        pack.folder.mkdir(parents=True, exist_ok=True)
        path = PackLock.path(pack)
        opened = open_locked(path)
        if opened is None:
            return None
        with contextlib.suppress(OSError):  # only for the message of waiting processes
            os.ftruncate(opened[0], 0)
            os.write(opened[0], f"process {os.getpid()} on {_myself()}".encode())
        return PackLock(path, *opened)

    @staticmethod
    def holder(pack: PackFile) -> str:
        """Description of the process that holds the lock, for messages."""
        with contextlib.suppress(OSError):
            return PackLock.path(pack).read_text(encoding="utf-8", errors="replace") or "another process"
        return "another process"

    def release(self) -> None:
        """Release the lock."""
        with contextlib.suppress(OSError):
            if self.sure:
                self._path.unlink()
        os.close(self._descriptor)


def write_frame(descriptor: int, place: int, pixels: Any) -> int:
    """Write a frame's bytes at an offset of a file.

    Args:
        descriptor: of the file.
        place: offset of the first byte.
        pixels: uint8 (height, width, 3), C order, or its bytes.

    Returns:
        The CRC-32 of the bytes.

    Raises:
        OSError: the file system refuses.
    """
    view = memoryview(pixels).cast("B")
    crc = zlib.crc32(view)
    while view.nbytes:
        written = os.pwrite(descriptor, view, place)
        view, place = view[written:], place + written
    return crc


class PackWriter:
    """Writes a pack: to a temporary file, which is flushed to disk and renamed; then the .json.

    Args:
        pack: the pack to write.
        lock: the pack's lock; `commit` and `abandon` release it.

    Raises:
        DataError: the file system refuses; the lock is then released.
    """

    def __init__(self, pack: PackFile, lock: PackLock):
        self.pack = pack
        self._lock = lock
        self._crcs = [0] * pack.frames
        self._descriptor = -1
        self._beside = pack.folder / f".{pack.key}.{_myself()}.{os.getpid()}.tmp"
        try:
            for path in pack.leftovers() if lock.sure else ():
                path.unlink()
            with open(self._beside, "wb") as stream:
                header = {"descr": "|u1", "fortran_order": False, "shape": pack.shape}
                np.lib.format.write_array_header_1_0(stream, header)
                self._start = stream.tell()
            self._descriptor = os.open(self._beside, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            self.abandon()
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> DataError:
        return files.disk_error(self.pack.path, error, paths.cache_variable(self.pack.cache))

    def put(self, i: int, pixels: Any) -> None:
        """Write frame `i`; thread-safe.

        Args:
            i: index of the frame.
            pixels: uint8 (height, width, 3), C order, or its bytes.

        Raises:
            DataError: the file system refuses.
        """
        try:
            place = self._start + i * self.pack.frame_bytes
            self._crcs[i] = write_frame(self._descriptor, place, pixels)
            self._begin_writeback(i + 1)
        except OSError as error:
            raise self._failed(error) from error

    def _begin_writeback(self, last: int) -> None:
        if last % WRITEBACK == 0:
            files.start_writeback(self._descriptor)

    def submit(self, helper: Helper, images: CommittedImages, first: int, last: int) -> None:
        """Let a helper process decode and write frames `first` to `last` (exclusive).

        Raises:
            DataError: an image differs from its commit, or the file system refuses.
            HelperLost: the helper process has ended.
        """
        answer = helper.ask(
            {
                "run": str(images.run.path.absolute()),
                "camera": images.camera,
                "manifest_sha256": images.manifest_sha256,
                "size": self.pack.size,
                "file": str(self._beside.absolute()),
                "start": self._start,
                "first": first,
                "last": last,
            }
        )
        if "error" in answer:
            raise DataError(answer["error"])
        if "errno" in answer:
            raise self._failed(OSError(answer["errno"], os.strerror(answer["errno"])))
        self._crcs[first:last] = answer["crc32"]
        self._begin_writeback(last)

    def commit(self) -> None:
        """Flush and rename the pack and write its .json; all frames must have been written.

        Raises:
            DataError: the file system refuses; no file of the pack is left.
        """
        try:
            os.fsync(self._descriptor)
            os.rename(self._beside, self.pack.path)
            try:
                self.pack.write_facts(self._crcs, self.pack.stamp())
            except BaseException:
                self.pack.path.unlink()  # without its .json it only takes up space
                raise
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Remove the temporary file and release the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        with contextlib.suppress(OSError):
            self._beside.unlink()
        if self._lock is not None:
            self._lock.release()
            self._lock = None
