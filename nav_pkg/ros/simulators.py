"""The simulators of the supervisor: Gazebo in lock-step, or a free-running robot (or Gazebo).

Both implement `nav_pkg.sim.protocol.Simulator` over ROS topics, and return the answers of expert and learner.
"""

from __future__ import annotations

import math
import threading
import time
from typing import Dict, List, Optional, Sequence

import rospy
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import LaserScan

from gazebo_msgs.msg import ContactsState, ModelState
from gazebo_msgs.srv import SetModelState
from nav_pkg.control.delay import Segment
from nav_pkg.core import CONTROL_PERIOD_NS, Command, Observation, Pose, SimulatorError
from nav_pkg.data.messages import (
    command_from_twist,
    pose_from_odometry,
    scan_to_array,
    stamp_ns,
    velocity_from_odometry,
)
from nav_pkg.ros import node_tools
from nav_pkg.ros.convert import pose_message, twist_from_command
from nav_pkg.ros.images import image_message_type, image_to_array
from nav_pkg.ros.robot import Robot
from nav_pkg.ros.synchronizer import StampSynchronizer
from nav_pkg.srv import Reset, Step

ARRIVAL_DISTANCE = 0.3
"""Maximum distance in metres from the start pose at which a placed robot counts as arrived."""


class RosSimulator:
    """The sensor topics of a robot, joined by their exact stamp. Subclasses move the robot.

    Args:
        robot: its topics.
        commands: topics (TwistStamped) with an answer to every observation.
        wait_limit: wall seconds for the messages of one stamp.
    """

    def __init__(self, robot: Robot, command_topics: Sequence[str], wait_limit: float):
        self._robot, self._command_topics, self._limit = robot, list(command_topics), wait_limit
        self._sensors = [robot.odometry, robot.depth, robot.scan, robot.contacts]
        self._synchronizer = StampSynchronizer()
        self._command = rospy.Publisher(robot.command, Twist, queue_size=10)
        for topic, kind in (
            (robot.odometry, Odometry),
            (robot.depth, image_message_type(robot.depth)),
            (robot.scan, LaserScan),
            (robot.contacts, ContactsState),
            *((topic, TwistStamped) for topic in self._command_topics),
        ):
            rospy.Subscriber(
                topic, kind, self._on_message, topic, buff_size=node_tools.IMAGE_BUFFER, tcp_nodelay=True
            )
        rospy.on_shutdown(self.close)

    def _on_message(self, message, topic: str) -> None:
        self._synchronizer.add(topic, stamp_ns(message.header.stamp), message)

    @property
    def topics(self) -> List[str]:
        """The topics that must be connected before the first run."""
        return [*self._sensors, *self._command_topics]

    def connect(self, limit: float) -> None:
        """Connect to the required services.

        Raises:
            SimulatorError: a service is not available within `limit` wall seconds.
        """
        raise NotImplementedError

    def reset(self, pose: Pose, seed: int) -> Observation:
        """See `Simulator.reset`."""
        raise NotImplementedError

    def step(self, segments: Sequence[Segment]) -> Observation:
        """See `Simulator.step`."""
        self.execute(segments)
        return self.observe_next()

    def execute(self, segments: Sequence[Segment]) -> None:
        """Begin a control period with these commands. A robot must not wait for anything else first."""
        raise NotImplementedError

    def observe_next(self) -> Observation:
        """The observation at the end of the control period that `execute` began.

        Raises:
            SimulatorError: it did not come within the limit.
        """
        raise NotImplementedError

    def commands(self, stamp: int) -> Dict[str, Command]:
        """The answers to the observation of a stamp (ns), by topic, without those that are missing.

        Raises:
            SimulatorError: a required answer did not arrive within the limit.
        """
        raise NotImplementedError

    def forget(self, stamp: int) -> None:
        """Drop the messages up to a stamp, nanoseconds."""
        self._synchronizer.forget(stamp)

    def halt(self) -> None:
        """Publish a zero command at the end of a run."""
        self._command.publish(Twist())

    def close(self) -> None:
        """See `Simulator.close`: pending waits raise a SimulatorError."""
        self._synchronizer.close("ROS shut down")

    def _observe(self, stamp: int) -> Observation:
        messages = self._synchronizer.wait(stamp, self._sensors, self._limit)
        odometry = messages[self._robot.odometry]
        return Observation(
            stamp=stamp,
            pose=pose_from_odometry(odometry),
            velocity=velocity_from_odometry(odometry),
            depth=image_to_array(messages[self._robot.depth]),
            scan=scan_to_array(messages[self._robot.scan]),
            contact=bool(messages[self._robot.contacts].states),
        )


