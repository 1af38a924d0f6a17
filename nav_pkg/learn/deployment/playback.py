"""Play recorded runs back to a pilot, image by image, from a fresh state, as in flight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional, Sequence

import numpy as np

from nav_pkg.core import DataError
from nav_pkg.data.reader import Run
from nav_pkg.learn.deployment.pilot import Pilot


@dataclass(frozen=True)
class Playback:
    """A pilot's predictions for the images of runs, with the expert's.

    Attributes:
        labels: the expert's classes, int64 (frames,).
        answers: the pilot's classes, int64 (frames,).
        expert_yaw: the expert's yaw rates, float64 (frames,), rad/s.
        yaw: the pilot's yaw rates, float64 (frames,), rad/s.
        flown: the classes that a pilot predicted when the runs were recorded, -1 without a pilot, int64
            (frames,).
        first: whether a frame is the first one of its run, bool (frames,).
    """

    labels: np.ndarray
    answers: np.ndarray
    expert_yaw: np.ndarray
    yaw: np.ndarray
    flown: np.ndarray
    first: np.ndarray

    @property
    def is_correct(self) -> np.ndarray:
        """Whether the pilot's class is the expert's, bool (frames,)."""
        return self.labels == self.answers

    @property
    def accuracy(self) -> float:
        """Share of frames in which the pilot's class is the expert's."""
        return float(self.is_correct.mean())

    @property
    def imitation_loss(self) -> float:
        """Mean squared difference of the yaw rates, (rad/s)^2, as in `metrics.scores`."""
        return float(np.mean((self.yaw - self.expert_yaw) ** 2))

    @property
    def is_class_change(self) -> np.ndarray:
        """Whether the expert's class differs from the frame before, bool (frames,)."""
        return ~self.first & np.append(True, self.labels[1:] != self.labels[:-1])

    @property
    def is_same_class(self) -> np.ndarray:
        """Whether the expert's class is the same as in the frame before, bool (frames,)."""
        return ~self.first & ~self.is_class_change

    def accuracy_where(self, frames: np.ndarray) -> Optional[float]:
        """The accuracy on some of the frames; None without frames."""
        return float(self.is_correct[frames].mean()) if frames.any() else None

    @property
    def changed_labels(self) -> Optional[float]:
        """Share of frames whose label differs from the frame before; None if no frame has one before it."""
        return float(self.is_class_change[~self.first].mean()) if (~self.first).any() else None

    @property
    def changed_answers(self) -> Optional[float]:
        """Share of frames whose predicted class differs from the frame before; None as `changed_labels`."""
        changed = np.append(False, self.answers[1:] != self.answers[:-1])
        return float(changed[~self.first].mean()) if (~self.first).any() else None

    @property
    def flown_agreement(self) -> Optional[float]:
        """Share of frames with the same class as when the runs were recorded; None without such a pilot."""
        known = self.flown >= 0
        return float((self.flown == self.answers)[known].mean()) if known.any() else None


def play(pilot: Pilot, run: Run, tick: Callable[[int], None] = lambda frames: None) -> Playback:
    """Play a run back.

    Args:
        pilot: the pilot; it is reset first.
        run: images and labels of the run.
        tick: called with the number of frames just processed.

    Raises:
        DataError: an image cannot be read, or a prediction is not finite.
    """
    space, frames = pilot.action_space, run.frames
    pilot.reset()
    yaw = np.empty(len(run))
    for index in range(len(run)):
        yaw[index] = space.yaw(pilot.outputs(run.rgb(index))[None])[0]
        tick(1)
    if not np.isfinite(yaw).all():
        raise DataError(f"{run.path}: the network's answers are not finite; the training diverged")
    expert = np.asarray(frames["expert_yaw"], np.float64)
    flown = np.asarray(frames["learner_yaw"], np.float64)
    known = np.isfinite(flown)
    return Playback(
        labels=space.classes(expert),
        answers=space.classes(yaw),
        expert_yaw=expert,
        yaw=yaw,
        flown=np.where(known, space.classes(np.where(known, flown, 0.0)), -1),
        first=np.arange(len(run)) == 0,
    )


def joined(parts: Sequence[Playback]) -> Playback:
    """Join several runs into one."""
    return Playback(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("labels", "answers", "expert_yaw", "yaw", "flown", "first")
        )
    )
