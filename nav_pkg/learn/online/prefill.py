"""Prefill the replay buffer with frames of a dataset, as if they had been flown.

A net trained on a dataset forgets it when it then learns only from flights. With frames of that dataset in
the buffer the net continues to learn from both (rehearsal; Ratcliff 1990, Robins 1995).
"""

from __future__ import annotations

from typing import Any, List, Sequence

import numpy as np

from nav_pkg.core import DataError, UsageError
from nav_pkg.data.reader import load_dataset
from nav_pkg.learn.batches import loading
from nav_pkg.learn.batches.recovery import Recovery
from nav_pkg.learn.batches.samples import Samples
from nav_pkg.learn.online.replay import ReplayBuffer
from nav_pkg.learn.training.log import say
from nav_pkg.learn.training.parts import TrainingParts

_STREAM = 0x50524546
"""Separates the choice from other random draws with the same seed."""

_SEQUENCE = 50
"""Smallest number of consecutive frames for a net that sees several frames: 5 s."""


class Prefill:
    """The frames of a dataset that the flags select; the constructor reads only what the checks need.

    Args:
        parts: parts of the learner, whose --prefill_dataset is given.
        sides: the side cameras to learn from.
        camera: width and height of the flight's camera, pixels.
        room: number of images that the buffer holds.

    Raises:
        UsageError: more frames are requested than the dataset or the buffer holds.
        DataError: the dataset does not exist, or has other cameras.
    """

    def __init__(self, parts: TrainingParts, sides: Sequence[str], camera: Sequence[int], room: int):
        args, self._parts, self._cameras = parts.config, parts, 1 + len(sides)
        dataset = load_dataset(args.prefill_dataset, args.data_root)
        self._runs, self._flag = dataset.split("train"), f"--prefill_dataset {args.prefill_dataset}"
        self._check_cameras(sides, camera)
        available, room = sum(len(run) for run in self._runs), room // self._cameras
        for most, where in (
            (available, f"its training set has {available}"),
            (room, f"the buffer holds {room}"),
        ):
            if args.prefill_frames and args.prefill_frames > most:
                raise UsageError(f"--prefill_frames {args.prefill_frames}: {where} frames: give fewer")
        self.count = args.prefill_frames or min(available, room)

    def _check_cameras(self, sides: Sequence[str], camera: Sequence[int]) -> None:
        width, height = loading.camera_of(self._runs)
        if [width, height] != list(camera):
            raise DataError(
                f"{self._flag}: has a camera of {width}x{height}, this flight has one of "
                f"{camera[0]}x{camera[1]}: give --width {width} --height {height}, or another dataset"
            )
        for run in self._runs:
            if sides and sorted(run.side_cameras) != sorted(sides):
                raise DataError(
                    f"{run.path}: lacks the recovery cameras of this flight ({', '.join(sides)}): leave "
                    "--recovery_compensation out, or give another --prefill_dataset"
                )

    def read(self) -> Samples:
        """Load the images and labels of all frames; missing packs are created, which may take minutes."""
        args, parts = self._parts.config, self._parts
        compensation = args.recovery_compensation
        recovery = None if compensation is None else Recovery(compensation, parts.action_space)
        return loading.load_samples(
            self._runs, parts.preprocessing, workers=args.num_threads, recovery=recovery
        )

    def fill(self, replay: ReplayBuffer) -> None:
        """Add the chosen frames to a buffer, each run's in order, with run numbers below 0."""
        samples, how = self.read(), self._parts.method_flags
        frames_per_sample = how.time_length if how.recurrent else how.n_frames
        chosen = choose(
            [len(run) for run in self._runs],
            self.count,
            max(_SEQUENCE, 5 * frames_per_sample) if frames_per_sample > 1 else 1,
            self._parts.config.random_seed,
        )
        pixels = np.empty((1, *samples.image_shape), np.uint8)
        for run, indices in enumerate(chosen):
            # the runs of the side cameras come after those of the first camera
            starts = samples.starts[run : -1 : len(self._runs)][: self._cameras]
            for index in indices.tolist():
                for frame in (starts + index).tolist():
                    samples.gather(np.array([frame]), pixels)
                    replay.add(pixels[0], float(samples.yaw[frame]), -1 - run, index)
        say(f"{self._flag}: {self.count} frames of its training set are in the replay buffer")


def choose(lengths: Sequence[int], count: int, together: int, seed: int) -> List[np.ndarray]:
    """Choose frames of runs by drawing pieces of consecutive frames, all with equal probability.

    Args:
        lengths: frames of each run.
        count: total number of frames; at most the sum of the lengths.
        together: frames in a piece (the last piece of a run, and the last drawn piece, may have fewer).
        seed: of the draw.

    Returns:
        Frame indices for each run: int64 (n,), ascending.
    """
    pieces = [(run, first) for run, length in enumerate(lengths) for first in range(0, length, together)]
    random = np.random.RandomState(np.array([seed, _STREAM], np.uint32))
    parts: List[List[Any]] = [[np.zeros(0, np.int64)] for _ in lengths]
    for place in random.permutation(len(pieces)):
        run, first = pieces[place]
        part = np.arange(first, min(first + together, lengths[run], first + count))
        parts[run].append(part)
        count -= len(part)
    return [np.sort(np.concatenate(part)) for part in parts]
