"""What every simulator offers, whatever it is made of."""

from __future__ import annotations

from typing import Protocol

from nav_pkg.core import Command, Observation, Pose


class Simulator(Protocol):
    """A robot in a world that moves on only when it is told to.

    The same seed and the same commands after a reset give the same observations, byte for byte,
    within one simulator and across simulators of the same kind. All methods raise SimulatorError when
    the simulator fails or does not answer in time.
    """

    def reset(self, pose: Pose, seed: int) -> Observation:
        """Begin an episode: the robot at rest at a pose (world frame), all sensor noise seeded.

        Returns:
            The first observation at the new pose. Its stamp is a multiple of the control period;
            simulated time goes on and never runs backwards.
        """

    def step(self, command: Command) -> Observation:
        """Apply a command (heading frame: m/s forward, left, up; rad/s) for one control period.

        Returns:
            The observation at the end of the period, one control period after the one before.
        """

    def close(self) -> None:
        """End the simulator and all that belongs to it; harmless when called again."""
