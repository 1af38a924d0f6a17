"""Samples from recovery cameras: the view of a robot that has turned away, with a label to turn back.

The method is from Bojarski et al., "End to End Learning for Self-Driving Cars" (2016). A camera that looks
to the left shows what the first camera would show if the robot were turned to the left. The label of its
image is therefore the frame's label, turned to the right. Datasets have such images if they were recorded
with a robot that has side cameras (`--robot drone_recovery`).
"""

from __future__ import annotations

from typing import Callable, NamedTuple, Sequence

import numpy as np

from nav_pkg.core import DataError
from nav_pkg.data.packs.pack import Pack
from nav_pkg.data.reader import Run
from nav_pkg.learn.action import ActionSpace

TURN = {"left": -1.0, "right": 1.0}
"""Direction in which a camera's label turns: back to straight ahead (REP 103: left is positive)."""


class Recovery(NamedTuple):
    """Settings for learning from side cameras.

    Attributes:
        compensation: yaw rate that turns the robot back, rad/s, above 0.
        space: action space that limits the labels.
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
    """Images, labels and names of the side cameras of training runs; each camera is treated as its own run.

    Args:
        runs: the training runs.
        yaw: their labels, rad/s.
        recovery: settings for learning from side cameras.
        packs: loads the packs of runs for a camera.

    Returns:
        Three lists of equal length: uint8 (frames, height, width, 3), float64 (frames,), text.

    Raises:
        DataError: no run has a side camera.
    """
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    names: list[str] = []
    for camera in TURN:
        with_camera = [(run, turn) for run, turn in zip(runs, yaw) if camera in run.side_cameras]
        for (run, turn), pack in zip(with_camera, packs([run for run, _ in with_camera], camera)):
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
