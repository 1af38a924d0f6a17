"""The robot's motion, contacts and lidar, computed by the C++ library (src/embedded)."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np

from nav_pkg.core import Command, Pose, SimulatorError, Velocity
from nav_pkg.sim.embedded import library
from nav_pkg.sim.embedded.building import Building
from nav_pkg.sim.embedded.library import address
from nav_pkg.sim.embedded.robot_description import Lidar, RobotDescription

GRAVITY = 9.81
"""m/s^2, as in the world files."""


class Physics:
    """A robot in a building.

    Args:
        building: the world.
        robot: the robot.
        step: physics step, seconds.

    Attributes:
        body: float64 (7,), the pose of the last `state`: x, y, z and the quaternion's x, y, z, w.
    """

    def __init__(self, building: Building, robot: RobotDescription, step: float):
        self._library = library.load()
        self._step = step
        self._robot = self._building = None
        self._lidar: Optional[Lidar] = None
        plan = building.plan
        corners = np.ascontiguousarray(building.collision, dtype=np.float64)
        reach = robot.lidar.range_max if robot.lidar is not None else 1.0
        self._building = self._library.nav_pkg_building_new(
            address(corners), len(corners), plan.floor, plan.ceiling, reach
        )
        settings = np.array(
            [robot.mass, *robot.inertia, GRAVITY, *robot.hull_centre, *robot.hull_size], dtype=np.float64
        )
        self._robot = self._library.nav_pkg_robot_new(address(settings), int(robot.ground))
        if not self._building or not self._robot:
            raise SimulatorError("no memory for the world")
        self._command, self._state = np.zeros(4), np.zeros(13)
        self._state_address = address(self._state)
        self.body = self._state[:7]

    def place(self, pose: Pose) -> None:
        """Place the robot at rest at a pose (world frame)."""
        values = np.array([*pose[:3], *pose.quaternion()])
        self._library.nav_pkg_robot_place(self._robot, address(values))

    def advance(self, command: Command, steps: int) -> bool:
        """Execute a command for some physics steps; return whether the robot touched the building."""
        self._command[:] = command
        touched = self._library.nav_pkg_robot_step(
            self._robot, self._building, address(self._command), steps, self._step
        )
        return bool(touched)

    def state(self) -> Tuple[Pose, Velocity]:
        """The pose (world frame) and the robot's own velocity; `body` then has the pose."""
        self._library.nav_pkg_robot_state(self._robot, self._state_address)
        x, y, z, qx, qy, qz, qw, vx, vy, vz, _, _, yaw_rate = self._state.tolist()
        return Pose.from_quaternion((x, y, z), (qx, qy, qz, qw)), Velocity(vx, vy, vz, yaw_rate)

    def scan(self, lidar: Lidar, seed: int, frame: int) -> np.ndarray:
        """The lidar's readings: float32 (rays,), metres, with the noise of a frame of an episode."""
        if lidar is not self._lidar:
            self._lidar = lidar
            self._mount = np.array([*lidar.pose[:3], *lidar.pose.quaternion()])
            self._limits = np.array([lidar.noise, lidar.range_min, lidar.range_max])
            self._distances = np.empty(lidar.rays)
            self._scan_addresses = (address(self._mount), address(self._limits), address(self._distances))
        mount, limits, distances = self._scan_addresses
        readings = np.empty(lidar.rays, dtype=np.float32)
        self._library.nav_pkg_robot_scan(
            *(self._robot, self._building, mount, lidar.rays, lidar.first, lidar.step),
            *(limits, seed, frame, distances, address(readings)),
        )
        return readings

    def close(self) -> None:
        """Free the library's memory. Further calls do nothing."""
        if self._robot:
            self._library.nav_pkg_robot_delete(self._robot)
        if self._building:
            self._library.nav_pkg_building_delete(self._building)
        self._robot = self._building = None

    def __del__(self) -> None:
        self.close()
