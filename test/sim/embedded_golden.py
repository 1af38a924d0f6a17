"""Images of the embedded simulator at fixed poses, and the file that they are compared with.

python test/sim/embedded_golden.py writes the file anew.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from nav_pkg.core import Pose
from nav_pkg.sim.description import SimulatorOptions
from nav_pkg.sim.embedded.simulator import EmbeddedSimulator

FILE = Path(__file__).parent / "golden_embedded.json"
ROBOTS = ("drone", "drone_recovery", "turtlebot3")
SIZE = {"width": 160, "height": 120, "depth_width": 80, "depth_height": 60}
PLACES = (5.0, 47.0, 110.0)
"""Along the route, metres."""
BLOCK = 20
"""Side of the squares whose mean colours are stored, pixels."""


def images(robot):
    """Images by name: `0 rgb`, `0 depth`, `0 left`, ..."""
    found = {}
    with EmbeddedSimulator(SimulatorOptions(robot=robot, **SIZE)) as simulator:
        driver = simulator.driver
        for number, place in enumerate(PLACES):
            at = simulator.plan.route.pose_at(place)
            height, tilt = (0.0, 0.0) if simulator.robot.ground else (1.1, 0.06)
            seen = simulator.reset(Pose(at.x, at.y, height, tilt, -tilt, at.yaw + 0.3 * number), seed=number)
            found.update({f"{number} rgb": seen.rgb, f"{number} depth": seen.depth})
            found.update({f"{number} {name}": image for name, image in seen.sides.items()})
    return driver, found


def digest(image):
    """SHA-256 of an image's bytes."""
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


def coarse(image):
    """Means of colour (0 to 255) over squares, or medians of depth (m): float64 (rows, columns[, 3])."""
    side = BLOCK if image.ndim == 3 else BLOCK // 2
    rows, columns = image.shape[0] // side, image.shape[1] // side
    parts = image.reshape(rows, side, columns, side, -1)
    reduced = parts.mean(axis=(1, 3)) if image.ndim == 3 else np.median(parts, axis=(1, 3))[..., 0]
    return reduced.round(3)


def main():
    """Write the file."""
    content = {"driver": "", "images": {}}
    for robot in ROBOTS:
        content["driver"], found = images(robot)
        content["images"][robot] = {
            name: {"sha256": digest(image), "coarse": coarse(image).tolist()} for name, image in found.items()
        }
    FILE.write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
