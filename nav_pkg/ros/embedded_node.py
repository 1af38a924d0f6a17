"""The embedded simulator as a ROS node, with the topics and services of Gazebo's plugin (src/plugin.cpp).

OpenGL draws in one thread. This is the main thread, which `Gate` gives all work; the services' own threads
wait for it.
"""

from __future__ import annotations

import math
import os
import queue
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Callable, Tuple

import rospy
from geometry_msgs.msg import Twist
from std_srvs.srv import SetBool, SetBoolResponse

from nav_pkg.core import CONTROL_PERIOD_NS, Command, Pose, SimulatorError, UsageError
from nav_pkg.data.messages import command_from_twist
from nav_pkg.ros import direct_connection
from nav_pkg.ros.embedded_services import EmbeddedServices, rest_pose
from nav_pkg.ros.embedded_topics import EmbeddedTopics
from nav_pkg.ros.node_tools import stamp_of
from nav_pkg.ros.world_entities import WorldEntities
from nav_pkg.sim import description
from nav_pkg.sim.description import SimulatorOptions
from nav_pkg.sim.embedded.simulator import EmbeddedSimulator
from nav_pkg.sim.gazebo import master_answers
from nav_pkg.sim.network import check_master
from nav_pkg.srv import Reset, ResetResponse, Step, StepResponse

NAME = "gazebo"
"""The node's name: other nodes, bags and scripts know the simulator by it."""
DEFAULT_LIMIT = 30.0
"""Wall seconds for a request that names no limit."""
MASTER_LIMIT = 15.0
"""Wall seconds without an answer of the ROS master after which it counts as gone."""
LOCKSTEP_ONLY = "the embedded simulator has lock-step only; use --simulator gazebo"


