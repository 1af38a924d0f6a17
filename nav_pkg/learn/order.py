"""What is learned when: the frames, windows or runs of each training batch.

Every order is a pure function of (seed, episode, step): whatever happened before, whatever machine,
step 7 of episode 3 trains on the same frames. That is what makes a resumed run the same run.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nav_pkg.core import UsageError
from nav_pkg.learn.action import TURN_THRESHOLD
from nav_pkg.learn.samples import Samples

BATCHES_PER_EPISODE = 100
"""Most training batches in an episode; validation follows each episode."""


class Order(Protocol):
    """Which samples make up each training batch of a feed-forward network."""

    steps: int
    """Batches in an episode."""

    def indices(self, episode: int, step: int) -> np.ndarray:
        """The samples of a batch: int64 (batch,)."""


def _steps(count: int, batch_size: int, what: str = "frames") -> int:
    if batch_size < 1:
        raise UsageError(f"--batch_size {batch_size}: must be 1 or more")
    if batch_size > count:
        raise UsageError(f"--batch_size {batch_size}: the training set has only {count} {what}: give fewer")
    return min(count // batch_size, BATCHES_PER_EPISODE)


def _permutation(count: int, *key: int) -> np.ndarray:
    # RandomState, because NumPy keeps its streams the same for ever (NEP 19); Generator's may change
    return np.random.RandomState(np.array(key, np.uint32)).permutation(count)


class ShuffledOrder:
    """Each episode draws its samples at random, none of them twice.

    Args:
        count: samples in the training set.
        batch_size: samples in a batch.
        seed: of the order.
        what: names the samples in messages.
    """

    def __init__(self, count: int, batch_size: int, seed: int, what: str = "frames"):
        self.steps = _steps(count, batch_size, what)
        self._count, self._batch, self._seed = count, batch_size, seed
        self._episode, self._samples = -1, np.zeros(0, np.int64)

    def indices(self, episode: int, step: int) -> np.ndarray:
        """The samples of a batch: int64 (batch,)."""
        if episode != self._episode:
            drawn = _permutation(self._count, self._seed, episode)
            self._episode, self._samples = episode, drawn[: self.steps * self._batch].astype(np.int64)
        return self._samples[step * self._batch : (step + 1) * self._batch]


class BalancedOrder:
    """Batches with as many left turns as right turns as frames flown straight.

    A turn is |yaw| > 0.3 rad/s. Where the batch does not divide by three, the rest goes round.
    Within a class, all frames come once before any comes again (within an episode).

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
        # the classes of the `rest` places that three equal shares leave over, going round
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
    """The windows of a training batch of a recurrent network, one a sequence.

    Attributes:
        first: int64 (batch,), the first frame of each.
        length: int64 (batch,), frames in each, at least 1; all within one run.
        stream: int64 (batch,), the place of each sequence's state among those carried over.
        fresh: whether this batch begins new sequences, with states of zero.
        last: whether no further window of these sequences follows.
        step: from the number of a frame to that of the next one of its sequence.
    """

    first: np.ndarray
    length: np.ndarray
    stream: np.ndarray
    fresh: bool = True
    last: bool = True
    step: int = 1

    @property
    def even(self) -> bool:
        """Whether all are equally long."""
        return bool((self.length == self.length[0]).all())

    @property
    def frames(self) -> np.ndarray:
        """All frames: int64 (sum of lengths,).

        Of windows of equal length the first frame of each, then the second of each and so on, as an LSTM
        takes them; else sequence after sequence.
        """
        if self.even:
            return (self.first + self.step * np.arange(self.length[0])[:, None]).ravel()
        return np.concatenate([a + self.step * np.arange(n) for a, n in zip(self.first, self.length)])


