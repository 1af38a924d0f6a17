"""A client of the lock-step plugin for tests: steps, resets, and collects all sensors by stamp."""

from __future__ import annotations

import hashlib
import threading
import time

import numpy as np
import rospy
from geometry_msgs.msg import Pose as PoseMessage
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from nav_pkg.srv import Reset, Step
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, LaserScan

from gazebo_msgs.msg import ContactsState
from nav_pkg.core import Command, Pose

LIMIT = 240.0
"""Wall seconds that anything may take on a busy machine."""

SENSORS = {
    "rgb": ("/camera/rgb/image_raw", Image),
    "depth": ("/camera/depth/image_raw", Image),
    "scan": ("/scan", LaserScan),
    "state": ("/ground_truth/state", Odometry),
    "contacts": ("/contacts", ContactsState),
}


class Sensors:
    """All messages of one stamp."""

    def __init__(self, messages):
        self.messages = messages
        self.stamp = messages["state"].header.stamp.to_nsec()
        state = messages["state"].pose.pose
        self.pose = Pose.from_quaternion(
            (state.position.x, state.position.y, state.position.z),
            (state.orientation.x, state.orientation.y, state.orientation.z, state.orientation.w),
        )
        self.quaternion = (state.orientation.x, state.orientation.y, state.orientation.z, state.orientation.w)
        self.twist = messages["state"].twist.twist
        self.contacts = messages["contacts"].states
        if "rgb" in messages:
            rgb = messages["rgb"]
            self.rgb = np.frombuffer(rgb.data, np.uint8).reshape(rgb.height, rgb.width, 3)
        if "depth" in messages:
            depth = messages["depth"]
            self.depth = np.frombuffer(depth.data, np.float32).reshape(depth.height, depth.width)
        if "scan" in messages:
            self.scan = np.array(messages["scan"].ranges, np.float32)

    def digest(self) -> dict:
        """A hash of each sensor's bytes, without the stamps."""
        t, p = self.twist, self.messages["state"].pose.pose
        numbers = [p.position.x, p.position.y, p.position.z, *self.quaternion]
        numbers += [t.linear.x, t.linear.y, t.linear.z, t.angular.x, t.angular.y, t.angular.z]
        parts = {"state": np.array(numbers).tobytes()}
        parts["contacts"] = repr(
            [
                (
                    c.collision1_name,
                    c.collision2_name,
                    c.depths,
                    c.total_wrench.force.x,
                    c.total_wrench.force.z,
                )
                for c in self.contacts
            ]
        ).encode()
        for name in ("rgb", "depth"):
            if name in self.messages:
                parts[name] = self.messages[name].data
        if "scan" in self.messages:
            parts["scan"] = self.scan.tobytes()
        return {name: hashlib.sha256(data).hexdigest()[:16] for name, data in parts.items()}


def wait(ready, awaited):
    """Wait in wall time until something is so."""
    deadline = time.monotonic() + LIMIT
    while not ready():
        assert time.monotonic() < deadline, f"waited {LIMIT} s for {awaited}"
        time.sleep(0.02)


class Client:
    """Steps a simulator and collects what its sensors say."""

    def __init__(self, sensors=tuple(SENSORS), limit=LIMIT, physics_steps=20):
        self.limit = limit
        self.physics_steps = physics_steps
        self.wanted = sensors
        self._buffer = {}
        self._changed = threading.Condition()
        self.clock = []
        self.info = {}
        if not rospy.core.is_initialized():
            rospy.init_node("test_client", anonymous=True, disable_signals=True, log_level=rospy.WARN)
        rospy.wait_for_service("/gazebo/step", timeout=limit)
        self._subscribers = []
        for name in sensors:
            topic, kind = SENSORS[name]
            self._subscribers.append(
                rospy.Subscriber(
                    topic, kind, self._store_message, name, queue_size=5, buff_size=2**24, tcp_nodelay=True
                )
            )
        self._subscribers.append(
            rospy.Subscriber("/clock", Clock, lambda m: self.clock.append(m.clock.to_nsec()))
        )
        for name in ("rgb", "depth"):
            topic = f"/camera/{name}/camera_info"
            self._subscribers.append(rospy.Subscriber(topic, CameraInfo, self._take_info, name))
        self._step = rospy.ServiceProxy("/gazebo/step", Step, persistent=True)
        self._reset = rospy.ServiceProxy("/gazebo/reset", Reset, persistent=True)
        wait(lambda: all(s.get_num_connections() for s in self._subscribers), "publishers of all topics")

    def close(self):
        """Unsubscribe."""
        for subscriber in self._subscribers:
            subscriber.unregister()
        self._step.close()
        self._reset.close()

    def _take_info(self, message, name):
        self.info[name] = message

    def _store_message(self, message, name):
        with self._changed:
            self._buffer.setdefault(message.header.stamp.to_nsec(), {})[name] = message
            self._changed.notify_all()

    def collect(self, stamp) -> Sensors:
        """All sensors' messages of one stamp (nanoseconds)."""
        deadline = time.monotonic() + self.limit
        with self._changed:
            while set(self._buffer.get(stamp, ())) != set(self.wanted):
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    missing = set(self.wanted) - set(self._buffer.get(stamp, ()))
                    raise AssertionError(f"missing at {stamp}: {missing}; have {sorted(self._buffer)}")
            sensors = Sensors(self._buffer[stamp])
            self._buffer = {key: value for key, value in self._buffer.items() if key > stamp}
            return sensors

    def raw_step(self, command=Command(), steps=None, timeout=0.0):
        """The reply of /gazebo/step."""
        twist = Twist()
        twist.linear.x, twist.linear.y, twist.linear.z, twist.angular.z = command
        return self._step(twist, self.physics_steps if steps is None else steps, timeout)

    def step(self, command=Command()) -> Sensors:
        """One control period."""
        reply = self.raw_step(command)
        assert reply.success, reply.message
        return self.collect(reply.stamp.to_nsec())

    def raw_reset(self, pose, seed=0, timeout=0.0):
        """The reply of /gazebo/reset."""
        message = PoseMessage()
        message.position.x, message.position.y, message.position.z = pose[:3]
        q = pose.quaternion()
        message.orientation.x, message.orientation.y, message.orientation.z, message.orientation.w = q
        return self._reset(message, seed, timeout)

    def reset(self, pose, seed=0) -> Sensors:
        """Begin an episode; the first observation."""
        reply = self.raw_reset(pose, seed)
        assert reply.success, reply.message
        return self.collect(reply.stamp.to_nsec())
