"""The replay buffer of online learning: stores labelled frames and selects those to learn from.

Frames are numbered in the order of their arrival. A number is never reused, and a dropped frame never
returns. A batch is a pure function of the buffer's content, the seed and the number of the gradient step.

A stretch is a sequence of frames of one run and camera with consecutive indices. A network of several
frames gets frames of one stretch only: in flight it would not have seen the frames before a gap.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

import numpy as np

from nav_pkg.core import UsageError
from nav_pkg.learn.action import TURN_THRESHOLD
from nav_pkg.learn.batches.batch_sampler import Windows
from nav_pkg.machine import available_memory

RULES = ("fifo", "hard", "empty")

MEMORY_SHARE = 0.5
"""Largest share of the free memory that a buffer may take; the network and the simulator need the rest."""

_NO_RUN = np.iinfo(np.int64).min
"""Run number of dropped frames in a restored buffer."""

_CHUNK = 256
"""Number of images in one memory allocation."""

_BY_NUMBER = ("_yaw", "_run", "_index", "_loss", "_slot", "_first")
"""The arrays with one entry per frame number."""

_STREAM = 0x5245504C
"""Separates the random draws of replay from those of offline orders with the same seed."""


def frames_that_fit(image_bytes: int) -> Optional[int]:
    """Number of images that a buffer may hold on this machine; None if the free memory is unknown."""
    free = available_memory()
    return None if free is None else max(1, int(MEMORY_SHARE * free) // image_bytes)


class ReplayBuffer:
    """Frames to learn from while flying.

    It implements the part of `Samples` that learning uses: `yaw`, `image_shape`, `gather`, `recent`,
    `first_of`.

    Args:
        capacity: largest number of frames held.
        image_shape: height, width and channels of an image at the network's input size.
        eviction_rule: how a full buffer makes room. `fifo`: drop the oldest frame. `hard`: drop the frame
            with the smallest loss when it was last learned from; frames never learned from stay, unless no
            frame has been learned from, then drop the oldest. `empty`: the learner empties the buffer
            (`clear`) after learning; until then drop the oldest.
        cameras: number of cameras whose images are added in turn; each is a sequence of its own.

    Attributes:
        arrived: total number of frames added.

    Raises:
        UsageError: the rule is unknown, or the capacity is less than one frame.
    """

    def __init__(self, capacity: int, image_shape: tuple[int, ...], rule: str = "fifo", cameras: int = 1):
        if rule not in RULES:
            raise UsageError(f"--buffer_update_rule {rule!r}: must be one of {', '.join(RULES)}")
        if capacity < 1:
            raise UsageError(f"--buffer_size {capacity}: must be 1 or more, or -1 for all that memory holds")
        self.capacity, self.image_shape, self.eviction_rule = capacity, tuple(image_shape), rule
        self.arrived, self._cameras = 0, cameras
        self._chunks: List[np.ndarray] = []
        self._free: List[int] = []
        self._stored = np.zeros(0, np.int64)
        # indexed by frame number; they grow
        self._yaw = np.zeros(0, np.float64)
        self._run = np.zeros(0, np.int64)
        self._index = np.zeros(0, np.int64)
        self._loss = np.zeros(0, np.float64)
        self._slot = np.zeros(0, np.int64)
        self._first = np.zeros(0, np.int64)  # first frame of the stretch, even if dropped

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def frames(self) -> np.ndarray:
        """The frames held: int64 (n,), oldest first."""
        return self._stored

    @property
    def yaw(self) -> np.ndarray:
        """The labels by frame number: float64 (arrived,), rad/s; includes dropped frames."""
        return self._yaw[: self.arrived]

    @property
    def losses(self) -> np.ndarray:
        """Loss of each held frame when it was last learned from: float64 (n,); inf if never."""
        return self._loss[self._stored]

    def add(self, pixels: np.ndarray, yaw: float, run: int, index: int) -> int:
        """Add a frame; drop one first if the buffer is full.

        Args:
            pixels: uint8, of `image_shape`; copied.
            yaw: label, rad/s.
            run: number of the run.
            index: index of the frame within the run.

        Returns:
            The frame's number.
        """
        if len(self) >= self.capacity:
            self._drop(self._eviction_index())
        number = self.arrived
        if number == len(self._yaw):
            self._grow(max(1024, 2 * number))
        slot = self._free.pop() if self._free else self._new_slot()
        self._chunks[slot // _CHUNK][slot % _CHUNK] = pixels
        self._yaw[number], self._run[number], self._index[number] = yaw, run, index
        self._loss[number], self._slot[number] = np.inf, slot
        self._first[number] = self._stretch(number)
        self.arrived += 1
        self._stored = np.append(self._stored, number)
        return number

    def _stretch(self, number: int) -> int:
        """The first frame of a frame's stretch."""
        before = number - self._cameras
        follows = (
            before >= 0
            and self._run[before] == self._run[number]
            and self._index[before] + 1 == self._index[number]
        )
        return int(self._first[before]) if follows else number

    def _grow(self, count: int) -> None:
        for name in _BY_NUMBER:
            old = getattr(self, name)
            new = np.zeros(count, old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)

    def _new_slot(self) -> int:
        slot = len(self._chunks) * _CHUNK
        self._chunks.append(np.empty((_CHUNK, *self.image_shape), np.uint8))
        self._free = list(range(slot + _CHUNK - 1, slot, -1))
        return slot

    def _eviction_index(self) -> int:
        """Index, among the frames held, of the frame to drop."""
        if self.eviction_rule != "hard":
            return 0
        index = int(self.losses.argmin())
        return index if np.isfinite(self._loss[self._stored[index]]) else 0

    def _drop(self, index: int) -> None:
        self._free.append(int(self._slot[self._stored[index]]))
        self._stored = np.delete(self._stored, index)

    def clear(self) -> None:
        """Drop all frames."""
        self._free += self._slot[self._stored][::-1].tolist()
        self._stored = np.zeros(0, np.int64)

    def store_losses(self, frames: np.ndarray, losses: np.ndarray) -> None:
        """Store the losses of frames just learned from: int64 and floating (n,)."""
        self._loss[frames] = losses

    # Input of a network.

    def gather(self, frames: np.ndarray, out: np.ndarray) -> None:
        """Copy images of frames, int64 (n,), to `out`, uint8 (n, height, width, 3)."""
        for place, slot in enumerate(self._slot[frames].tolist()):
            out[place] = self._chunks[slot // _CHUNK][slot % _CHUNK]

    def first_of(self, frames: np.ndarray) -> np.ndarray:
        """The first held frame of each frame's stretch: int64, the shape of `frames`."""
        first = self._first[frames]
        if not len(self):
            return first
        dropped = np.maximum(self._stored[0] - first, 0)
        return first + -(-dropped // self._cameras) * self._cameras

    def recent(self, frames: np.ndarray, count: int) -> np.ndarray:
        """Each frame with those before it, as in `Samples.recent`; `frames` must be `candidates(count)`."""
        past = np.arange(count - 1, -1, -1) * self._cameras
        return np.maximum(frames[:, None] - past, self.first_of(frames)[:, None])

    def candidates(self, count: int = 1) -> np.ndarray:
        """The frames that a network of `count` frames can learn from: int64 (n,).

        A frame is excluded if frames before it, which the network would have seen in flight, were dropped or
        never added. At a run's start no frame comes before; there the run's first frame stands in for them.
        """
        if count <= 1:
            return self._stored
        first = self.first_of(self._stored)
        long = self._stored - first >= (count - 1) * self._cameras
        return self._stored[long | (self._index[first] == 0)]

    # Selection of a batch.

    def batch(
        self,
        size: int,
        seed: int,
        step: int,
        count: int = 1,
        balanced: bool = False,
        priority: str = "no",
    ) -> np.ndarray:
        """Draw the frames of a batch, without repetition unless a class has too few: int64 (size,).

        Args:
            size: number of frames; at most the number of candidates.
            seed: of the draws.
            step: number of the gradient step.
            count: as for `candidates`.
            balanced: draw equally many left turns (yaw above 0.3 rad/s), right turns and frames flown
                straight, as far as all three occur.
            priority: `no`: all frames alike. `loss`: in proportion to the loss when last learned from; a
                frame never learned from counts as the largest (proportional prioritisation, Schaul et al.
                2016).
        """
        random = np.random.RandomState(np.array([seed, _STREAM, step], np.uint32))
        frames = self.candidates(count)
        weights = self._weights(frames) if priority == "loss" else None
        if not balanced:
            return frames[_draw(random, len(frames), size, weights)]
        yaw = self._yaw[frames]
        kinds = [yaw < -TURN_THRESHOLD, np.abs(yaw) <= TURN_THRESHOLD, yaw > TURN_THRESHOLD]
        present = [np.flatnonzero(kind) for kind in kinds if kind.any()]
        shares = [size // len(present)] * len(present)
        for extra in range(size - sum(shares)):
            shares[(step + extra) % len(present)] += 1
        parts = []
        for members, share in zip(present, shares):
            own = None if weights is None else weights[members]
            drawn: List[np.ndarray] = []
            while share > 0:  # repeat a class with too few frames
                drawn.append(_draw(random, len(members), min(share, len(members)), own))
                share -= len(drawn[-1])
            parts += [members[places] for places in drawn]
        return frames[np.concatenate(parts)] if parts else frames[:0]

    def _weights(self, frames: np.ndarray) -> np.ndarray:
        losses = self._loss[frames].copy()
        known = np.isfinite(losses)
        losses[~known] = losses[known].max() if known.any() else 1.0
        return losses + 1e-6

    def windows_held(self, length: int) -> int:
        """Number of windows of a given length that lie in one stretch."""
        return len(self._window_starts(length))

    def windows(self, size: int, length: int, seed: int, step: int) -> Windows:
        """Draw the windows of a batch of a recurrent network, without repetition.

        Args:
            size: number of windows; at most `windows_held(length)`.
            length: frames in each, all of one stretch.
            seed: of the draws.
            step: number of the gradient step.
        """
        random = np.random.RandomState(np.array([seed, _STREAM, step], np.uint32))
        starts = self._window_starts(length)
        first = starts[_draw(random, len(starts), size, None)]
        return Windows(first, np.full(size, length), np.arange(size), step=self._cameras)

    def _window_starts(self, length: int) -> np.ndarray:
        """The frames at which a window can begin: int64 (n,)."""
        lasts = self._stored + (length - 1) * self._cameras
        starts = self._stored[lasts < self.arrived]
        return starts[self._first[lasts[: len(starts)]] <= starts]

    # State for metrics and checkpoints.

    def class_shares(self) -> Dict[str, float]:
        """Shares of right turns, frames flown straight and left turns (three bins) among the frames held."""
        yaw = self._yaw[self._stored]
        count = max(1, len(yaw))
        right, left = float((yaw <= -0.5).sum()) / count, float((yaw > 0.5).sum()) / count
        return {"right": right, "straight": 1 - right - left if len(yaw) else 0.0, "left": left}

    def state(self) -> Dict[str, Any]:
        """The state without the images, as plain values and arrays."""
        kept = self._stored
        return {
            "arrived": self.arrived,
            "capacity": self.capacity,
            "frames": kept.copy(),
            "yaw": self._yaw[kept],
            "run": self._run[kept],
            "index": self._index[kept],
            "loss": self._loss[kept],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a `state()`; the caller then adds the images (`restore_images`)."""
        self.arrived = int(state["arrived"])
        self._chunks, self._free = [], []
        self._stored = np.asarray(state["frames"], np.int64).copy()
        for name in _BY_NUMBER:
            setattr(self, name, np.zeros(0, getattr(self, name).dtype))
        self._grow(max(1024, self.arrived))
        self._run.fill(_NO_RUN)
        for name in ("yaw", "run", "index", "loss"):
            getattr(self, f"_{name}")[self._stored] = state[name]
        for frame in self._stored.tolist():
            self._slot[frame] = self._free.pop() if self._free else self._new_slot()
            self._first[frame] = self._stretch(frame)

    def restore_images(self, frames: np.ndarray, pixels: np.ndarray) -> None:
        """Store the images of held frames, int64 (n,), from uint8 (n, height, width, 3)."""
        for slot, image in zip(self._slot[frames].tolist(), pixels):
            self._chunks[slot // _CHUNK][slot % _CHUNK] = image


def _draw(random: np.random.RandomState, count: int, size: int, weights: Optional[np.ndarray]) -> np.ndarray:
    """Draw `size` different numbers below `count`: int64 (size,), uniformly or in proportion to weights."""
    if weights is not None:
        # the largest keys log w + Gumbel give a draw without replacement (Yellott 1977; Kool et al. 2019)
        keys = np.log(weights) - np.log(-np.log(random.random_sample(count) + 1e-300))
        return np.argsort(-keys, kind="stable")[:size]
    if 4 * size > count:
        return random.permutation(count)[:size].astype(np.int64)
    drawn: Dict[int, None] = {}  # avoids shuffling a large buffer for a few frames
    while len(drawn) < size:
        for number in random.randint(0, count, size - len(drawn)).tolist():
            drawn[number] = None
    return np.fromiter(drawn, np.int64, size)
