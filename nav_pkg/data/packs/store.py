"""The two files of a pack: paths, metadata, verification and removal.

`<cache>/<height>x<width>/<key[:2]>/<key>.npy` is an ordinary array. `<key>.json` beside it describes the
array and is written last. A pack without a matching .json is invalid.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterator, Optional

import numpy as np

from nav_pkg.config import paths
from nav_pkg.core import DataError
from nav_pkg.data import files
from nav_pkg.data.resize import RESIZE


class PackDamaged(Exception):
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
        self.metadata_path = self.folder / f"{key}.json"
        self.shape = (frames, *self.size, 3)
        self.frame_bytes = int(np.prod(self.shape[1:]))
        self.bytes = frames * self.frame_bytes

    def read_metadata(self) -> Optional[dict]:
        """Read the .json and check that the array's header and length match it.

        Returns:
            The entries of the .json; None if the pack does not exist.

        Raises:
            PackDamaged: files exist, but they are not a complete pack.
        """
        if not self.metadata_path.exists():
            if self.path.exists():
                raise PackDamaged(f"{self.path}: was not finished")
            return None
        try:
            metadata = files.read_json(self.metadata_path)
            expected = {"frames": self.frames, "size": list(self.size), "resize": RESIZE}
            if any(metadata.get(name) != value for name, value in expected.items()):
                raise PackDamaged(f"{self.metadata_path}: does not fit the images")
            if not isinstance(metadata.get("crc32"), list) or len(metadata["crc32"]) != self.frames:
                raise PackDamaged(f"{self.metadata_path}: damaged")
            with self.open() as stream:
                actual, expected = os.fstat(stream.fileno()).st_size, stream.tell() + self.bytes
            if actual != expected:
                raise PackDamaged(f"{self.path}: {actual} bytes instead of {expected}")
        except DataError as error:
            raise PackDamaged(str(error)) from error
        except OSError as error:
            raise PackDamaged(
                f"{self.path}: cannot read: {(error.strerror or str(error)).lower()}"
            ) from error
        return metadata

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the array's file and seek to the first byte after the header; a context manager.

        Raises:
            PackDamaged: the header does not match this array.
        """
        with files.open_regular(self.path) as stream:
            start = stream.read(10)  # .npy format 1.0; compared as text because numpy evaluates the header
            header = stream.read(int.from_bytes(start[8:], "little"))
            expected = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {self.shape}, }}"
            if start[:8] != b"\x93NUMPY\x01\x00" or header.strip() != expected.encode():
                raise PackDamaged(f"{self.path}: the header is damaged")
            yield stream

    def frame_reader(self, metadata: dict, stream: BinaryIO) -> Callable[[int], bytes]:
        """Return a function that reads the bytes of frame `i` and compares them with its CRC.

        Args:
            metadata: the entries of the .json.
            stream: from `open`. While it is open, any thread may call the function.
        """
        descriptor, start, crcs = stream.fileno(), stream.tell(), metadata["crc32"]

        def read(i: int) -> bytes:
            data = os.pread(descriptor, self.frame_bytes, start + i * self.frame_bytes)
            if len(data) != self.frame_bytes or zlib.crc32(data) != crcs[i]:
                raise PackDamaged(f"{self.path}: frame {i} is damaged (its CRC differs)")
            return data

        return read

    def file_state(self) -> list[int]:
        """Size, modification time and inode of the array's file; they change when the file changes."""
        state = os.stat(self.path)
        return [state.st_size, state.st_mtime_ns, state.st_ino]

    def write_metadata(self, crcs: list[int], file_state: list[int]) -> None:
        """Write the .json: this makes the pack valid and records the file_state of the verified file.

        Args:
            crcs: CRC-32 of each frame.
            file_state: of the array's file when it was verified.

        Raises:
            DataError: the file system refuses.
        """
        metadata: dict[str, Any] = {
            "frames": self.frames,
            "size": self.size,
            "resize": RESIZE,
            "bytes": self.bytes,
            "crc32": crcs,
            "verified": file_state,
        }
        files.atomic_write(self.metadata_path, files.to_json(metadata), paths.cache_variable(self.cache))

    def invalidate(self) -> None:
        """Remove the .json; the pack is then made again."""
        with contextlib.suppress(OSError):
            self.metadata_path.unlink()

    def temporary_files(self) -> list[Path]:
        """Temporary files of unfinished arrays, from the lock's holder or from killed processes."""
        return sorted(self.folder.glob(f".{self.key}.*.tmp"))

    def temporary_state(self) -> list:
        """Inode, size and modification time of the temporary files; they change while a process writes."""
        with contextlib.suppress(OSError):
            states = [path.stat() for path in self.temporary_files()]
            return [(state.st_ino, state.st_size, state.st_mtime_ns) for state in states]
        return []

    def remove(self) -> int:
        """Remove the pack (its .json first) and its temporary files; the caller holds the lock.

        Returns:
            Size of the array's file in bytes; 0 if it did not exist.

        Raises:
            DataError: the file system refuses.
        """
        try:
            size = self.path.stat().st_size if self.path.exists() else 0
            for path in (self.metadata_path, self.path, *self.temporary_files()):
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
        except OSError as error:
            raise DataError(
                f"{self.path}: cannot remove: {(error.strerror or str(error)).lower()}; check its rights"
            ) from error
        return size
