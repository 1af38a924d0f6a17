"""The settings of the Gymnasium environment: the keyword arguments of `gymnasium.make`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from nav_pkg.config.flight import CameraConfig, FlightConfig
from nav_pkg.config.session import SimulationConfig
from nav_pkg.config.setting import Declared, declared, setting, shared
from nav_pkg.config.training import NetworkConfig
from nav_pkg.config.types import real
from nav_pkg.core import UsageError, nearest_name

ENVIRONMENT = "nav_pkg/Corridor-v0"
"""The environment's name in Gymnasium."""
SENSORS = ("rgb", "depth", "scan", "velocity")
_QUARTER = "(default: a quarter of the robot's)"


@dataclass(frozen=True)
class GymConfig:
    """Environment."""

    world: str = shared(SimulationConfig, "world")
    robot: str = shared(SimulationConfig, "robot")
    observations: Tuple[str, ...] = setting(
        ("rgb",),
        "what an observation consists of; only rgb: the image alone, otherwise a dictionary",
        str,
        nargs="+",
        choices=SENSORS,
    )
    width: Optional[int] = setting(None, f"camera width, pixels {_QUARTER}", int)
    height: Optional[int] = setting(None, f"camera height, pixels {_QUARTER}", int)
    depth_width: Optional[int] = shared(CameraConfig, "depth_width", default=None)
    depth_height: Optional[int] = shared(CameraConfig, "depth_height", default=None)
    discrete: bool = setting(False, "an action is a bin of the yaw rate instead of a yaw rate")
    action_quantity: int = shared(NetworkConfig, "action_quantity")
    action_bound: float = setting(1.0, "maximum yaw rate, rad/s", real(0, 1, open_least=True))
    progress_reward: float = setting(1.0, "reward for a metre of progress along the route", real(0))
    collision_penalty: float = setting(
        10.0, "subtracted from the reward when a run ends by collision or upside_down", real(0)
    )
    expert: str = shared(FlightConfig, "expert")
    speed: Optional[float] = shared(FlightConfig, "speed", default=None)
    turn_speed: Optional[float] = shared(FlightConfig, "turn_speed", default=None)
    z_pos: Optional[float] = shared(FlightConfig, "z_pos", default=None)
    control_delay: float = shared(FlightConfig, "control_delay")
    physics_step: float = shared(FlightConfig, "physics_step")
    noise: str = shared(FlightConfig, "noise")
    ou_theta: float = shared(FlightConfig, "ou_theta")
    sigma_x: float = shared(FlightConfig, "sigma_x")
    sigma_y: float = shared(FlightConfig, "sigma_y")
    sigma_z: float = shared(FlightConfig, "sigma_z")
    sigma_yaw: float = shared(FlightConfig, "sigma_yaw")
    start: str = shared(FlightConfig, "start")
    reverse: bool = shared(FlightConfig, "reverse")
    max_duration: float = shared(FlightConfig, "max_duration")
    min_depth: float = shared(FlightConfig, "min_depth")


def from_arguments(arguments: Mapping[str, Any]) -> GymConfig:
    """The settings from keyword arguments; each is converted as the flag of the same name.

    Raises:
        UsageError: an argument is unknown, or its value is not possible.
    """
    known = declared(GymConfig)
    values: Dict[str, Any] = {}
    for key, value in arguments.items():
        if key not in known:
            raise UsageError(f"{ENVIRONMENT} has no argument {key!r}{nearest_name(key, list(known))}")
        values[key] = _converted(known[key], value)
    config = GymConfig(**values)
    if config.action_quantity != GymConfig.action_quantity and not config.discrete:
        raise UsageError(
            f"{ENVIRONMENT}: action_quantity {config.action_quantity} has no effect without discrete=True"
        )
    return config


def _converted(each: Declared, value: Any) -> Any:
    about = each.about
    if value is None and each.default is None:
        return None
    if about.convert is None:
        if value not in (True, False):
            raise UsageError(f"{ENVIRONMENT}: {each.key} is {value!r}; it has to be True or False")
        return bool(value)
    several = about.nargs == "+"
    words = [value] if not several or isinstance(value, str) else value
    try:
        if any(isinstance(word, bool) or word is None for word in words):
            raise TypeError
        converted = tuple(about.convert(str(word)) for word in words)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"{ENVIRONMENT}: {each.key}: {error}") from None
    except (TypeError, ValueError):
        kind = {int: "a whole number", float: "a number"}.get(about.convert, "text")  # type: ignore[call-overload]
        raise UsageError(f"{ENVIRONMENT}: {each.key} is {value!r}; it has to be {kind}") from None
    for word in converted:
        if about.choices is not None and word not in about.choices:
            hint = nearest_name(str(word), list(about.choices))
            raise UsageError(f"{ENVIRONMENT}: {each.key} cannot be {word!r}{hint}")
    if several and not (converted and len({*converted}) == len(converted)):
        raise UsageError(f"{ENVIRONMENT}: {each.key} is {value!r}; it needs one or more, each once")
    return converted if several else converted[0]
