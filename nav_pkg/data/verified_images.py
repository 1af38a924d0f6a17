"""Checks that a run's colour images are the committed ones: hashed once, then by names, sizes and times.

Hashing every image at every start would cost more than training on them does. So what was compared
with sha256sums.txt is remembered together with a digest of what the file system says about the
files; as long as that stays the same, so do the images.
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
    """The colour images that a run's commit lists, compared with those that are there.

    Args:
        run: the run.
        camera: `left` or `right` for a side camera's images; empty for the first camera's.

    Attributes:
        run: the run.
        camera: whose images these are.
        sums: SHA-256 of each image, in order of frames.
        size: height and width that run.json states; None where it states none.
        manifest_sha256: SHA-256 of the lines of sha256sums.txt that list them, hex.

    Raises:
        DataError: the sums are missing or not those of the commit, or the run has no colour images.
    """

    def __init__(self, run: Run, camera: str = ""):
        self.run, self.camera = run, camera
        commit.refuse_link(self._folder)
        self.size = run.image_size(fmt.side_sensor(camera) if camera else "rgb")
        self.sums, self._lines = _read_sums(run, self._file)
        self.manifest_sha256 = hashlib.sha256(self._lines).hexdigest()

    def __len__(self) -> int:
        return len(self.sums)

    def _file(self, i: int) -> str:
        """Path of image `i` within the run."""
        return fmt.side_file(self.camera, i) if self.camera else fmt.rgb_file(i)

    @property
    def _folder(self) -> Path:
        return self.run.path / Path(self._file(0)).parent

    def key(self, size: tuple[int, int]) -> str:
        """What identifies these images at a size (height, width): SHA-256, hex."""
        text = f"{RESIZE}\n{size[0]}x{size[1]}\n".encode() + self._lines
        return hashlib.sha256(text).hexdigest()

    @functools.cached_property
    def digest(self) -> str:
        """Of the names, sizes and times of modification of the files that are there: SHA-256, hex.

        Raises:
            DataError: an image lacks or is surplus.
        """
        folder = self._folder
        found = {}
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    about = entry.stat(follow_symlinks=False)
                    if not entry.is_file(follow_symlinks=False):
                        raise DataError(f"{entry.path}: is not a file of its own; see dataset.py verify")
                    found[entry.name] = (about.st_size, about.st_mtime_ns)
        except FileNotFoundError:
            pass  # also an entry that was removed meanwhile; told below
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DataError(f"{folder}: cannot read: {reason}; see dataset.py verify") from error
        names = [Path(self._file(i)).name for i in range(len(self))]
        lacking = [name for name in names if name not in found]
        if lacking:
            raise DataError(f"{folder / lacking[0]}: missing; see dataset.py verify")
        if len(found) > len(names):
            surplus = min(set(found) - set(names))
            raise DataError(f"{folder / surplus}: belongs to no frame; see dataset.py verify")
        text = "".join(f"{name} {found[name][0]} {found[name][1]}\n" for name in names)
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, i: int) -> bytes:
        """The bytes of image `i`, compared with its sum.

        Raises:
            DataError: it cannot be read, or is not the one of the commit.
        """
        path = f"{self.run.path}/{self._file(i)}"
        data = files.read_small(path, remedy="; see dataset.py verify", follow=False)
        if hashlib.sha256(data).digest() != self.sums[i]:
            raise DataError(f"{path}: changed since its commit; see dataset.py verify")
        return data

    def decode(self, i: int, size: tuple[int, int]) -> np.ndarray:
        """Image `i`, compared with its sum, at a size: uint8 (*size, 3).

        Raises:
            DataError: as `read`, or the image was damaged before its commit already.
        """
        data = self.read(i)
        try:
            return decode_resized(data, size, self.size)
        except DataError as error:
            path = self.run.path / self._file(i)
            raise DataError(f"{path}: {error}; see dataset.py verify") from error

    def _record(self, cache: Path) -> Path:
        place = os.path.realpath(self._folder if self.camera else self.run.path)
        return cache / "seen" / f"{hashlib.sha256(os.fsencode(place)).hexdigest()}.json"

    def known(self, cache: Path) -> bool:
        """Whether a cache remembers that these very files were compared with these sums."""
        digest = self.digest  # of the files before they are compared: a later change then shows
        with contextlib.suppress(DataError):
            seen = files.read_json(self._record(cache), limit=1 << 20)
            return seen.get("listed") == self.manifest_sha256 and seen.get("digest") == digest
        return False

    def forget(self, cache: Path) -> None:
        """Take back what `remember` noted."""
        with contextlib.suppress(OSError):
            self._record(cache).unlink()

    def remember(self, cache: Path) -> None:
        """Note in a cache that all images were compared; no harm is done where it can't be written."""
        path = self._record(cache)
        facts = {"run": str(self.run.path.resolve()), "listed": self.manifest_sha256, "digest": self.digest}
        with contextlib.suppress(OSError, DataError):
            path.parent.mkdir(parents=True, exist_ok=True)
            files.atomic_write(path, files.to_json(facts))


def _read_sums(run: Run, file_of: Callable[[int], str]) -> tuple[list[bytes], bytes]:
    """The sums of a camera's images in order, and their lines of sha256sums.txt."""
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
