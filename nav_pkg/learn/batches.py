"""Frames in memory at the network's input size, and the order in which they are learned.

The order is a pure function of (seed, episode, step): whatever happened before, whatever machine,
step 7 of episode 3 trains on the same frames. That is what makes a resumed run the same run.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Callable, Optional, Protocol, Sequence

import numpy as np

from nav_pkg.core import DataError, UsageError
from nav_pkg.data.reader import Run
from nav_pkg.learn.action import TURN_THRESHOLD
from nav_pkg.learn.preprocess import Preprocessing

BATCHES_PER_EPISODE = 100
"""Most training batches in an episode; validation follows each episode."""


@dataclass(frozen=True)
class Samples:
    """The frames of a split.

    Attributes:
        images: uint8 (frames, 3, height, width) at the network's input size; any array-like that
            numpy can take rows from.
        yaw: float64 (frames,), the expert's yaw rate, rad/s.
    """

    images: np.ndarray
    yaw: np.ndarray

    def __len__(self) -> int:
        return len(self.yaw)

    def gather(self, indices: np.ndarray, out: Optional[np.ndarray] = None) -> np.ndarray:
        """The images at `indices`, all within range: uint8 (len(indices), 3, height, width).

        Args:
            indices: int64 (batch,).
            out: a C-contiguous array of that shape to write into; None makes a new one.
        """
        # mode "clip" lets numpy write straight into `out`; the default checks through a copy,
        # which takes three times as long
        return np.take(self.images, indices, axis=0, out=out, mode="clip")


def frames_of(runs: Sequence[Run], subsample: int = 1) -> list[tuple[Run, int]]:
    """Run and row of each frame to use: every `subsample`-th of each run, from its first."""
    return [(run, row) for run in runs for row in range(0, len(run), subsample)]


def bytes_needed(frames: int, preprocessing: Preprocessing) -> int:
    """Memory that `frames` images take at the network's input size, bytes."""
    return frames * 3 * preprocessing.size[0] * preprocessing.size[1]


