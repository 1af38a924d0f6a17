"""The frames of a split: images in packs, labels in memory, and the transfer of a batch to the device.

Frames are numbered in order through all runs of the split. Images stay in their packs, uint8 at the
network's input size, until a batch needs them.
"""

from __future__ import annotations

import mmap
import os
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Iterator, Optional, Sequence

import numpy as np
import torch

from nav_pkg.core import DataError
from nav_pkg.machine import available_memory

_PORTION = 8
"""Images copied at once on the CPU: 0.4 MB for a small network, 1.2 MB for a large one."""

_GPU_SHARE = 0.5
"""Largest share of the GPU's free memory that images may take; the network needs the rest."""


class Samples:
    """The frames of a split.

    Learning uses `yaw`, `image_shape`, `gather`, `recent` and `first_of`. A replay buffer
    (`nav_pkg.learn.online.replay`), whose frames come and go, implements the same.

    Args:
        images: for each run, uint8 (frames, height, width, 3), RGB, at the network's input size. Memory
            maps are read from their files instead: mapped pages would count as this process's memory, up to
            the size of the packs, and mapping them takes as long as reading.
        yaw: for each run, float64 (frames,), the labels, rad/s.
        names: the runs' names, for messages.
        subsample: learn from every n-th frame of each run, starting with its first. All frames are kept: the
            frames before a frame do not change.

    Attributes:
        yaw: float64 (frames,), all runs' labels.
        starts: int64 (runs + 1,), the number of each run's first frame, then the total number of frames.
        frames: int64 (samples,), the frames to learn from.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        yaw: Sequence[np.ndarray],
        names: Sequence[str] = (),
        subsample: int = 1,
    ):
        self.images = list(images)
        self.names = list(names) or [str(i) for i in range(len(self.images))]
        lengths = [len(labels) for labels in yaw]
        if lengths != [len(run) for run in self.images]:
            raise ValueError(f"{lengths} labels for {[len(run) for run in self.images]} images")
        self.yaw = np.concatenate([np.zeros(0), *[np.asarray(labels, np.float64) for labels in yaw]])
        self.starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        picked = [np.arange(first, end, subsample) for first, end in zip(self.starts, self.starts[1:])]
        self.frames = np.concatenate([np.zeros(0, np.int64), *picked])
        # a slice of a memory map does not hold its offset in the file
        whole = [isinstance(run, np.memmap) and isinstance(run.base, mmap.mmap) for run in self.images]
        self._files = [
            os.open(run.filename, os.O_RDONLY) if mapped else None for run, mapped in zip(self.images, whole)
        ]
        weakref.finalize(self, _close, self._files)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def lengths(self) -> np.ndarray:
        """Frames of each run: int64 (runs,)."""
        return np.diff(self.starts)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and channels of an image."""
        return self.images[0].shape[1:]

    @property
    def image_bytes(self) -> int:
        """Total size of all images, bytes."""
        return sum(int(np.prod(run.shape)) for run in self.images)

    def run_of(self, frames: np.ndarray) -> np.ndarray:
        """The run that each frame belongs to: int64, the shape of `frames`."""
        return np.searchsorted(self.starts, frames, side="right") - 1

    def recent(self, frames: np.ndarray, count: int) -> np.ndarray:
        """Each frame with the frames before it, as a network sees them in flight.

        Args:
            frames: int64 (batch,).
            count: frames that the network takes.

        Returns:
            int64 (batch, count), oldest first. At a run's start the run's first frame stands in for missing
            frames. Frames of other runs never appear.
        """
        past = np.arange(count - 1, -1, -1)
        return np.maximum(frames[:, None] - past, self.first_of(frames)[:, None])

    def first_of(self, frames: np.ndarray) -> np.ndarray:
        """The first frame of each frame's run: int64, the shape of `frames`."""
        return self.starts[self.run_of(frames)]

    def gather(self, frames: np.ndarray, out: np.ndarray) -> None:
        """Copy images.

        Args:
            frames: int64 (n,).
            out: uint8 (n, height, width, 3), C-contiguous; filled.
        """
        runs = self.run_of(frames)
        rows = (frames - self.starts[runs]).tolist()
        images, files, size = self.images, self._files, out[0].nbytes
        flat = memoryview(out).cast("B")
        runs, place = runs.tolist(), 0
        while place < len(rows):
            run, row, end = runs[place], rows[place], place + 1
            while end < len(rows) and rows[end] == row + end - place and runs[end] == run:
                end += 1  # read consecutive frames at once
            if files[run] is None:
                out[place:end] = images[run][row : row + end - place]
            else:
                target = flat[place * size : end * size]
                if os.preadv(files[run], [target], images[run].offset + row * size) != len(target):
                    raise DataError(
                        f"{images[run].filename}: was cut while it was in use; run the same command again"
                    )
            place = end

    def in_memory(self, tick: Callable[[int], None] = lambda frames: None) -> Samples:
        """Copy the images into memory and return the same samples with these copies.

        Args:
            tick: called with the number of frames just copied; may raise to stop.

        Raises:
            DataError: the free memory is not enough.
        """
        needed, free = self.image_bytes, available_memory()
        if free is not None and needed > free:
            raise DataError(
                f"--load_data_in_ram: {self.starts[-1]} frames take {needed / 1e9:.1f} GB of memory, "
                f"{free / 1e9:.1f} GB are free: leave it out (images are then read from the pack)"
            )
        copies = []
        for first, end in zip(self.starts, self.starts[1:]):
            copy = np.empty((end - first, *self.image_shape), np.uint8)
            for begin in range(0, len(copy), 256):
                part = copy[begin : begin + 256]
                self.gather(np.arange(first + begin, first + begin + len(part)), part)
                tick(len(part))
            copies.append(copy)
        copied = Samples(copies, np.split(self.yaw, self.starts[1:-1]), self.names)
        copied.frames = self.frames
        return copied


