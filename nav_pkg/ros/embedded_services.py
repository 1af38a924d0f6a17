"""The gazebo_msgs services of the embedded simulator's node, as those of Gazebo (src/world_services.cpp)."""

from __future__ import annotations

import math
from typing import Any, Callable, Tuple

import rospy
from geometry_msgs.msg import Pose, Twist, Vector3
from std_srvs.srv import Empty, EmptyResponse

from gazebo_msgs.msg import ModelState
from gazebo_msgs.srv import (
    DeleteModel,
    DeleteModelResponse,
    GetModelState,
    GetModelStateResponse,
    GetPhysicsProperties,
    GetPhysicsPropertiesResponse,
    GetWorldProperties,
    GetWorldPropertiesResponse,
    SetModelState,
    SetModelStateResponse,
    SetPhysicsProperties,
    SetPhysicsPropertiesResponse,
    SpawnModel,
    SpawnModelResponse,
)
from nav_pkg.core import SimulatorError
from nav_pkg.ros.embedded_topics import pose_of
from nav_pkg.ros.node_tools import stamp_of
from nav_pkg.ros.world_entities import WorldEntities, conjugate, normalised, product, turned
from nav_pkg.sim.embedded.physics import Physics

FIXED = "the models of the embedded simulator's world are fixed; use --simulator gazebo"
_NO_TURN = (0.0, 0.0, 0.0, 1.0)

State = Tuple[Tuple[float, ...], Tuple[float, ...], Tuple[float, ...], Tuple[float, ...]]
"""Position, quaternion x, y, z, w, velocity and angular velocity, all in the world frame."""


