"""The replay buffer of online learning: frames with their labels, and which of them are learned from.

Frames are numbered in the order of their arrival, for good; a frame that was dropped is never heard of
again. What a batch is made of is a pure function of the buffer's content, the seed and the number of
the gradient step.

Frames that follow each other without a gap (in index, of one run and camera) are a stretch. A net that
sees several frames is shown those of one stretch: what came before a gap is not what it would have seen.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

import numpy as np

from nav_pkg.core import UsageError
from nav_pkg.learn.action import TURN_THRESHOLD
from nav_pkg.learn.order import Windows
from nav_pkg.machine import available_memory

RULES = ("fifo", "hard", "empty")

MEMORY_SHARE = 0.5
"""Most of the free memory that a buffer may take; the rest is the network's and the simulator's."""

_NO_RUN = np.iinfo(np.int64).min
"""Of frames that are gone."""

_CHUNK = 256
"""Images that memory is taken for at once."""

_BY_NUMBER = ("_yaw", "_run", "_index", "_loss", "_slot", "_first")
"""What is known of each frame."""

_STREAM = 0x5245504C
"""Keeps the draws of replay apart from those of offline orders with the same seed."""


def frames_that_fit(image_bytes: int) -> Optional[int]:
    """Images that a buffer may hold on this machine; None where it does not say what memory is free."""
    free = available_memory()
    return None if free is None else max(1, int(MEMORY_SHARE * free) // image_bytes)


class ReplayBuffer:
    """Frames to learn from while flying.

    It answers what learning asks of `Samples`: `yaw`, `image_shape`, `gather`, `recent`, `first_of`.

    Args:
        capacity: most frames that it holds.
        image_shape: height, width and channels of an image at the network's input size.
        rule: what makes room. `fifo`: the oldest frame goes. `hard`: the frame with the smallest loss
            when it was last learned from goes; one that was never learned from stays. `empty`: nothing;
            whoever learns empties it (`clear`), and until then new frames take the place of the oldest.
        cameras: cameras whose images come in turn, each a sequence of its own.

    Attributes:
        arrived: frames that have come since the beginning.

    Raises:
        UsageError: no such rule, or no room for a frame.
    """

    def __init__(self, capacity: int, image_shape: tuple[int, ...], rule: str = "fifo", cameras: int = 1):
        if rule not in RULES:
            raise UsageError(f"--buffer_update_rule {rule!r}: must be one of {', '.join(RULES)}")
        if capacity < 1:
            raise UsageError(f"--buffer_size {capacity}: must be 1 or more, or -1 for all that memory holds")
        self.capacity, self.image_shape, self.rule = capacity, tuple(image_shape), rule
        self.arrived, self._cameras = 0, cameras
        self._chunks: List[np.ndarray] = []
        self._free: List[int] = []
        self._kept = np.zeros(0, np.int64)
        # by number of arrival; they grow
        self._yaw = np.zeros(0, np.float64)
        self._run = np.zeros(0, np.int64)
        self._index = np.zeros(0, np.int64)
        self._loss = np.zeros(0, np.float64)
        self._slot = np.zeros(0, np.int64)
        self._first = np.zeros(0, np.int64)  # the stretch's first frame, held or not

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def frames(self) -> np.ndarray:
        """The frames that are held: int64 (n,), oldest first."""
        return self._kept

    @property
    def yaw(self) -> np.ndarray:
        """The labels by number of arrival: float64 (arrived,), rad/s; also of frames that were dropped."""
        return self._yaw[: self.arrived]

    @property
    def losses(self) -> np.ndarray:
        """The loss of each frame held when it was last learned from: float64 (n,), inf when never."""
        return self._loss[self._kept]

    def add(self, pixels: np.ndarray, yaw: float, run: int, index: int) -> int:
        """Add a frame; makes room first when there is none.

        Args:
            pixels: uint8, of `image_shape`; copied.
            yaw: label, rad/s.
            run: number of the run.
            index: of the frame within the run.

        Returns:
            Its number.
        """
        if len(self) >= self.capacity:
            self._drop(self._victim())
        number = self.arrived
        if number == len(self._yaw):
            self._grow(max(1024, 2 * number))
        slot = self._free.pop() if self._free else self._new_slot()
        self._chunks[slot // _CHUNK][slot % _CHUNK] = pixels
        self._yaw[number], self._run[number], self._index[number] = yaw, run, index
        self._loss[number], self._slot[number] = np.inf, slot
        self._first[number] = self._stretch(number)
        self.arrived += 1
        self._kept = np.append(self._kept, number)
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

    def _victim(self) -> int:
        """Place, among the frames held, of the one that goes."""
        if self.rule != "hard":
            return 0
        place = int(self.losses.argmin())
        return place if np.isfinite(self._loss[self._kept[place]]) else 0

    def _drop(self, place: int) -> None:
        self._free.append(int(self._slot[self._kept[place]]))
        self._kept = np.delete(self._kept, place)

    def clear(self) -> None:
        """Drop all frames."""
        self._free += self._slot[self._kept][::-1].tolist()
        self._kept = np.zeros(0, np.int64)

    def learned(self, frames: np.ndarray, losses: np.ndarray) -> None:
        """Keep the losses of frames that were just learned from: int64 and floating (n,)."""
        self._loss[frames] = losses

    # What a network is shown.

    def gather(self, frames: np.ndarray, out: np.ndarray) -> None:
        """Copy images of frames, int64 (n,), to `out`, uint8 (n, height, width, 3)."""
        for place, slot in enumerate(self._slot[frames].tolist()):
            out[place] = self._chunks[slot // _CHUNK][slot % _CHUNK]

    def first_of(self, frames: np.ndarray) -> np.ndarray:
        """The first frame held of each frame's stretch: int64, the shape of `frames`."""
        first = self._first[frames]
        if not len(self):
            return first
        dropped = np.maximum(self._kept[0] - first, 0)
        return first + -(-dropped // self._cameras) * self._cameras

    def recent(self, frames: np.ndarray, count: int) -> np.ndarray:
        """Each frame with those before it, as `Samples.recent`; the frames must be `candidates(count)`."""
        past = np.arange(count - 1, -1, -1) * self._cameras
        return np.maximum(frames[:, None] - past, self.first_of(frames)[:, None])

    def candidates(self, count: int = 1) -> np.ndarray:
        """The frames that can be learned from by a network of `count` frames: int64 (n,).

        Not those whose past was dropped or never came: in flight it would have been seen. At a run's start
        there is none, and its first frame stands for it.
        """
        if count <= 1:
            return self._kept
        first = self.first_of(self._kept)
        long = self._kept - first >= (count - 1) * self._cameras
        return self._kept[long | (self._index[first] == 0)]

    # What a batch is made of.

    def batch(
        self,
        size: int,
        seed: int,
        step: int,
        count: int = 1,
        balanced: bool = False,
        priority: str = "no",
    ) -> np.ndarray:
        """The frames of a batch, none of them twice unless a class has too few: int64 (size,).

        Args:
            size: frames; at most as many as there are candidates.
            seed: of the draws.
            step: number of the gradient step.
            count: as for `candidates`.
            balanced: as many left turns (yaw above 0.3 rad/s) as right turns as frames flown straight,
                as far as all three occur.
            priority: `no`: all alike. `loss`: in proportion to the loss when last learned from; a frame
                that never was counts as the largest (proportional prioritisation, Schaul et al. 2016).
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
            while share > 0:  # a class with too few comes round again
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
        """The windows of a given length of one stretch."""
        return len(self._window_starts(length))

    def windows(self, size: int, length: int, seed: int, step: int) -> Windows:
        """The windows of a batch of a recurrent network, none of them twice.

        Args:
            size: windows; at most `windows_held(length)`.
            length: frames in each, all of one stretch.
            seed: of the draws.
            step: number of the gradient step.
        """
        random = np.random.RandomState(np.array([seed, _STREAM, step], np.uint32))
        starts = self._window_starts(length)
        first = starts[_draw(random, len(starts), size, None)]
        return Windows(first, np.full(size, length), np.arange(size), step=self._cameras)

    def _window_starts(self, length: int) -> np.ndarray:
        """The frames that windows can begin with: int64 (n,)."""
        lasts = self._kept + (length - 1) * self._cameras
        starts = self._kept[lasts < self.arrived]
        return starts[self._first[lasts[: len(starts)]] <= starts]

    # What is kept on disk.

    def shares(self) -> Dict[str, float]:
        """Shares of right turns, frames flown straight and left turns (three bins) among the frames held."""
        yaw = self._yaw[self._kept]
        count = max(1, len(yaw))
        right, left = float((yaw <= -0.5).sum()) / count, float((yaw > 0.5).sum()) / count
        return {"right": right, "straight": 1 - right - left if len(yaw) else 0.0, "left": left}

    def state(self) -> Dict[str, Any]:
        """All but the images, as plain values and arrays."""
        kept = self._kept
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
        """Take over a `state()`; the images are to follow (`put`)."""
        self.arrived = int(state["arrived"])
        self._chunks, self._free = [], []
        self._kept = np.asarray(state["frames"], np.int64).copy()
        for name in _BY_NUMBER:
            setattr(self, name, np.zeros(0, getattr(self, name).dtype))
        self._grow(max(1024, self.arrived))
        self._run.fill(_NO_RUN)
        for name in ("yaw", "run", "index", "loss"):
            getattr(self, f"_{name}")[self._kept] = state[name]
        for frame in self._kept.tolist():
            self._slot[frame] = self._free.pop() if self._free else self._new_slot()
            self._first[frame] = self._stretch(frame)

    def put(self, frames: np.ndarray, pixels: np.ndarray) -> None:
        """Put the images of frames that are held, int64 (n,), from uint8 (n, height, width, 3)."""
        for slot, image in zip(self._slot[frames].tolist(), pixels):
            self._chunks[slot // _CHUNK][slot % _CHUNK] = image


def _draw(random: np.random.RandomState, count: int, size: int, weights: Optional[np.ndarray]) -> np.ndarray:
    """`size` different numbers below `count`: int64 (size,), all alike or in proportion to weights."""
    if weights is not None:
        # the largest keys log w + Gumbel are a draw without replacement (Yellott 1977; Kool et al. 2019)
        keys = np.log(weights) - np.log(-np.log(random.random_sample(count) + 1e-300))
        return np.argsort(-keys, kind="stable")[:size]
    if 4 * size > count:
        return random.permutation(count)[:size].astype(np.int64)
    found: Dict[int, None] = {}  # a large buffer is not shuffled for a few frames
    while len(found) < size:
        for number in random.randint(0, count, size - len(found)).tolist():
            found[number] = None
    return np.fromiter(found, np.int64, size)
