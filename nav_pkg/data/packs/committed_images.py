"""Verify a run's colour images against its commit: hash them once, later compare names, sizes and times.

Hashing every image at every start would cost more than training on them. After a verification against
sha256sums.txt, the cache therefore stores a digest of the files' names, sizes and modification times.
While this digest is unchanged, the images count as verified.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from pathlib import Path
from typing import Callable

import numpy as np

from nav_pkg.core import DataError
from nav_pkg.data import commit, files
from nav_pkg.data import format as fmt
from nav_pkg.data.reader import Run
from nav_pkg.data.resize import RESIZE, decode_resized


class CommittedImages:
    """The colour images of one camera of a run, verified against the run's commit.

    Args:
        run: the run.
        camera: `left` or `right` for a side camera; empty for the first camera.

    Attributes:
        run: the run.
        camera: the camera, as above.
        sums: SHA-256 of each image, in order of frames.
        size: height and width in run.json; None if not stated.
        manifest_sha256: SHA-256 of the lines of sha256sums.txt that list these images, hex.

    Raises:
        DataError: the checksums are missing or changed since the commit, or the run has no colour images.
    """

    def __init__(self, run: Run, camera: str = ""):
        self.run, self.camera = run, camera
        self._images = run.images.camera(Path(self._file(0)).parent.name)
        self.size = run.image_size(fmt.side_sensor(camera) if camera else "rgb")
        self.sums, self._lines = _read_sums(run, self._file)
        self.manifest_sha256 = hashlib.sha256(self._lines).hexdigest()

    def __len__(self) -> int:
        return len(self.sums)

    def _file(self, i: int) -> str:
        """Path of image `i` within the run."""
        return fmt.side_file(self.camera, i) if self.camera else fmt.rgb_file(i)

    def key(self, size: tuple[int, int]) -> str:
        """Key of these images at a size (height, width): SHA-256, hex."""
        text = f"{RESIZE}\n{size[0]}x{size[1]}\n".encode() + self._lines
        return hashlib.sha256(text).hexdigest()

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the names, sizes and modification times of the files on disk: images or a tar.

        Raises:
            DataError: an image is missing, or one belongs to no frame.
        """
        text, present = self._images.state(), set(self._images.names())
        names = [self._file(i) for i in range(len(self))]
        for name in names:
            if name not in present:
                raise DataError(f"{self._images.where(name)}: missing; see dataset.py verify")
        if len(present) > len(names):
            surplus = self._images.where(min(present - set(names)))
            raise DataError(f"{surplus}: belongs to no frame; see dataset.py verify")
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, i: int) -> bytes:
        """Read the bytes of image `i` and compare them with its checksum.

        Raises:
            DataError: the image cannot be read or changed since the commit.
        """
        name = self._file(i)
        data = self._images.read(name)
        if hashlib.sha256(data).digest() != self.sums[i]:
            raise DataError(f"{self._images.where(name)}: changed since its commit; see dataset.py verify")
        return data

    def decode(self, i: int, size: tuple[int, int]) -> np.ndarray:
        """Read, verify, decode and resize image `i`: uint8 (*size, 3).

        Raises:
            DataError: as for `read`, or the image was already damaged at its commit.
        """
        data = self.read(i)
        try:
            return decode_resized(data, size, self.size)
        except DataError as error:
            where = self._images.where(self._file(i))
            raise DataError(f"{where}: {error}; see dataset.py verify") from error

    def _record_path(self, cache: Path) -> Path:
        folder = os.path.realpath(
            self.run.path / fmt.side_folder(self.camera) if self.camera else self.run.path
        )
        return cache / "seen" / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()}.json"

    def is_verified(self, cache: Path) -> bool:
        """Whether the cache records these files, in their present state, as verified with these checksums."""
        digest = self.digest  # computed before the files are verified: later changes are then detected
        with contextlib.suppress(DataError):
            record = files.read_json(self._record_path(cache), limit=1 << 20)
            return record.get("listed") == self.manifest_sha256 and record.get("digest") == digest
        return False

    def forget_verified(self, cache: Path) -> None:
        """Remove the record of `record_verified`."""
        with contextlib.suppress(OSError):
            self._record_path(cache).unlink()

    def record_verified(self, cache: Path) -> None:
        """Record in the cache that all images were verified; a cache that cannot be written is ignored."""
        path = self._record_path(cache)
        record = {"run": str(self.run.path.resolve()), "listed": self.manifest_sha256, "digest": self.digest}
        with contextlib.suppress(OSError, DataError):
            path.parent.mkdir(parents=True, exist_ok=True)
            files.atomic_write(path, files.to_json(record))


def _read_sums(run: Run, file_of: Callable[[int], str]) -> tuple[list[bytes], bytes]:
    """The checksums of a camera's images in order, and their lines of sha256sums.txt."""
    folder = f"{Path(file_of(0)).parent}/".encode()
    sums = commit.read_sums(run.path, run.facts.get("content"))
    lines = [line for line in sums.text.splitlines(keepends=True) if line[66:].startswith(folder)]
    listed = [(line[66:].decode().rstrip("\n"), bytes.fromhex(line[:64].decode())) for line in lines]
    if not listed:
        raise DataError(f"{run.path}: the run has no colour images in {folder.decode()}; leave it out")
    if len(listed) != len(run) or any(name != file_of(i) for i, (name, _) in enumerate(listed)):
        path = run.path / fmt.SUMS_FILE
        raise DataError(f"{path}: does not list one colour image a frame; see dataset.py verify")
    return [sha256 for _, sha256 in listed], b"".join(lines)
