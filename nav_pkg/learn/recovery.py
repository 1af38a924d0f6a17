"""Samples from recovery cameras: what the robot would see if it had turned away, and how to turn back.

The method of Bojarski et al., "End to End Learning for Self-Driving Cars" (2016): the image of a camera
that looks to the left is what the first camera would show if the robot were turned to the left; so its
label is the label of that frame, turned to the right. Datasets have such images when they were recorded
with a robot that has side cameras (`--robot drone_recovery`).
"""

from __future__ import annotations

from typing import Callable, NamedTuple, Sequence

import numpy as np

from nav_pkg.core import DataError
from nav_pkg.data.pack import Pack
from nav_pkg.data.reader import Run
from nav_pkg.learn.action import ActionSpace

TURN = {"left": -1.0, "right": 1.0}
"""Which way the label of a camera's image turns: back to straight ahead (REP 103: left is positive)."""


class Recovery(NamedTuple):
    """How side cameras are learned from.

    Attributes:
        compensation: turn that brings the robot back, rad/s, above 0.
        space: limits the labels.
    """

    compensation: float
    space: ActionSpace

    def labels(self, yaw: np.ndarray, camera: str) -> np.ndarray:
        """The labels of a side camera's images.

        Args:
            yaw: float64 (frames,), the labels of the first camera's images, rad/s.
            camera: `left` or `right`.

        Returns:
            float64 (frames,), rad/s, in [-bound, bound].
        """
        return self.space.clip(yaw + TURN[camera] * self.compensation)


def recovery_samples(
    runs: Sequence[Run],
    yaw: Sequence[np.ndarray],
    recovery: Recovery,
    packs: Callable[[Sequence[Run], str], Sequence[Pack]],
) -> tuple[list[np.ndarray], list[np.ndarray], list[str]]:
    """Images, labels and names of the side cameras of training runs, each camera like a run of its own.

    Args:
        runs: the training runs.
        yaw: their labels, rad/s.
        recovery: how they are learned from.
        packs: gives the packs of runs for a camera.

    Returns:
        Three lists of equal length: uint8 (frames, height, width, 3), float64 (frames,), text.

    Raises:
        DataError: no run has a side camera.
    """
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    names: list[str] = []
    for camera in TURN:
        seen = [(run, turn) for run, turn in zip(runs, yaw) if camera in run.side_cameras]
        for (run, turn), pack in zip(seen, packs([run for run, _ in seen], camera)):
            images.append(pack.images)
            labels.append(recovery.labels(turn, camera))
            names.append(f"{run.name} ({camera} camera)")
    if not images:
        where = runs[0].path.parent if runs else "the dataset"
        raise DataError(
            f"--recovery_compensation {recovery.compensation:g}: no training run of {where} has recovery "
            "cameras: leave it out, or record with run_script.py --robot drone_recovery"
        )
    return images, labels, names
