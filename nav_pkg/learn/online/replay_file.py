"""The replay buffer's images on disk: segments, written once, that a checkpoint refers to.

A segment contains images added since the last checkpoint, in order. Segments are written before the
checkpoint that names them, and removed after the first checkpoint that does not name them: every checkpoint
on disk finds all its images. A segment is small compared with a buffer: writing and reading need little
memory besides the buffer's own.
"""

from __future__ import annotations

import contextlib
import itertools
import zlib
from pathlib import Path
from typing import Any, Dict, Iterator, List

import numpy as np
import torch

from nav_pkg.core import DataError
from nav_pkg.data.files import atomic_write, disk_error, read_small
from nav_pkg.learn.online.replay import ReplayBuffer

FOLDER = "replay"
_SUFFIX = ".u8"
_SEGMENT = 64 << 20
"""Largest size of a segment, bytes (the size of one image, if that is larger)."""
_REMEDY = "start over with --owr, or copy the log folder again"


class ReplaySegments:
    """The segments of a buffer.

    Args:
        folder: the log folder; segments lie in its subfolder `replay`.
        named: the segments that a checkpoint names (`state()`); None for a new buffer.
    """

    def __init__(self, folder: Path, named: Any = None):
        self._folder = folder / FOLDER
        self._named: List[Dict[str, Any]] = list(named or [])

    def write(self, buffer: ReplayBuffer) -> None:
        """Write the buffer's images that no segment contains.

        Raises:
            DataError: writing failed.
        """
        in_buffer = buffer.frames
        named = [segment for segment in self._named if np.isin(segment["frames"].numpy(), in_buffer).any()]
        if sum(len(segment["frames"]) for segment in named) > 2 * len(in_buffer) + 1000:
            named = []  # the segments contain mostly dropped frames: write new ones
        known = np.concatenate([np.zeros(0, np.int64), *[segment["frames"].numpy() for segment in named]])
        fresh = np.setdiff1d(in_buffer, known)
        if len(fresh):
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise disk_error(self._folder, error, "--summary_dir") from error
        portion = max(1, _SEGMENT // int(np.prod(buffer.image_shape)))
        free = self._free_names(buffer.arrived)
        for begin in range(0, len(fresh), portion):
            frames = fresh[begin : begin + portion]
            pixels = np.empty((len(frames), *buffer.image_shape), np.uint8)
            buffer.gather(frames, pixels)
            content, name = memoryview(pixels).cast("B"), next(free)
            atomic_write(self._folder / name, content, "--summary_dir")
            named.append({"name": name, "frames": torch.from_numpy(frames), "crc": zlib.crc32(content)})
        self._named = named

    def _free_names(self, arrived: int) -> Iterator[str]:
        """Generate file names that the checkpoint on disk does not use."""
        taken = {segment["name"] for segment in self._named}
        names = (f"{arrived:09d}_{number:03d}{_SUFFIX}" for number in itertools.count())
        return (name for name in names if name not in taken)

    def state(self) -> List[Dict[str, Any]]:
        """Return the segments for a checkpoint."""
        return self._named

    def clean(self) -> None:
        """Remove the segments that the checkpoint just written does not name."""
        kept = {segment["name"] for segment in self._named}
        if self._folder.is_dir():
            for file in self._folder.iterdir():
                if file.name not in kept:
                    with contextlib.suppress(OSError):  # costs disk space only; the next checkpoint retries
                        file.unlink()

    def read(self, buffer: ReplayBuffer, state: Dict[str, Any]) -> None:
        """Restore a buffer's `state()` and load its images.

        Raises:
            DataError: a segment is missing, cut short or changed.
        """
        buffer.restore(state)
        missing = set(buffer.frames.tolist())
        size = int(np.prod(buffer.image_shape))
        for segment in self._named:
            file, frames = self._folder / segment["name"], segment["frames"].numpy()
            content = read_small(file, size * len(frames), f": {_REMEDY}")
            if len(content) != size * len(frames) or zlib.crc32(content) != segment["crc"]:
                raise DataError(f"{file}: damaged part of the replay buffer: {_REMEDY}")
            in_buffer = np.isin(frames, buffer.frames)
            pixels = np.frombuffer(content, np.uint8).reshape(-1, *buffer.image_shape)
            buffer.restore_images(frames[in_buffer], pixels[in_buffer] if not in_buffer.all() else pixels)
            missing -= set(frames.tolist())
        if missing:
            raise DataError(
                f"{self._folder}: lacks the images of {len(missing)} frames of the replay buffer: {_REMEDY}"
            )