class Gate:
    """Hands work of other threads to the main thread."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Tuple[Future, Callable[[], Any]]] = queue.SimpleQueue()

    def run(self, work: Callable[[], Any], limit: float = DEFAULT_LIMIT) -> Any:
        """Run a function in the main thread; called by any other thread.

        Args:
            work: the function; it raises only SimulatorError.
            limit: wall seconds until it begins.

        Returns:
            Its result.

        Raises:
            SimulatorError: from the function, or because the main thread was busy for too long.
        """
        future: Future = Future()
        self._work.put((future, work))
        try:
            return future.result(limit)
        except FutureTimeout:
            if future.cancel():
                raise SimulatorError(
                    "the simulator did not answer in time: another request keeps it busy"
                ) from None
            return future.result()  # it runs, and has a limit of its own

    def serve(self, wait: float) -> None:
        """Do what others have handed over, or wait for it; called by the main thread.

        Args:
            wait: wall seconds.
        """
        try:
            future, work = self._work.get(timeout=wait)
        except queue.Empty:
            return
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work())
        except SimulatorError as error:
            future.set_exception(error)


class EmbeddedNode:
    """The node: simulated time, and the services that move it.

    Args:
        options: world, robot and the rest.
        simulator: made with these options.
    """

    def __init__(self, options: SimulatorOptions, simulator: EmbeddedSimulator):
        self._physics = simulator.physics
        self._step_ns = round(options.physics_step * 1e9)
        self._now = self._touched = 0
        entities = WorldEntities.read(options)
        self._physics.place(entities.start)
        self._gate = Gate()
        robot = description.load_robot(options.robot)
        self._topics = EmbeddedTopics(simulator, robot, entities, options.seed)
        EmbeddedServices(self._physics, entities, options.physics_step, lambda: self._now, self._gate.run)
        rospy.Service("/gazebo/step", Step, self._on_step)
        rospy.Service("/gazebo/reset", Reset, self._on_reset)
        rospy.Service("/gazebo/set_lockstep", SetBool, self._on_set_lockstep)
        rospy.Subscriber(robot["topics"]["command"], Twist, self._on_command, queue_size=1)
        self._topics.publish_clock(self._now)

    def serve(self, stop: threading.Event) -> None:
        """Answer requests until `stop` is set.

        Raises:
            SimulatorError: the ROS master is gone, or has ended this node.
        """
        watch = _MasterWatch()
        while not stop.is_set():
            self._gate.serve(0.1)
            if watch.failure:
                raise SimulatorError(watch.failure)
            if rospy.is_shutdown():
                raise SimulatorError(
                    f"ROS has shut the node /{NAME} down: another one of this name has started"
                )

    # Time.

    def _advance(self, steps: int, deadline: float, move: Callable[[int], None]) -> None:
        """Take physics steps by `move`, and publish each frame that is due on the way."""
        while steps > 0:
            if time.monotonic() > deadline:
                raise SimulatorError(f"not simulated in time: it stands at {self._now * 1e-9:.3f} s")
            due = (self._now // CONTROL_PERIOD_NS + 1) * CONTROL_PERIOD_NS
            part = min(steps, -(-(due - self._now) // self._step_ns))
            move(part)
            self._now += part * self._step_ns
            steps -= part
            if self._now == due:
                self._topics.publish_frame(due, self._touched)
                self._touched = 0

    def _step(self, command: Command, steps: int, deadline: float) -> None:
        def move(part: int) -> None:
            self._touched |= self._physics.advance(command, part)

        self._advance(steps, deadline, move)

    def _place(self, pose: Tuple[float, ...], seed: int, deadline: float) -> None:
        """Put the robot at rest, and hold it there until the next but one multiple of the control period."""
        self._physics.place(Pose.from_quaternion(pose[:3], pose[3:]))  # type: ignore[arg-type]
        self._physics.move(pose, [0.0] * 6)  # the same without rounding
        self._touched = 0
        period = CONTROL_PERIOD_NS
        self._topics.seed, self._topics.first = seed, (-(-self._now // period) + 1) * period

        def hold(_part: int) -> None:
            self._touched |= self._physics.touched()

        self._advance(-(-(self._topics.first - self._now) // self._step_ns), deadline, hold)

    # Requests.

    def _answer(self, reply: Any, request: Any, problem: str, work: Callable[[float], None]) -> Any:
        limit = request.timeout if request.timeout > 0 else DEFAULT_LIMIT
        deadline = time.monotonic() + limit
        try:
            if problem:
                raise SimulatorError(problem)
            self._gate.run(lambda: work(deadline), min(limit, threading.TIMEOUT_MAX))
        except SimulatorError as error:
            reply.message = str(error)
        reply.success = not reply.message
        reply.stamp = stamp_of(self._now)
        return reply

    def _on_step(self, request: Any) -> StepResponse:
        command = command_from_twist(request.command)
        problem = "" if command.finite else "the command is not finite"
        return self._answer(
            StepResponse(), request, problem, lambda deadline: self._step(command, request.steps, deadline)
        )

    def _on_reset(self, request: Any) -> ResetResponse:
        pose = rest_pose(request.pose)
        problem = "" if all(map(math.isfinite, pose)) else "the pose is not finite"
        return self._answer(
            ResetResponse(), request, problem, lambda deadline: self._place(pose, request.seed, deadline)
        )

    def _on_set_lockstep(self, request: Any) -> SetBoolResponse:
        return SetBoolResponse(True, "lock-step") if request.data else SetBoolResponse(False, LOCKSTEP_ONLY)

    def _on_command(self, message: Twist) -> None:
        """In lock-step commands come with the steps; the topic is for rqt, bags and the like."""
        if not command_from_twist(message).finite:
            rospy.logwarn_throttle(5.0, "a command that is not finite was ignored")


class _MasterWatch:
    """Watches the ROS master in a thread of its own, since a master that hangs answers late.

    Attributes:
        failure: why it counts as gone; empty while it answers.
    """

    def __init__(self) -> None:
        self.failure = ""
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        uri = os.environ.get("ROS_MASTER_URI", "http://localhost:11311")
        last = time.monotonic()
        while time.monotonic() - last <= MASTER_LIMIT:
            time.sleep(3.0)
            if master_answers(uri):
                last = time.monotonic()
        self.failure = f"the ROS master at {uri} is gone"


def run(options: SimulatorOptions, stop: threading.Event) -> None:
    """Run the node until `stop` is set, or an exception of a signal handler ends it.

    Args:
        options: world, robot and the rest.
        stop: the end.

    Raises:
        SimulatorError: no ROS master; or it is gone; or OpenGL or the C++ library is missing.
        UsageError, DataError: the options, the world or the robot are invalid.
    """
    uri = os.environ.get("ROS_MASTER_URI", "http://localhost:11311")
    check_master(uri, options.listen)
    with EmbeddedSimulator(options) as simulator:
        if not master_answers(uri):
            raise SimulatorError(f"no ROS master at {uri}; start one (roscore) or use roslaunch")
        direct_connection.use()
        rospy.init_node(NAME, disable_signals=True)  # signals are the caller's
        try:
            if not rospy.get_param("/gazebo/lockstep", True):
                raise UsageError(
                    f"the parameter /gazebo/lockstep is false: {LOCKSTEP_ONLY}, or delete the parameter"
                )
            rospy.set_param("/use_sim_time", True)
            node = EmbeddedNode(options, simulator)
            print(
                f"[nav_pkg] ready: lock-step, physics step {options.physics_step * 1e3:g} ms, "
                f"robot {simulator.robot.name}, {simulator.driver}",
                flush=True,
            )
            node.serve(stop)
        finally:
            rospy.signal_shutdown("done")