def available_memory() -> Optional[int]:
    """Memory that this machine can still give, bytes; None where /proc does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def read_samples(
    runs: Sequence[Run],
    preprocessing: Preprocessing,
    subsample: int = 1,
    threads: int = 1,
    tick: Callable[[int], None] = lambda frames: None,
) -> Samples:
    """Read the frames of runs into memory.

    Args:
        runs: the runs of a split.
        preprocessing: brings each image to the network's input size.
        subsample: keep every n-th frame of each run.
        threads: images that are decoded at the same time.
        tick: called with the number of frames just read; may raise to stop.

    Raises:
        DataError: an image is damaged, a label is not a number, or memory does not suffice.
    """
    frames = frames_of(runs, subsample)
    yaw = np.concatenate([np.zeros(0)] + [run.frames.expert_yaw[::subsample] for run in runs])
    for (run, row), label in zip(frames, yaw):
        if not np.isfinite(label):
            raise DataError(f"{run.path}/frames.csv: frame {row}: expert_yaw is {label}: leave the run out")
    needed, free = bytes_needed(len(frames), preprocessing), available_memory()
    if free is not None and needed > free:
        raise DataError(
            f"{len(frames)} frames take {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free: "
            "give --subsample or a smaller dataset"
        )
    images = np.empty((len(frames), 3, *preprocessing.size), np.uint8)

    def read(i: int) -> None:
        run, row = frames[i]
        images[i] = preprocessing.resize(run.rgb(row)).transpose(2, 0, 1)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        try:
            # in portions, so that a stop does not wait for all images
            for start in range(0, len(frames), 64):
                portion = range(start, min(start + 64, len(frames)))
                list(pool.map(read, portion))
                tick(len(portion))
        except BaseException:
            pool.shutdown(wait=True)
            raise
    return Samples(images, np.ascontiguousarray(yaw, np.float64))


class Order(Protocol):
    """Which frames make up each training batch."""

    steps: int
    """Batches in an episode."""

    def indices(self, episode: int, step: int) -> np.ndarray:
        """The frames of a batch: int64 (batch,)."""


def _steps(count: int, batch_size: int) -> int:
    if batch_size < 1:
        raise UsageError(f"--batch_size {batch_size}: must be 1 or more")
    if batch_size > count:
        raise UsageError(f"--batch_size {batch_size}: the training set has only {count} frames")
    return min(count // batch_size, BATCHES_PER_EPISODE)


def _permutation(count: int, *key: int) -> np.ndarray:
    # RandomState, because NumPy keeps its streams the same for ever (NEP 19); Generator's may change
    return np.random.RandomState(np.array(key, np.uint32)).permutation(count)


class ShuffledOrder:
    """Each episode draws its frames at random, none of them twice.

    Args:
        count: frames in the training set.
        batch_size: frames in a batch.
        seed: of the order.
    """

    def __init__(self, count: int, batch_size: int, seed: int):
        self.steps = _steps(count, batch_size)
        self._count, self._batch, self._seed = count, batch_size, seed
        self._episode, self._frames = -1, np.zeros(0, np.int64)

    def indices(self, episode: int, step: int) -> np.ndarray:
        """The frames of a batch: int64 (batch,)."""
        if episode != self._episode:
            frames = _permutation(self._count, self._seed, episode)
            self._episode, self._frames = episode, frames[: self.steps * self._batch].astype(np.int64)
        return self._frames[step * self._batch : (step + 1) * self._batch]


class BalancedOrder:
    """Batches with as many left turns as right turns as frames flown straight.

    A turn is |yaw| > 0.3 rad/s. Where the batch does not divide by three, the rest goes round.
    Within a class, all frames come once before any comes again (within an episode).

    Args:
        yaw: float64 (frames,), the labels of the training set, rad/s.
        batch_size: frames in a batch, at least 3.
        seed: of the order.

    Raises:
        UsageError: a class is empty, or the batch too small.
    """

    def __init__(self, yaw: np.ndarray, batch_size: int, seed: int):
        self.steps = _steps(len(yaw), batch_size)
        if batch_size < 3:
            raise UsageError(f"--normalized_output: --batch_size {batch_size} is too small; 3 or more")
        classes = {
            "right": yaw < -TURN_THRESHOLD,
            "straight": np.abs(yaw) <= TURN_THRESHOLD,
            "left": yaw > TURN_THRESHOLD,
        }
        for name, members in classes.items():
            if not members.any():
                raise UsageError(f"--normalized_output: the training set has no frame of class {name!r}")
        self._classes = [np.flatnonzero(members).astype(np.int64) for members in classes.values()]
        self._batch, self._seed = batch_size, seed
        self._episode, self._batches = -1, np.zeros((0, batch_size), np.int64)

    def indices(self, episode: int, step: int) -> np.ndarray:
        """The frames of a batch: int64 (batch,)."""
        if episode != self._episode:
            self._episode, self._batches = episode, self._draw(episode)
        return self._batches[step]

    def _draw(self, episode: int) -> np.ndarray:
        """All batches of an episode: int64 (steps, batch)."""
        quota, rest = divmod(self._batch, 3)
        # the classes of the `rest` places that three equal shares leave over, going round
        extra = np.arange(self.steps * rest).reshape(self.steps, rest) % 3
        shares = [quota + (extra == number).sum(axis=1) for number in range(3)]
        streams = []
        for number, (members, share) in enumerate(zip(self._classes, shares)):
            rounds = -(-int(share.sum()) // len(members))
            drawn = [_permutation(len(members), self._seed, episode, number, r) for r in range(rounds)]
            streams.append(np.split(members[np.concatenate(drawn)[: share.sum()]], np.cumsum(share)[:-1]))
        return np.stack([np.concatenate(parts) for parts in zip(*streams)])
