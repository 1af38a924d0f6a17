"""Properties of a robot's body that a run needs: whether it flies or drives, and its limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Tuple

from nav_pkg.core import DataError, nearest_name

DRIVES = ("flight", "ground")
_KEYS = ("speed", "turn_speed", "min_depth", "depth_rows", "time_factor")


@dataclass(frozen=True)
class Body:
    """A robot's body, read from its robot file; the defaults are those of the drone.

    Attributes:
        name: name of the robot.
        ground: whether the robot stays on the floor: runs begin at once, and no height is kept.
        speed, turn_speed: default forward speeds, m/s; flags override them.
        min_depth: nearest obstacle that counts as a collision, m; None for the world's value.
        depth_rows: the part of the depth image that is used, shares of its height from the top.
        time_factor: factor of the world's time limit.
    """

    name: str = "drone"
    ground: bool = False
    speed: float = 0.8
    turn_speed: float = 0.8
    min_depth: Optional[float] = None
    depth_rows: Tuple[float, float] = (0.0, 1.0)
    time_factor: float = 1.0

    @staticmethod
    def from_robot(robot: Mapping[str, Any]) -> Body:
        """Read the body from a robot file.

        Args:
            robot: the content of the file.

        Raises:
            DataError: `drive` or an entry of `runs` is invalid.
        """
        name, usual = str(robot.get("name")), list(_KEYS)
        drive, runs = robot.get("drive", "flight"), robot.get("runs") or {}
        if drive not in DRIVES:
            raise DataError(f"robot {name}: drive is {drive!r}{nearest_name(str(drive), list(DRIVES))}")
        if not isinstance(runs, dict):
            raise DataError(f"robot {name}: runs is {runs!r}; it has to map {', '.join(_KEYS)} to numbers")
        for key, value in runs.items():
            if key not in _KEYS:
                raise DataError(f"robot {name}: runs: unknown key {key!r}{nearest_name(str(key), usual)}")
            if key == "depth_rows":
                good = isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))
                good = good and 0 <= value[0] < value[1] <= 1
                expected = "two growing shares between 0 and 1"
            else:
                good, expected = _is_number(value) and value > 0, "a number above 0"
            if not good:
                raise DataError(f"robot {name}: runs/{key} is {value!r}; it has to be {expected}")
        rows = tuple(runs.get("depth_rows", (0.0, 1.0)))
        return Body(**{**runs, "name": name, "ground": drive == "ground", "depth_rows": rows})


DRONE = Body()
"""The default body: a drone."""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
