"""What follows from the environment's settings without a simulator: flights, simulator options, spaces."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Union

import numpy as np
from gymnasium import spaces

from nav_pkg.config.flight import FlightConfig
from nav_pkg.config.gym import ENVIRONMENT, GymConfig, from_arguments
from nav_pkg.core import NavError, Observation, UsageError
from nav_pkg.flight.body import Body
from nav_pkg.flight.schedule import FlightSchedule
from nav_pkg.learn.action import ActionSpace
from nav_pkg.session.robot_defaults import robot_defaults
from nav_pkg.sim import description
from nav_pkg.sim.description import SimulatorOptions
from nav_pkg.sim.embedded import robot_description
from nav_pkg.sim.embedded.robot_description import RobotDescription

QUARTER = 4
"""Images are this much narrower and lower than the robot's, unless the arguments give their size."""
FASTEST = 20.0
"""Bound of the velocity's entries, m/s and rad/s; no robot reaches it."""

Observed = Union[np.ndarray, Dict[str, np.ndarray]]


@dataclass(frozen=True)
class Settings:
    """The settings of an environment, resolved and checked.

    Attributes:
        config: the keyword arguments.
        schedule: the flights; a run's noise and start pose follow from its seed.
        options: of the simulator.
        body: the robot's body.
        robot: the robot's description.
        actions: converts actions to yaw rates and back.
    """

    config: GymConfig
    schedule: FlightSchedule
    options: SimulatorOptions
    body: Body
    robot: RobotDescription
    actions: ActionSpace

    @staticmethod
    def from_arguments(arguments: Mapping[str, Any]) -> Settings:
        """Resolve and check keyword arguments.

        Raises:
            UsageError, DataError: one line with the argument, its value and the remedy.
        """
        config = from_arguments(arguments)
        try:
            return _resolve(config)
        except NavError as error:
            # Messages name flags, which are arguments here.
            raise type(error)(f"{ENVIRONMENT}: {str(error).replace('--', '')}") from None

    def in_world(self, world: Optional[str], reverse: Optional[bool]) -> Settings:
        """The same settings in another world or direction; None: as here.

        Raises:
            UsageError, DataError: no such world.
        """
        changes: Dict[str, Any] = {}
        if world is not None and world != self.config.world:
            changes["world"] = world
        if reverse is not None and reverse != self.config.reverse:
            changes["reverse"] = reverse
        if not changes:
            return self
        arguments = {
            field.name: getattr(self.config, field.name) for field in dataclasses.fields(self.config)
        }
        return Settings.from_arguments({**arguments, **changes})

    def observation_space(self) -> spaces.Space:
        """The space of observations."""
        parts: Dict[str, spaces.Space] = {name: self._part(name) for name in self.config.observations}
        return parts["rgb"] if [*parts] == ["rgb"] else spaces.Dict(parts)

    def action_space(self) -> spaces.Space:
        """The space of actions: the yaw rate, rad/s, or its bin from right to left."""
        if self.actions.discrete:
            return spaces.Discrete(self.actions.quantity)
        bound = self.actions.bound
        return spaces.Box(-bound, bound, (1,), np.float32)

    def observe(self, observation: Observation) -> Observed:
        """An element of the observation space, in memory of its own."""
        parts = {name: self._observed(name, observation) for name in self.config.observations}
        return parts["rgb"] if [*parts] == ["rgb"] else parts

    def _part(self, name: str) -> spaces.Box:
        camera = self.robot.camera
        if name == "rgb":
            return spaces.Box(0, 255, (camera.height, camera.width, 3), np.uint8)
        if name == "velocity":
            return spaces.Box(-FASTEST, FASTEST, (4,), np.float32)
        if name == "depth":
            assert self.robot.depth_size is not None
            return spaces.Box(0.0, camera.far, self.robot.depth_size[::-1], np.float32)
        assert self.robot.lidar is not None
        return spaces.Box(0.0, self.robot.lidar.range_max, (self.robot.lidar.rays,), np.float32)

    def _observed(self, name: str, observation: Observation) -> np.ndarray:
        if name == "rgb":
            return np.array(observation.rgb)
        if name == "velocity":
            return np.clip(np.array(observation.velocity, np.float32), -FASTEST, FASTEST)
        values, far = observation.depth, self.robot.camera.far
        if name == "scan":
            assert self.robot.lidar is not None
            values, far = observation.scan, self.robot.lidar.range_max
        # fmin gives `far` for nan, too.
        return np.maximum(np.fmin(np.asarray(values, np.float32), np.float32(far)), np.float32(0.0))


def _resolve(config: GymConfig) -> Settings:
    given = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    values = {**given, **robot_defaults(given)}
    raw = description.load_robot(config.robot)
    for key in ("width", "height"):
        if given[key] is None:
            values[key] = math.ceil(int((raw.get("camera") or {}).get(key) or values[key]) / QUARTER)
    schedule = FlightSchedule(
        world=config.world,
        runs=1,
        **{
            field.name: values[field.name]
            for field in dataclasses.fields(FlightConfig)
            if field.name in values
        },
    )
    schedule = dataclasses.replace(schedule, alpha=0.0)
    schedule.check()
    options = SimulatorOptions(
        world=config.world,
        robot=config.robot,
        width=values["width"],
        height=values["height"],
        depth_width=values["depth_width"],
        depth_height=values["depth_height"],
        physics_step=config.physics_step,
    )
    options.check()
    robot = robot_description.read(options)
    for sensor, missing in (("depth", robot.depth_size is None), ("scan", robot.lidar is None)):
        if sensor in config.observations and missing:
            raise UsageError(f"observations: robot {robot.name} has no {sensor} with these settings")
    actions = ActionSpace(
        discrete=config.discrete,
        quantity=config.action_quantity,
        bound=config.action_bound,
        speed=values["speed"],
        turn_speed=values["turn_speed"],
    )
    return Settings(config, schedule, options, Body.from_robot(raw), robot, actions)