class WindowOrder(Protocol):
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
    """Cut runs into consecutive parts, as equal as they can be; all frames are in one.

    Args:
        samples: the training set, of fewer runs than `count`.
        count: parts in all.
        least: frames that each must have.

    Returns:
        The first frame and the number of frames of each part: int64 (count,), in the order of the frames.

    Raises:
        UsageError: a part would be shorter.
    """
    lengths = samples.lengths
    pieces = np.ones(len(lengths), np.int64)
    for _ in range(count - len(lengths)):
        pieces[np.argmax(lengths / pieces)] += 1  # the run whose parts are longest
    sizes = [np.full(n, length // n) + (np.arange(n) < length % n) for length, n in zip(lengths, pieces)]
    made = np.concatenate(sizes).astype(np.int64)
    if made.min() < least:
        raise UsageError(
            f"--batch_size {count}: the training set has only {len(lengths)} runs, and cut into "
            f"{count} parts to "
            f"slide along (--sliding_tbptt) the shortest has {made.min()} frames, less than "
            f"--time_length {least}: "
            "give a smaller batch or window"
        )
    return np.concatenate([[0], np.cumsum(made)[:-1]]).astype(np.int64), made


class WholeRuns:
    """F-BPTT: whole runs, each once an episode.

    Args:
        samples: the training set.
        batch_size: runs in a batch; they may differ in length.
        seed: of the order.
    """

    def __init__(self, samples: Samples, batch_size: int, seed: int):
        self._samples = samples
        self._order = ShuffledOrder(len(samples.lengths), batch_size, seed, "runs (--time_length -1)")
        self.steps = self._order.steps

    def windows(self, episode: int, step: int) -> Windows:
        """The runs of a batch."""
        runs = self._order.indices(episode, step)
        return Windows(self._samples.starts[runs], self._samples.lengths[runs], np.arange(len(runs)))


class RandomWindows:
    """WW-TBPTT: windows of equal length from anywhere in a run, shuffled.

    Args:
        samples: the training set.
        batch_size: windows in a batch.
        time_length: frames in a window.
        seed: of the order.
        grid: windows begin at multiples of their length only, so that each has one that precedes it.

    Attributes:
        length: frames in a window.

    Raises:
        UsageError: a run is shorter than a window, or the batch larger than the set.
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
        self._order = ShuffledOrder(len(self._first), batch_size, seed, f"windows of {time_length} frames")
        self.steps, self.length = self._order.steps, time_length

    def windows(self, episode: int, step: int) -> Windows:
        """The windows of a batch."""
        first = self._first[self._order.indices(episode, step)]
        return Windows(first, np.full(len(first), self.length), np.arange(len(first)))


class SlidingWindows:
    """S-TBPTT: a window slides along each of a batch of runs to their ends, then along the next runs.

    A slide goes on from one episode to the next. Each pass over the training set takes all runs in a new
    order; those left over that do not fill a batch wait for the next pass. Windows at a run's end are
    shorter; a sequence whose run has ended leaves the batch.

    A training set of fewer runs than the batch is cut: the runs into consecutive parts, as many as the batch
    has rows and as equal as they can be, and the windows slide along these. A part begins with a state of
    zero, as a run does.

    Args:
        samples: the training set.
        batch_size: runs (or parts) that are slid along at once.
        time_length: frames in a window; -1 for whole runs, which are never cut.
        slide: frames that the window moves on by.
        seed: of the order.

    Attributes:
        batch: runs (or parts) that are slid along at once.
        note: says how runs were cut; empty where they were not.

    Raises:
        UsageError: a run or part is shorter than a window, the batch larger than the set, or frames skipped.
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
        # as many batches as it takes to slide along every run once
        self.steps = min(BATCHES_PER_EPISODE, sum(self._length(slide) for slide in self._runs(0)))

    def windows(self, episode: int, step: int) -> Windows:
        """The windows of a batch."""
        count, turn = self._steps_of(episode * self.steps + step)
        runs = self._runs(turn)
        for number in range(self._slides):
            length = self._length(runs[number])
            if count < length:
                break
            count -= length
        chosen = runs[number]
        lengths = self._lengths[chosen]
        offset = count * self._slide
        window = int(lengths.max()) if self._window == -1 else self._window
        # a run of which a window has already shown the end is done
        stream = np.flatnonzero(
            (lengths > offset) & ((offset == 0) | (lengths > offset - self._slide + window))
        )
        return Windows(
            first=self._starts[chosen][stream] + offset,
            length=np.minimum(window, lengths[stream] - offset),
            stream=stream,
            fresh=count == 0,
            last=count == length - 1,
        )

    def _length(self, runs: np.ndarray) -> int:
        """The batches of a slide along some runs."""
        longest = int(self._lengths[runs].max())
        window = longest if self._window == -1 else self._window
        return 1 + max(0, -(-(longest - window) // self._slide))

    @functools.lru_cache(maxsize=4)  # noqa: B019 - an order lives as long as its training
    def _runs(self, turn: int) -> np.ndarray:
        """The runs of each slide of a pass: int64 (slides, batch)."""
        drawn = _permutation(len(self._lengths), self._seed, turn)
        return drawn[: self._slides * self.batch].reshape(self._slides, self.batch)

    def _steps_of(self, count: int) -> tuple[int, int]:
        """The batch within its pass, and the pass, of the count-th batch of all."""
        turn = 0
        while True:
            length = self._pass_length(turn)
            if count < length:
                return count, turn
            count, turn = count - length, turn + 1

    @functools.lru_cache(maxsize=None)  # noqa: B019 - small numbers
    def _pass_length(self, turn: int) -> int:
        return sum(self._length(runs) for runs in self._runs(turn))
