"""Flags whose default is the robot's own: image sizes, speeds, height."""

from __future__ import annotations

import argparse

from nav_pkg.core import UsageError
from nav_pkg.flight.body import Body
from nav_pkg.sim import description

HEIGHT = 1.0
"""Metres, where no flag and no robot says otherwise."""

_FLIES_ONLY = ("z_pos", "sigma_y", "sigma_z")


def take_robot_defaults(args: argparse.Namespace) -> None:
    """Fill in the robot's own values where a flag was not given (None).

    Args:
        args: has `robot`, `width`, `height`, `depth_width`, `depth_height`, `speed`, `turn_speed`, `z_pos`.

    Raises:
        UsageError: no such robot, or a flag that has no effect on it.
        DataError: not a robot file.
    """
    robot = description.read_robot(args.robot)
    body = Body.of(robot)
    if body.ground:
        for flag in _FLIES_ONLY:
            if getattr(args, flag, None):
                raise UsageError(
                    f"--{flag} {getattr(args, flag):g} has no effect: {body.name} stays on the floor and "
                    "does not move sideways: leave it out"
                )
    camera, depth = robot.get("camera") or {}, robot.get("depth") or {}
    own = {
        "width": camera.get("width", 640),
        "height": camera.get("height", 360),
        "depth_width": depth.get("width", 160),
        "depth_height": depth.get("height", 90),
        "speed": body.speed,
        "turn_speed": body.turn_speed,
        "z_pos": HEIGHT,
    }
    for flag, value in own.items():
        if getattr(args, flag) is None:
            setattr(args, flag, value)
