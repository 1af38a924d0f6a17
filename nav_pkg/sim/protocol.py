"""The interface of all simulators."""

from __future__ import annotations

from typing import Protocol, Sequence

from nav_pkg.control.delay import Segment
from nav_pkg.core import Observation, Pose


class Simulator(Protocol):
    """A robot in a world, advanced one control period at a time.

    The same seed and the same commands after a reset give the same observations, byte for byte, within one
    simulator and across simulators of the same kind. (A real robot, which uses this protocol too, does not
    guarantee this.) All methods raise SimulatorError if the simulator fails or does not answer in time.
    """

    def reset(self, pose: Pose, seed: int) -> Observation:
        """Begin an episode: place the robot at rest at a pose (world frame), and seed all sensor noise.

        Returns:
            The first observation at the new pose. Its stamp is a multiple of the control period. Simulated
            time continues and never runs backwards.
        """

    def step(self, segments: Sequence[Segment]) -> Observation:
        """Execute commands for one control period.

        Args:
            segments: commands (heading frame: m/s forward, left, up; rad/s) with their durations in
                nanoseconds, in order; together one control period.

        Returns:
            The observation at the end of the period, one control period after the previous one.
        """

    def close(self) -> None:
        """Stop the simulator and all its processes. Further calls do nothing."""
