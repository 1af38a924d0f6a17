"""The replay buffer's images on disk: segments, written once, that a checkpoint refers to.

Segments hold the images that came since the last checkpoint, one after the other. They are written before
the checkpoint that names them and removed after the first one that does not, so that whichever checkpoint
is on disk finds all its images. A segment is small beside a buffer, so that neither writing nor reading
takes much memory beside the buffer's own.
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
from nav_pkg.learn.replay import ReplayBuffer

FOLDER = "replay"
_SUFFIX = ".u8"
_SEGMENT = 64 << 20
"""Most bytes of a segment (of one image, where that is larger)."""
_REMEDY = "start anew with --owr, or copy the log folder again"


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
            named = []  # mostly of frames that are gone: begin anew
        known = np.concatenate([np.zeros(0, np.int64), *[one["frames"].numpy() for one in named]])
        fresh = np.setdiff1d(held, known)
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
        """Names of files that the checkpoint on disk does not name."""
        taken = {one["name"] for one in self._named}
        names = (f"{arrived:09d}_{number:03d}{_SUFFIX}" for number in itertools.count())
        return (name for name in names if name not in taken)

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
        buffer.restore(state)
        missing = set(buffer.frames.tolist())
        size = int(np.prod(buffer.image_shape))
        for one in self._named:
            file, frames = self._folder / one["name"], one["frames"].numpy()
            content = read_small(file, size * len(frames), f": {_REMEDY}")
            if len(content) != size * len(frames) or zlib.crc32(content) != one["crc"]:
                raise DataError(f"{file}: damaged part of the replay buffer: {_REMEDY}")
            held = np.isin(frames, buffer.frames)
            pixels = np.frombuffer(content, np.uint8).reshape(-1, *buffer.image_shape)
            buffer.put(frames[held], pixels[held] if not held.all() else pixels)
            missing -= set(frames.tolist())
        if missing:
            raise DataError(
                f"{self._folder}: lacks the images of {len(missing)} frames of the replay buffer: {_REMEDY}"
            )
