"""A short flight in the embedded simulator: prints a SHA-256 over all that it shows."""

from __future__ import annotations

import hashlib

from nav_pkg.core import CONTROL_PERIOD_NS, Command, Pose
from nav_pkg.sim.description import SimulatorOptions
from nav_pkg.sim.embedded.simulator import EmbeddedSimulator

OPTIONS = SimulatorOptions(width=160, height=120, depth_width=80, depth_height=60)
START = Pose(-1.0, 0.3, 1.0, 0.0, 0.0, 0.2)


def flight(simulator, seed=7):
    """SHA-256 over images, depth images, scans and poses of 25 frames."""
    total = hashlib.sha256()
    seen = simulator.reset(START, seed)
    for index in range(25):
        for array in (seen.rgb, seen.depth, seen.scan):
            total.update(array.tobytes())
        total.update(repr((seen.pose, seen.velocity, seen.contact)).encode())
        command = Command(0.8, 0.1, 0.05, 0.6 if index > 9 else -0.3)
        seen = simulator.step([(command, CONTROL_PERIOD_NS)])
    return total.hexdigest()


if __name__ == "__main__":
    with EmbeddedSimulator(OPTIONS) as embedded:
        print(flight(embedded))
