"""The robot's motion, contacts and lidar, computed by the C++ library (src/embedded)."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import numpy as np

from nav_pkg.core import Command, Pose, SimulatorError, Velocity
from nav_pkg.sim.embedded import library
from nav_pkg.sim.embedded.building import Building
from nav_pkg.sim.embedded.library import address
from nav_pkg.sim.embedded.robot_description import Lidar, RobotDescription

FLOOR, CEILING, WALLS = 1, 2, 4
"""The parts of a building, as bits."""
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
        self._robot = self._building = None
        self._library = library.load()
        self._step = step
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

    def move(self, pose: Sequence[float], twist: Sequence[float]) -> None:
        """Give the robot a pose and velocities (world frame).

        Args:
            pose: x, y, z in metres, and the unit quaternion's x, y, z, w. A robot on the floor then returns
                to the height at which it was placed.
            twist: velocity (3), m/s, and angular velocity (3), rad/s.
        """
        place, rates = np.array(pose, dtype=np.float64), np.array(twist, dtype=np.float64)
        self._library.nav_pkg_robot_move(self._robot, address(place), address(rates))

    def touched(self) -> int:
        """The parts of the building that the robot overlaps now: a sum of FLOOR, CEILING, WALLS; 0: none."""
        return self._library.nav_pkg_robot_touched(self._robot, self._building)

    def advance(self, command: Command, steps: int) -> int:
        """Execute a command for some physics steps; return what the robot touched, as `touched`."""
        self._command[:] = command
        return self._library.nav_pkg_robot_step(
            self._robot, self._building, address(self._command), steps, self._step
        )

    def numbers(self) -> List[float]:
        """The robot's state as 13 numbers; `body` then has the pose.

        They are position (3), metres, quaternion x, y, z, w, and in the robot's frame velocity (3), m/s, and
        angular velocity (3), rad/s.
        """
        self._library.nav_pkg_robot_state(self._robot, self._state_address)
        return self._state.tolist()

    def state(self) -> Tuple[Pose, Velocity]:
        """The pose (world frame) and the robot's own velocity; `body` then has the pose."""
        x, y, z, qx, qy, qz, qw, vx, vy, vz, _, _, yaw_rate = self.numbers()
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
