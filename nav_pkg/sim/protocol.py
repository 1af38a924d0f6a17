"""What every simulator offers, whatever it is made of."""

from __future__ import annotations

from typing import Protocol, Sequence

from nav_pkg.control.delay import Segment
from nav_pkg.core import Observation, Pose


class Simulator(Protocol):
    """A robot in a world that is flown one control period after the other.

    The same seed and the same commands after a reset give the same observations, byte for byte,
    within one simulator and across simulators of the same kind. (A real robot, which is flown over this
    protocol too, promises no such thing.) All methods raise SimulatorError when the simulator fails or
    does not answer in time.
    """

    def reset(self, pose: Pose, seed: int) -> Observation:
        """Begin an episode: the robot at rest at a pose (world frame), all sensor noise seeded.

        Returns:
            The first observation at the new pose. Its stamp is a multiple of the control period;
            simulated time goes on and never runs backwards.
        """

    def step(self, segments: Sequence[Segment]) -> Observation:
        """Execute commands for one control period.

        Args:
            segments: commands (heading frame: m/s forward, left, up; rad/s) with their durations in
                nanoseconds, in order; together one control period.

        Returns:
            The observation at the end of the period, one control period after the one before.
        """

    def close(self) -> None:
        """End the simulator and all that belongs to it; harmless when called again."""
