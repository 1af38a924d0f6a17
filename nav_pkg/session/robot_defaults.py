"""Flags whose default comes from the robot: image sizes and speeds."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from nav_pkg.config.session import SessionConfig
from nav_pkg.config.setting import declared
from nav_pkg.core import UsageError
from nav_pkg.flight.body import Body
from nav_pkg.sim import description

_FLIES_ONLY = ("z_pos", "sigma_y", "sigma_z")


def robot_defaults(values: Mapping[str, Any]) -> Dict[str, Any]:
    """The robot's values for the settings that were not given (None).

    Args:
        values: the settings of a session by key.

    Raises:
        UsageError: the robot does not exist, or a flag has no effect on it.
        DataError: the file is not a robot file.
    """
    robot = description.read_robot(values["robot"])
    body = Body.from_robot(robot)
    if body.ground:
        for flag in _FLIES_ONLY:
            if values[flag]:
                raise UsageError(
                    f"--{flag} {values[flag]:g} has no effect: {body.name} stays on the floor and "
                    "does not move sideways: leave it out"
                )
    camera, depth = robot.get("camera") or {}, robot.get("depth") or {}
    own = {
        "width": camera.get("width"),
        "height": camera.get("height"),
        "depth_width": depth.get("width"),
        "depth_height": depth.get("height"),
        "speed": body.speed,
        "turn_speed": body.turn_speed,
    }
    defaults = {}
    for key, each in declared(SessionConfig).items():
        if each.about.of_robot and values[key] is None:
            defaults[key] = each.default if own.get(key) is None else own[key]
    return defaults