def _close(files: Sequence[Optional[int]]) -> None:
    for file in files:
        if file is not None:
            os.close(file)


class BatchLoader:
    """Brings images of samples to a device, as uint8.

    On a GPU, all images are put into its memory if they fit. If not, a thread copies the next batch to pinned
    memory during the computation of the current batch. On the CPU, images are copied on request, a portion at
    a time: a thread would take processor time from the computation.

    Args:
        samples: source of the images.
        device: torch device.
        resident: whether to put all images into the device's memory; None: on a GPU, if they take at
            most half of its free memory.
        ahead: whether a thread copies the next batch; None: on a GPU.
    """

    def __init__(
        self,
        samples: Samples,
        device: str = "cpu",
        resident: Optional[bool] = None,
        ahead: Optional[bool] = None,
    ):
        self._samples, self._device = samples, device
        if resident is None:
            resident = (
                device == "cuda"
                and isinstance(samples, Samples)
                and samples.image_bytes <= _GPU_SHARE * torch.cuda.mem_get_info()[0]
            )
        self._resident = _upload(samples, device) if resident else None
        self._pool = ThreadPoolExecutor(1) if (device == "cuda" if ahead is None else ahead) else None
        self._next: Optional[tuple[np.ndarray, Future]] = None
        # Two buffers, used in turn: new memory costs as much as the copy, and the GPU may still read one
        # buffer while the other is filled.
        self._buffers: list[Optional[torch.Tensor]] = [None, None]
        self._turn = 0
        self._copied: list[Optional[torch.cuda.Event]] = [None, None]

    def __call__(self, frames: np.ndarray, next_frames: Optional[np.ndarray] = None) -> torch.Tensor:
        """Return the images of some frames.

        Args:
            frames: int64 (n,).
            next_frames: the frames of the next call, if known.

        Returns:
            uint8 (n, height, width, 3) on the device; valid until the call after the next.
        """
        if self._resident is not None:
            return self._resident.index_select(0, on_device(torch.from_numpy(frames), self._device))
        if self._next is not None and np.array_equal(self._next[0], frames):
            pixels = self._next[1].result()
        else:
            self.forget()
            pixels = self._gather(frames)
        self._next = None
        images = self._to_device(pixels)
        if self._pool is not None and next_frames is not None:
            self._next = next_frames, self._pool.submit(self._gather, next_frames)
        return images

    def portions(
        self, frames: np.ndarray, next_frames: Optional[np.ndarray] = None
    ) -> Iterator[torch.Tensor]:
        """Yield the images of some frames in order, one portion after the other.

        On the CPU a portion stays in the processor's cache until it is normalised; elsewhere the portion is
        the whole batch.

        Args:
            frames: int64 (n,).
            next_frames: the frames of the next call, if known.

        Yields:
            uint8 (portion, height, width, 3) on the device; valid until the next portion.
        """
        if self._resident is not None or self._pool is not None:
            yield self(frames, next_frames)
            return
        for begin in range(0, len(frames), _PORTION):
            yield self._gather(frames[begin : begin + _PORTION])

    def forget(self) -> None:
        """Drop a prefetched batch."""
        if self._next is not None:
            self._next[1].result()
            self._next = None

    def close(self) -> None:
        """End the thread and release the images."""
        self.forget()
        if self._pool is not None:
            self._pool.shutdown()
        self._resident = None
        del self._samples
        self._buffers = [None, None]

    def _gather(self, frames: np.ndarray) -> torch.Tensor:
        self._turn = 1 - self._turn
        event = self._copied[self._turn]
        if event is not None:
            event.synchronize()
        buffer = self._buffers[self._turn]
        if buffer is None or len(buffer) < len(frames):
            shape = (len(frames), *self._samples.image_shape)
            buffer = torch.empty(shape, dtype=torch.uint8, pin_memory=self._device == "cuda")
            self._buffers[self._turn] = buffer
        pixels = buffer[: len(frames)]
        self._samples.gather(frames, pixels.numpy())
        return pixels

    def _to_device(self, pixels: torch.Tensor) -> torch.Tensor:
        if self._device != "cuda":
            return pixels
        images = pixels.to(self._device, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        self._copied[self._turn] = event
        return images


def on_device(values: torch.Tensor, device: str) -> torch.Tensor:
    """Copy values to a device, without waiting for a GPU that is still computing."""
    return values.pin_memory().to(device, non_blocking=True) if device == "cuda" else values


def _upload(samples: Samples, device: str) -> torch.Tensor:
    """Copy all images into a device's memory: uint8 (frames, height, width, 3)."""
    everything = torch.empty(
        (int(samples.starts[-1]), *samples.image_shape), dtype=torch.uint8, device=device
    )
    portion = np.empty((256, *everything.shape[1:]), np.uint8)
    for first in range(0, len(everything), len(portion)):
        frames = np.arange(first, min(first + len(portion), len(everything)))
        samples.gather(frames, portion[: len(frames)])
        everything[first : first + len(frames)] = torch.from_numpy(portion[: len(frames)])
    return everything
