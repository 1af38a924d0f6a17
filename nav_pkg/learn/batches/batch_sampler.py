"""Order of training: the frames, windows or runs of each training batch.

Every order is a pure function of (seed, episode, step). Step 7 of episode 3 trains on the same frames on any
machine and whatever ran before. A resumed run is therefore the same as an uninterrupted one.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nav_pkg.core import UsageError
from nav_pkg.learn.action import TURN_THRESHOLD
from nav_pkg.learn.batches.samples import Samples

BATCHES_PER_EPISODE = 100
"""Largest number of training batches in an episode; validation follows each episode."""


class BatchSampler(Protocol):
    """Which samples make up each training batch of a feed-forward network."""

    steps: int
    """Batches in an episode."""

    def indices(self, episode: int, step: int) -> np.ndarray:
        """The samples of a batch: int64 (batch,)."""


def _steps(count: int, batch_size: int, unit: str = "frames") -> int:
    if batch_size < 1:
        raise UsageError(f"--batch_size {batch_size}: must be 1 or more")
    if batch_size > count:
        raise UsageError(f"--batch_size {batch_size}: the training set has only {count} {unit}: give fewer")
    return min(count // batch_size, BATCHES_PER_EPISODE)


def _permutation(count: int, *key: int) -> np.ndarray:
    # RandomState, because NumPy guarantees its streams (NEP 19); Generator's may change
    return np.random.RandomState(np.array(key, np.uint32)).permutation(count)


class ShuffledSampler:
    """Draws the samples of each episode at random, without repetition.

    Args:
        count: samples in the training set.
        batch_size: samples in a batch.
        seed: of the order.
        unit: names the samples in messages.
    """

    def __init__(self, count: int, batch_size: int, seed: int, unit: str = "frames"):
        self.steps = _steps(count, batch_size, unit)
        self._count, self._batch, self._seed = count, batch_size, seed
        self._episode, self._samples = -1, np.zeros(0, np.int64)

    def indices(self, episode: int, step: int) -> np.ndarray:
        """The samples of a batch: int64 (batch,)."""
        if episode != self._episode:
            drawn = _permutation(self._count, self._seed, episode)
            self._episode, self._samples = episode, drawn[: self.steps * self._batch].astype(np.int64)
        return self._samples[step * self._batch : (step + 1) * self._batch]


class BalancedSampler:
    """Batches with equally many left turns, right turns and frames flown straight.

    A turn is |yaw| > 0.3 rad/s. If the batch size is not divisible by three, the remaining places go to the
    classes in turn. Within a class and an episode, every frame comes once before any frame comes again.

    Args:
        yaw: float64 (samples,), the labels of the training set, rad/s.
        batch_size: samples in a batch, at least 3.
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
        """The samples of a batch: int64 (batch,)."""
        if episode != self._episode:
            self._episode, self._batches = episode, self._draw(episode)
        return self._batches[step]

    def _draw(self, episode: int) -> np.ndarray:
        """All batches of an episode: int64 (steps, batch)."""
        quota, rest = divmod(self._batch, 3)
        # the classes of the `rest` places that remain after three equal shares, in turn
        extra = np.arange(self.steps * rest).reshape(self.steps, rest) % 3
        shares = [quota + (extra == number).sum(axis=1) for number in range(3)]
        streams = []
        for number, (members, share) in enumerate(zip(self._classes, shares)):
            rounds = -(-int(share.sum()) // len(members))
            drawn = [_permutation(len(members), self._seed, episode, number, r) for r in range(rounds)]
            streams.append(np.split(members[np.concatenate(drawn)[: share.sum()]], np.cumsum(share)[:-1]))
        return np.stack([np.concatenate(parts) for parts in zip(*streams)])


@dataclass(frozen=True)
class Windows:
    """The windows of a training batch of a recurrent network, one for each sequence.

    Attributes:
        first: int64 (batch,), the first frame of each.
        length: int64 (batch,), frames in each, at least 1; all within one run.
        stream: int64 (batch,), index of each sequence's state in the carried states.
        is_first: whether this batch begins new sequences, with states of zero.
        is_last: whether these sequences have no further window.
        step: difference between the numbers of consecutive frames of a sequence.
    """

    first: np.ndarray
    length: np.ndarray
    stream: np.ndarray
    is_first: bool = True
    is_last: bool = True
    step: int = 1

    @property
    def equal_length(self) -> bool:
        """Whether all windows have the same length."""
        return bool((self.length == self.length[0]).all())

    @property
    def frames(self) -> np.ndarray:
        """All frames: int64 (sum of lengths,).

        If all windows have the same length, the first frame of each comes first, then the second of each and
        so on, as an LSTM takes them; if not, sequence after sequence.
        """
        if self.equal_length:
            return (self.first + self.step * np.arange(self.length[0])[:, None]).ravel()
        return np.concatenate([a + self.step * np.arange(n) for a, n in zip(self.first, self.length)])


class WindowSampler(Protocol):
    """Which windows make up each training batch of a recurrent network."""

    steps: int
    """Batches in an episode."""

    def windows(self, episode: int, step: int) -> Windows:
        """The windows of a batch."""


def _check_length(samples: Samples, time_length: int) -> None:
    shortest = int(samples.lengths.argmin())
    if time_length > samples.lengths[shortest]:
        raise UsageError(
            f"--time_length {time_length}: the shortest training run, {samples.names[shortest]}, has only "
            f"{samples.lengths[shortest]} frames: give fewer, or -1 for whole runs"
        )


def _parts(samples: Samples, count: int, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut runs into consecutive parts of nearly equal length; every frame is in one part.

    Args:
        samples: the training set; it has fewer runs than `count`.
        count: total number of parts.
        least: smallest allowed number of frames in a part.

    Returns:
        The first frame and the number of frames of each part: int64 (count,), in the order of the frames.

    Raises:
        UsageError: a part would have fewer frames than `least`.
    """
    lengths = samples.lengths
    pieces = np.ones(len(lengths), np.int64)
    for _ in range(count - len(lengths)):
        pieces[np.argmax(lengths / pieces)] += 1  # cut the run with the longest parts
    sizes = [np.full(n, length // n) + (np.arange(n) < length % n) for length, n in zip(lengths, pieces)]
    part_lengths = np.concatenate(sizes).astype(np.int64)
    if part_lengths.min() < least:
        raise UsageError(
            f"--batch_size {count}: the training set has only {len(lengths)} runs, and cut into "
            f"{count} parts to "
            f"slide along (--sliding_tbptt) the shortest has {part_lengths.min()} frames, less than "
            f"--time_length {least}: "
            "give a smaller batch or window"
        )
    return np.concatenate([[0], np.cumsum(part_lengths)[:-1]]).astype(np.int64), part_lengths


class WholeRunSampler:
    """F-BPTT: whole runs, each once in an episode.

    Args:
        samples: the training set.
        batch_size: runs in a batch; they may differ in length.
        seed: of the order.
    """

    def __init__(self, samples: Samples, batch_size: int, seed: int):
        self._samples = samples
        self._sampler = ShuffledSampler(len(samples.lengths), batch_size, seed, "runs (--time_length -1)")
        self.steps = self._sampler.steps

    def windows(self, episode: int, step: int) -> Windows:
        """The runs of a batch."""
        runs = self._sampler.indices(episode, step)
        return Windows(self._samples.starts[runs], self._samples.lengths[runs], np.arange(len(runs)))


class RandomWindowSampler:
    """WW-TBPTT: windows of equal length from anywhere in a run, shuffled.

    Args:
        samples: the training set.
        batch_size: windows in a batch.
        time_length: frames in a window.
        seed: of the order.
        grid: let windows begin only at multiples of their length, so that each has a preceding window.

    Attributes:
        length: frames in a window.

    Raises:
        UsageError: a run is shorter than a window, or the batch is larger than the set.
    """

    def __init__(self, samples: Samples, batch_size: int, time_length: int, seed: int, grid: bool = False):
        _check_length(samples, time_length)
        step = time_length if grid else 1
        self._first = np.concatenate(
            [
                np.arange(first, end - time_length + 1, step)
                for first, end in zip(samples.starts, samples.starts[1:])
            ]
        )
        self._sampler = ShuffledSampler(
            len(self._first), batch_size, seed, f"windows of {time_length} frames"
        )
        self.steps, self.length = self._sampler.steps, time_length

    def windows(self, episode: int, step: int) -> Windows:
        """The windows of a batch."""
        first = self._first[self._sampler.indices(episode, step)]
        return Windows(first, np.full(len(first), self.length), np.arange(len(first)))


class SlidingWindowSampler:
    """S-TBPTT: a window slides along each run of a batch to its end, then along the next runs.

    A slide continues from one episode to the next. Each pass over the training set takes all runs in a new
    order. Runs that do not fill a batch are left out of that pass. Windows at a run's end are shorter; a
    sequence leaves the batch when its run has ended.

    If the training set has fewer runs than the batch, the runs are cut into consecutive parts of nearly equal
    length, one part for each sequence of the batch, and the windows slide along these parts. A part begins
    with a state of zero, as a run does.

    Args:
        samples: the training set.
        batch_size: runs (or parts) processed at the same time.
        time_length: frames in a window; -1 for whole runs, which are never cut.
        slide: frames that the window moves forward by.
        seed: of the order.

    Attributes:
        batch: runs (or parts) processed at the same time.
        note: describes how runs were cut; empty if none was.

    Raises:
        UsageError: a run or part is shorter than a window, the batch is larger than the set, or frames would
            be skipped.
    """

    note = ""

    def __init__(self, samples: Samples, batch_size: int, time_length: int, slide: int, seed: int):
        if time_length != -1:
            _check_length(samples, time_length)
            if slide > time_length:
                raise UsageError(
                    f"--sliding_step_size {slide}: more than --time_length {time_length}, so that frames "
                    "would be skipped: give at most that"
                )
        self._starts, self._lengths = samples.starts[:-1], samples.lengths
        if 0 < len(self._lengths) < batch_size and time_length != -1:
            self._starts, self._lengths = _parts(samples, batch_size, time_length)
            self.note = (
                f"--sliding_tbptt: {len(samples.lengths)} training runs are fewer than --batch_size "
                f"{batch_size}: "
                f"windows slide along {batch_size} consecutive parts of them, of {self._lengths.min()} to "
                f"{self._lengths.max()} frames; each part begins with a state of zero"
            )
        self._slides = _steps(len(self._lengths), batch_size, "runs to slide along (--sliding_tbptt)")
        self.batch, self._seed = batch_size, seed
        self._window, self._slide = time_length, slide
        # as many batches as one pass over all runs needs
        self.steps = min(BATCHES_PER_EPISODE, sum(self._length(slide) for slide in self._runs(0)))

    def windows(self, episode: int, step: int) -> Windows:
        """The windows of a batch."""
        count, pass_number = self._steps_of(episode * self.steps + step)
        runs = self._runs(pass_number)
        for number in range(self._slides):
            length = self._length(runs[number])
            if count < length:
                break
            count -= length
        chosen = runs[number]
        lengths = self._lengths[chosen]
        offset = count * self._slide
        window = int(lengths.max()) if self._window == -1 else self._window
        # skip a run whose end an earlier window already covered
        stream = np.flatnonzero(
            (lengths > offset) & ((offset == 0) | (lengths > offset - self._slide + window))
        )
        return Windows(
            first=self._starts[chosen][stream] + offset,
            length=np.minimum(window, lengths[stream] - offset),
            stream=stream,
            is_first=count == 0,
            is_last=count == length - 1,
        )

    def _length(self, runs: np.ndarray) -> int:
        """Number of batches of a slide along some runs."""
        longest = int(self._lengths[runs].max())
        window = longest if self._window == -1 else self._window
        return 1 + max(0, -(-(longest - window) // self._slide))

    @functools.lru_cache(maxsize=4)  # noqa: B019 - an order lives as long as its training
    def _runs(self, pass_number: int) -> np.ndarray:
        """The runs of each slide of a pass: int64 (slides, batch)."""
        drawn = _permutation(len(self._lengths), self._seed, pass_number)
        return drawn[: self._slides * self.batch].reshape(self._slides, self.batch)

    def _steps_of(self, count: int) -> tuple[int, int]:
        """Convert the number of a batch, counted over all passes, to its number in its pass, and the pass."""
        pass_number = 0
        while True:
            length = self._pass_length(pass_number)
            if count < length:
                return count, pass_number
            count, pass_number = count - length, pass_number + 1

    @functools.lru_cache(maxsize=None)  # noqa: B019 - small numbers
    def _pass_length(self, pass_number: int) -> int:
        return sum(self._length(runs) for runs in self._runs(pass_number))
