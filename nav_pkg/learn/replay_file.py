"""The replay buffer's images on disk: segments, written once, that a checkpoint refers to.

A segment holds the images that came since the last checkpoint, one after the other. It is written before the
checkpoint that names it and removed after the first one that does not, so that whichever checkpoint is
on disk finds all its images.
"""

from __future__ import annotations

import contextlib
import zlib
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import torch

from nav_pkg.core import DataError
from nav_pkg.data.files import atomic_write, disk_error
from nav_pkg.learn.replay import ReplayBuffer

FOLDER = "replay"
_SUFFIX = ".u8"


class Segments:
    """The segments of a buffer.

    Args:
        folder: the log folder; segments lie in `replay` below it.
        named: what a checkpoint said (`state()`); None at the beginning.
    """

    def __init__(self, folder: Path, named: Any = None):
        self._folder = folder / FOLDER
        self._named: List[Dict[str, Any]] = list(named or [])

    def write(self, buffer: ReplayBuffer) -> None:
        """Write what the buffer holds and no segment does.

        Raises:
            DataError: the file system does not take it.
        """
        held = buffer.frames
        named = [one for one in self._named if np.isin(one["frames"].numpy(), held).any()]
        if sum(len(one["frames"]) for one in named) > 2 * len(held) + 1000:
            named = []  # mostly of frames that are gone: begin anew with one segment
        known = np.concatenate([np.zeros(0, np.int64), *[one["frames"].numpy() for one in named]])
        fresh = np.setdiff1d(held, known)
        if len(fresh):
            pixels = np.empty((len(fresh), *buffer.image_shape), np.uint8)
            buffer.gather(fresh, pixels)
            name = f"{buffer.arrived:09d}{_SUFFIX}"
            if any(one["name"] == name for one in self._named):
                name = f"{buffer.arrived:09d}_{len(fresh)}{_SUFFIX}"
            content = memoryview(pixels).cast("B")
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise disk_error(self._folder, error, "--summary_dir") from error
            atomic_write(self._folder / name, content, "--summary_dir")
            named.append({"name": name, "frames": torch.from_numpy(fresh), "crc": zlib.crc32(content)})
        self._named = named

    def state(self) -> List[Dict[str, Any]]:
        """What a checkpoint has to say of them."""
        return self._named

    def clean(self) -> None:
        """Remove the segments that the checkpoint just written does not name."""
        kept = {one["name"] for one in self._named}
        if self._folder.is_dir():
            for file in self._folder.iterdir():
                if file.name not in kept:
                    with contextlib.suppress(OSError):  # only room is lost; the next checkpoint tries again
                        file.unlink()

    def read(self, buffer: ReplayBuffer, state: Dict[str, Any]) -> None:
        """Fill a buffer with the frames of its `state()`.

        Raises:
            DataError: a segment is missing, cut short or changed.
        """
        images: Dict[int, np.ndarray] = {}
        size = int(np.prod(buffer.image_shape))
        for one in self._named:
            file = self._folder / one["name"]
            remedy = "start anew with --owr, or copy the log folder again"
            try:
                content = file.read_bytes()
            except OSError as error:
                raise DataError(f"{file}: cannot read ({error.strerror}): {remedy}") from error
            if len(content) != size * len(one["frames"]) or zlib.crc32(content) != one["crc"]:
                raise DataError(f"{file}: damaged part of the replay buffer: {remedy}")
            pixels = np.frombuffer(content, np.uint8).reshape(-1, *buffer.image_shape)
            images.update(zip(one["frames"].tolist(), pixels))
        buffer.restore(state, images)
