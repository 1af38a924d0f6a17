"""The embedded simulator behind the protocol of all simulators."""

from __future__ import annotations

import math
from typing import Optional, Sequence, Tuple

import numpy as np

from nav_pkg.control.delay import Segment
from nav_pkg.core import CONTROL_PERIOD_NS, Observation, Pose, SimulatorError, UsageError
from nav_pkg.sim.description import SimulatorOptions
from nav_pkg.sim.embedded import building, robot_description
from nav_pkg.sim.embedded.physics import Physics
from nav_pkg.sim.embedded.renderer import Renderer
from nav_pkg.world import load_plan


class EmbeddedSimulator:
    """A robot in a world, within this process; see `nav_pkg.sim.protocol.Simulator`.

    Args:
        options: world, robot, image sizes, physics step. `lockstep` is the only mode.
        backend: of OpenGL; see `context.create`.

    Attributes:
        robot: the robot's description.
        plan: the world's floor plan.
        physics: the robot's motion, contacts and lidar.

    Raises:
        UsageError: OpenGL or the C++ library is missing.
        UsageError, DataError: the options, the world or the robot are invalid.
    """

    def __init__(self, options: SimulatorOptions, backend: Optional[str] = None):
        options.check()
        if not options.lockstep or options.gui:
            raise UsageError(
                "the embedded simulator has lock-step only, and no window; use --simulator gazebo"
            )
        self.robot = robot_description.read(options)
        if round(self.robot.control_period * 1e9) != CONTROL_PERIOD_NS:
            raise UsageError(
                f"--rate: the embedded simulator's control period is {CONTROL_PERIOD_NS * 1e-9:g} s"
            )
        self.plan = load_plan(options.world)
        world = building.read(self.plan)
        self._step_ns = round(options.physics_step * 1e9)
        self.physics = Physics(world, self.robot, options.physics_step)
        self._renderer = Renderer(world, self.robot.shapes, backend)
        self._view = self._renderer.view(self.robot.camera, self.robot.depth_size)
        self._side_views = {name: self._renderer.view(side) for name, side in self.robot.side_cameras.items()}
        self._seed, self._frame, self._stamp = options.seed, 0, 0
        self._begun = self._closed = False

    @property
    def driver(self) -> str:
        """The OpenGL driver: backend, renderer and version."""
        return f"{self._renderer.backend}: {self._renderer.driver}"

    def reset(self, pose: Pose, seed: int) -> Observation:
        """See `Simulator.reset`."""
        if not all(math.isfinite(value) for value in pose):
            raise SimulatorError(f"the start pose is not finite: {tuple(pose)}")
        self._check_open()
        self.physics.place(pose)
        self._seed, self._frame, self._begun = seed, 0, True
        self._stamp += CONTROL_PERIOD_NS
        return self._observe(self.physics.touched())

    def step(self, segments: Sequence[Segment]) -> Observation:
        """See `Simulator.step`."""
        self._check_open()
        if not self._begun:
            raise SimulatorError("step before the first reset")
        touched = 0
        for command, duration in segments:
            if not command.finite:
                raise SimulatorError(f"the command is not finite: {tuple(command)}")
            if duration % self._step_ns:
                raise SimulatorError(f"{duration * 1e-9:g} s are no multiple of the physics step")
            touched |= self.physics.advance(command, duration // self._step_ns)
            self._stamp += duration
        self._frame += 1
        return self._observe(touched)

    def close(self) -> None:
        """See `Simulator.close`."""
        self._closed = True
        self._renderer.close()
        self.physics.close()

    def _observe(self, touched: int) -> Observation:
        pose, velocity = self.physics.state()
        body, lidar = self.physics.body, self.robot.lidar
        rgb, depth = self._view.render(body)
        return Observation(
            stamp=self._stamp,
            pose=pose,
            velocity=velocity,
            rgb=rgb,
            depth=depth,
            scan=None if lidar is None else self.physics.scan(lidar, self._seed, self._frame),
            contact=bool(touched),
            sides={name: view.render(body)[0] for name, view in self._side_views.items()},
        )

    def image(self, name: str = "") -> Tuple[np.ndarray, Optional[np.ndarray]]:
        """Render the images of one camera at the robot's present pose.

        Args:
            name: `left` or `right` for a side camera; empty: the first camera.

        Returns:
            See `View.render`. Only the first camera has depth images, if the robot has any.
        """
        self._check_open()
        self.physics.state()
        return (self._side_views[name] if name else self._view).render(self.physics.body)

    def _check_open(self) -> None:
        if self._closed:
            raise SimulatorError("the simulator is closed")

    def __enter__(self) -> EmbeddedSimulator:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