class EmbeddedServices:
    """Offers the services.

    Args:
        physics: the robot.
        entities: names and places of the world.
        physics_step: seconds.
        now: simulated time, nanoseconds.
        run: runs a function between two steps and returns its result; raises SimulatorError.
    """

    def __init__(
        self,
        physics: Physics,
        entities: WorldEntities,
        physics_step: float,
        now: Callable[[], int],
        run: Callable[[Callable[[], Any]], Any],
    ):
        self._physics, self._entities, self._step = physics, entities, physics_step
        self._now, self._run = now, run
        self._paused = False
        for name, kind, handler in (
            ("pause_physics", Empty, lambda _request: self._pause(True)),
            ("unpause_physics", Empty, lambda _request: self._pause(False)),
            ("reset_world", Empty, self._reset_world),
            ("reset_simulation", Empty, self._reset_world),
            ("set_model_state", SetModelState, self._set_state),
            ("get_model_state", GetModelState, self._get_state),
            ("spawn_sdf_model", SpawnModel, lambda _: SpawnModelResponse(False, f"SpawnModel: {FIXED}")),
            ("delete_model", DeleteModel, lambda _: DeleteModelResponse(False, f"DeleteModel: {FIXED}")),
            ("get_world_properties", GetWorldProperties, self._get_world),
            ("get_physics_properties", GetPhysicsProperties, self._get_physics),
            (
                "set_physics_properties",
                SetPhysicsProperties,
                lambda _: SetPhysicsPropertiesResponse(
                    False, "SetPhysicsProperties: the embedded simulator's are fixed; use --simulator gazebo"
                ),
            ),
        ):
            rospy.Service(f"/gazebo/{name}", kind, handler)
        rospy.Subscriber("/gazebo/set_model_state", ModelState, self._on_model_state, queue_size=10)

    def place_at_start(self) -> None:
        """Put the robot at rest where the world's file has it."""
        start = self._entities.start
        self._physics.move([*start[:3], *start.quaternion()], [0.0] * 6)

    def _pause(self, paused: bool) -> EmptyResponse:
        """Time stands still between steps anyway, and a step is executed even when paused, as in Gazebo."""
        self._paused = paused
        return EmptyResponse()

    def _reset_world(self, _request: Any) -> EmptyResponse:
        self._run(self.place_at_start)
        return EmptyResponse()

    def _state(self, name: str, what: str = "model") -> State:
        """The state of a model, or of whatever has this name.

        Raises:
            SimulatorError: nothing has it.
        """
        entities = self._entities
        known = entities.models if what == "model" else entities.places
        if name not in known:
            raise SimulatorError(f"no {what} named '{name}'{' to refer to' if what != 'model' else ''}")
        model, offset = entities.places[name]
        if model == entities.robot:
            numbers = self._physics.numbers()
            place, turn = tuple(numbers[:3]), tuple(numbers[3:7])
            spin = turned(turn, numbers[10:13])
            velocity: Tuple[float, ...] = turned(turn, numbers[7:10])
        else:
            place, turn, velocity, spin = (0.0, 0.0, 0.0), _NO_TURN, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
        arm = turned(turn, offset[:3])
        velocity = _plus(velocity, _cross(spin, arm))
        return _plus(place, arm), product(turn, offset.quaternion()), velocity, spin

    def _frame(self, name: str) -> State:
        """The state of a frame of reference; see `_state`."""
        if name in ("", "world", "map", "/map"):
            return (0.0, 0.0, 0.0), _NO_TURN, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
        return self._state(name, "model or link")

    def _apply(self, state: ModelState) -> None:
        entities, pose = self._entities, state.pose
        if state.model_name not in entities.models:
            raise SimulatorError(f"SetModelState: no model named '{state.model_name}'")
        place = _tuple(pose.position)
        turn = normalised((pose.orientation.x, pose.orientation.y, pose.orientation.z, pose.orientation.w))
        linear, angular = _tuple(state.twist.linear), _tuple(state.twist.angular)
        if not all(map(math.isfinite, (*place, *turn, *linear, *angular))):
            raise SimulatorError("SetModelState: not finite")
        if state.model_name != entities.robot:
            raise SimulatorError(f"SetModelState: {FIXED}")
        try:
            origin, axes, _, _ = self._frame(state.reference_frame)
        except SimulatorError as error:
            raise SimulatorError(f"SetModelState: {error}") from None
        self._physics.move(
            [*_plus(origin, turned(axes, place)), *product(axes, turn)],
            [*turned(axes, linear), *turned(axes, angular)],
        )

    def _set_state(self, request: Any) -> SetModelStateResponse:
        try:
            self._run(lambda: self._apply(request.model_state))
        except SimulatorError as error:
            return SetModelStateResponse(False, str(error))
        return SetModelStateResponse(True, "SetModelState: set model state done")

    def _on_model_state(self, message: ModelState) -> None:
        reply = self._set_state(SetModelState._request_class(message))
        if not reply.success:
            rospy.logwarn_throttle(1.0, reply.status_message)

    def _get_state(self, request: Any) -> GetModelStateResponse:
        def read() -> Tuple[int, State, State]:
            return self._now(), self._state(request.model_name), self._frame(request.relative_entity_name)

        try:
            stamp, (place, turn, linear, angular), (origin, axes, drift, spin) = self._run(read)
        except SimulatorError as error:
            return GetModelStateResponse(success=False, status_message=f"GetModelState: {error}")
        back = conjugate(axes)
        reply = GetModelStateResponse(success=True, status_message="GetModelState: got properties")
        reply.pose = pose_of([*turned(back, _plus(place, origin, -1)), *product(back, turn)])
        reply.twist = Twist(
            Vector3(*turned(back, _plus(linear, drift, -1))), Vector3(*turned(back, _plus(angular, spin, -1)))
        )
        reply.header.stamp, reply.header.frame_id = stamp_of(stamp), request.relative_entity_name
        return reply

    def _get_world(self, _request: Any) -> GetWorldPropertiesResponse:
        return GetWorldPropertiesResponse(
            sim_time=self._run(self._now) * 1e-9,
            model_names=self._entities.models,
            rendering_enabled=True,
            success=True,
            status_message="GetWorldProperties: got properties",
        )

    def _get_physics(self, _request: Any) -> GetPhysicsPropertiesResponse:
        """What Gazebo has for the same world: only step and gravity have a meaning here."""
        reply = GetPhysicsPropertiesResponse(
            time_step=self._step,
            pause=self._paused,
            gravity=Vector3(*self._entities.gravity),
            success=True,
            status_message="GetPhysicsProperties: got properties",
        )
        values, ode = self._entities.ode, reply.ode_config
        ode.sor_pgs_precon_iters = int(values["solver/precon_iters"])
        ode.sor_pgs_iters, ode.sor_pgs_w = int(values["solver/iters"]), values["solver/sor"]
        ode.contact_surface_layer = values["constraints/contact_surface_layer"]
        ode.contact_max_correcting_vel = values["constraints/contact_max_correcting_vel"]
        ode.cfm, ode.erp = values["constraints/cfm"], values["constraints/erp"]
        ode.max_contacts = int(values["max_contacts"])
        return reply


def rest_pose(message: Pose) -> Tuple[float, ...]:
    """x, y, z and the unit quaternion's x, y, z, w of a Pose message."""
    turn = message.orientation
    return (*_tuple(message.position), *normalised((turn.x, turn.y, turn.z, turn.w)))


def _tuple(vector: Any) -> Tuple[float, float, float]:
    return (vector.x, vector.y, vector.z)


def _plus(first: Tuple[float, ...], second: Tuple[float, ...], sign: int = 1) -> Tuple[float, ...]:
    return tuple(a + sign * b for a, b in zip(first, second))


def _cross(a: Tuple[float, ...], b: Tuple[float, ...]) -> Tuple[float, float, float]:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
