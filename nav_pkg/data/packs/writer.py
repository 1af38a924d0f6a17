"""Write a pack: frames in any order, by any number of threads and processes, then one commit.

Every chunk of frames is written by its offset. A worker therefore needs only the name of the file, and
returns only the CRCs of its frames.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import zlib
from pathlib import Path
from typing import Any, Iterator, Sequence

import numpy as np

from nav_pkg.config import paths
from nav_pkg.core import DataError
from nav_pkg.data import files
from nav_pkg.data.packs.committed_images import CommittedImages
from nav_pkg.data.packs.lock import PackLock, host_name
from nav_pkg.data.packs.store import PackFile
from nav_pkg.data.reader import Run

WRITEBACK_BYTES = 3 << 20
"""Bytes between two requests to the kernel to start writeback; this keeps the final flush short."""


@dataclasses.dataclass(frozen=True)
class FrameTask:
    """Decode, resize and write images of a run; the same in a thread and in another process.

    Attributes:
        run: absolute path of the run.
        camera: as of `CommittedImages`.
        manifest_sha256: of the `CommittedImages` that the pack is made for.
        size: height and width, pixels.
        file: absolute path of the file to write.
        offset: byte of the file at which frame 0 begins.
        pack: path of the pack that the file becomes, for errors.
        remedy: environment variable that sets the folder of the packs, for errors.
    """

    run: str
    camera: str
    manifest_sha256: str
    size: tuple[int, int]
    file: str
    offset: int
    pack: str
    remedy: str

    def __call__(self, first: int, last: int) -> list[int]:
        """Process frames `first` to `last` (exclusive) and return their CRC-32.

        Raises:
            DataError: an image differs from its commit, or the file system refuses.
        """
        images = _open_images(self.run, self.camera, self.manifest_sha256)
        frame_bytes, crcs = self.size[0] * self.size[1] * 3, []
        try:
            descriptor = os.open(self.file, os.O_WRONLY | os.O_CLOEXEC)
            try:
                for i in range(first, last):
                    pixels = images.decode(i, self.size)
                    crcs.append(write_at(descriptor, self.offset + i * frame_bytes, pixels))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise files.disk_error(Path(self.pack), error, self.remedy) from error
        return crcs


@functools.lru_cache(maxsize=1)
def _open_images(run: str, camera: str, manifest_sha256: str) -> CommittedImages:
    """The images of the run of the last task; reading its checksums takes as long as many images."""
    images = CommittedImages(Run(run), camera)
    if images.manifest_sha256 != manifest_sha256:
        raise DataError(f"{run}: changed meanwhile; see dataset.py verify")
    return images


def write_at(descriptor: int, offset: int, pixels: Any) -> int:
    """Write a frame's bytes at an offset of a file and return their CRC-32.

    Args:
        descriptor: of the file.
        offset: of the first byte.
        pixels: uint8 (height, width, 3), C order, or its bytes.

    Raises:
        OSError: the file system refuses.
    """
    view = memoryview(pixels).cast("B")
    crc = zlib.crc32(view)
    while view.nbytes:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
    return crc


class PackWriter:
    """Writes a pack to a temporary file, which is flushed to disk and renamed; then its .json.

    Args:
        pack: the pack to write.
        lock: the pack's lock; `commit` and `abort` release it.

    Raises:
        DataError: the file system refuses; the lock is then released.
    """

    def __init__(self, pack: PackFile, lock: PackLock):
        self.pack = pack
        self._lock = lock
        self._crcs = [0] * pack.frames
        self._unsynced_bytes = 0
        self._descriptor = -1
        self._temporary = pack.folder / f".{pack.key}.{host_name()}.{os.getpid()}.tmp"
        try:
            for path in pack.temporary_files() if lock.exclusive else ():
                path.unlink()
            with open(self._temporary, "wb") as stream:
                header = {"descr": "|u1", "fortran_order": False, "shape": pack.shape}
                np.lib.format.write_array_header_1_0(stream, header)
                self._offset = stream.tell()
            self._descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            self.abort()
            raise self._disk_error(error) from error

    def _disk_error(self, error: OSError) -> DataError:
        return files.disk_error(self.pack.path, error, paths.cache_variable(self.pack.cache))

    def task(self, images: CommittedImages) -> FrameTask:
        """The task that decodes and writes frames; report its results with `add`."""
        return FrameTask(
            run=str(images.run.path.absolute()),
            camera=images.camera,
            manifest_sha256=images.manifest_sha256,
            size=self.pack.size,
            file=str(self._temporary.absolute()),
            offset=self._offset,
            pack=str(self.pack.path),
            remedy=paths.cache_variable(self.pack.cache),
        )

    def write(self, i: int, pixels: Any) -> int:
        """Write frame `i` and return its CRC-32; any thread may call it.

        Args:
            i: index of the frame.
            pixels: uint8 (height, width, 3), C order, or its bytes.

        Raises:
            OSError: the file system refuses.
        """
        return write_at(self._descriptor, self._offset + i * self.pack.frame_bytes, pixels)

    def add(self, first: int, crcs: Sequence[int]) -> None:
        """Note the CRC-32 of frames written from `first` on."""
        self._crcs[first : first + len(crcs)] = crcs
        self._unsynced_bytes += len(crcs) * self.pack.frame_bytes
        if self._unsynced_bytes >= WRITEBACK_BYTES:
            files.start_writeback(self._descriptor)
            self._unsynced_bytes = 0

    @contextlib.contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Turn an OSError of a write into the DataError that names the pack and the remedy."""
        try:
            yield
        except OSError as error:
            raise self._disk_error(error) from error

    def commit(self) -> None:
        """Flush and rename the pack and write its .json; all frames must have been written.

        Raises:
            DataError: the file system refuses; no file of the pack is left.
        """
        try:
            with self.translated_errors():
                os.fsync(self._descriptor)
                os.rename(self._temporary, self.pack.path)
                try:
                    self.pack.write_metadata(self._crcs, self.pack.file_state())
                except BaseException:
                    self.pack.path.unlink()  # without its .json it only takes up space
                    raise
        finally:
            self.abort()

    def abort(self) -> None:
        """Remove the temporary file and release the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        with contextlib.suppress(OSError):
            self._temporary.unlink()
        if self._lock is not None:
            self._lock.release()
            self._lock = None