class LockstepGazebo(RosSimulator):
    """Gazebo with the lock-step plugin: simulated time advances only in `step`.

    Args:
        robot: see RosSimulator.
        commands: see RosSimulator.
        wait_limit: see RosSimulator; also wall seconds for a step.
        physics_step: Gazebo's, seconds.
    """

    def __init__(self, robot: Robot, command_topics: Sequence[str], wait_limit: float, physics_step: float):
        super().__init__(robot, command_topics, wait_limit)
        self._step_ns = round(physics_step * 1e9)
        self._stamp = 0
        self._segments: Sequence[Segment] = ()

    def connect(self, limit: float) -> None:
        """Connect to the plugin's services."""
        self._step = node_tools.connect("/gazebo/step", Step, limit)
        self._reset = node_tools.connect("/gazebo/reset", Reset, limit)

    def reset(self, pose: Pose, seed: int) -> Observation:
        """See `Simulator.reset`."""
        reply = node_tools.call(self._reset, pose_message(pose), seed, self._limit)
        self._stamp = stamp_ns(reply.stamp)
        return self._observe(self._stamp)

    def execute(self, segments: Sequence[Segment]) -> None:
        """See RosSimulator; simulated time stands still until `observe_next`."""
        # only for rqt, bags and the like: the service's argument moves the robot
        self._command.publish(twist_from_command(segments[-1][0]))
        self._segments = segments

    def observe_next(self) -> Observation:
        """See RosSimulator: steps the simulator to the end of the control period."""
        wanted = self._stamp + CONTROL_PERIOD_NS
        for command, duration in self._segments:
            steps = duration // self._step_ns
            reply = node_tools.call(self._step, twist_from_command(command), steps, self._limit)
            self._stamp = stamp_ns(reply.stamp)
        if self._stamp != wanted:
            raise SimulatorError(
                f"the simulator stands at {self._stamp * 1e-9:.3f} s instead of {wanted * 1e-9:.3f} s; "
                "does another node step it?"
            )
        return self._observe(self._stamp)

    def commands(self, stamp: int) -> Dict[str, Command]:
        """See RosSimulator: all answers are required."""
        messages = self._synchronizer.wait(stamp, self._command_topics, self._limit)
        return {topic: command_from_twist(message.twist) for topic, message in messages.items()}


class LiveRobot(RosSimulator):
    """A robot or a free-running Gazebo: uses the newest observation; a late answer is missing.

    Args:
        robot: see RosSimulator.
        commands: see RosSimulator.
        wait_limit: see RosSimulator.
        start_limit: wall seconds for the first odometry.
    """

    def __init__(self, robot: Robot, command_topics: Sequence[str], wait_limit: float, start_limit: float):
        super().__init__(robot, command_topics, wait_limit)
        self._start_limit = start_limit
        self._teleport: Optional[rospy.ServiceProxy] = None
        self._stamp = -1

    def connect(self, limit: float) -> None:
        """Connect to Gazebo's service that places the robot; a real robot is not moved."""
        if self._robot.simulated:
            self._teleport = node_tools.connect("/gazebo/set_model_state", SetModelState, limit)

    def reset(self, pose: Pose, seed: int) -> Observation:
        """See `Simulator.reset`; nothing is seeded, and a real robot is not moved."""
        self._stamp = self._synchronizer.wait_newer(-1, self._robot.odometry, self._start_limit)
        if self._teleport is not None:
            node_tools.call(self._teleport, ModelState(model_name=self._robot.name, pose=pose_message(pose)))
            self._wait_for_arrival(pose)
        return self._observe(self._stamp)

    def _wait_for_arrival(self, pose: Pose) -> None:
        """Wait for odometry near the start pose; earlier messages show the old place."""
        deadline = time.monotonic() + self._limit
        while time.monotonic() < deadline:
            self._stamp = self._synchronizer.wait_newer(self._stamp, self._robot.odometry, self._limit)
            messages = self._synchronizer.wait(self._stamp, [self._robot.odometry], self._limit)
            position = pose_from_odometry(messages[self._robot.odometry])
            if math.dist(position[:2], pose[:2]) < ARRIVAL_DISTANCE:
                return
        raise SimulatorError(f"waited {self._limit:g} s for the robot at its start pose")

    def execute(self, segments: Sequence[Segment]) -> None:
        """See RosSimulator: each command is published at its time within the period."""
        offset = 0
        for command, duration in segments:
            twist = twist_from_command(command)
            if offset:
                timer = threading.Timer(offset * 1e-9, self._command.publish, (twist,))
                timer.daemon = True
                timer.start()
            else:
                self._command.publish(twist)
            offset += duration

    def observe_next(self) -> Observation:
        """See RosSimulator: the newest observation."""
        self._stamp = self._synchronizer.wait_newer(self._stamp, self._robot.odometry, self._limit)
        return self._observe(self._stamp)

    def commands(self, stamp: int) -> Dict[str, Command]:
        """See RosSimulator: an answer later than half a control period is missing."""
        messages = {}
        for topic in self._command_topics:
            try:
                messages.update(self._synchronizer.wait(stamp, [topic], 0.5e-9 * CONTROL_PERIOD_NS))
            except SimulatorError:
                continue  # late: Flight replaces it by zero and counts it
        return {topic: command_from_twist(message.twist) for topic, message in messages.items()}
