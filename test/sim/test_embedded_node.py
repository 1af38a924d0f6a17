"""The embedded simulator's ROS node beside Gazebo: the same topics, types, messages and replies."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import rosgraph
import rospy
from geometry_msgs.msg import Pose as PoseMessage
from geometry_msgs.msg import Twist
from nav_pkg.srv import Reset, Step
from ros_client import LIMIT, wait
from roslib.message import get_message_class
from std_srvs.srv import Empty, SetBool
from test_process import Running
from test_services import BOX, model_state

from gazebo_msgs.srv import (
    DeleteModel,
    GetModelState,
    GetPhysicsProperties,
    GetWorldProperties,
    SetModelState,
    SetPhysicsProperties,
    SpawnModel,
)
from nav_pkg.core import Command, Pose
from nav_pkg.ros import node_tools
from nav_pkg.ros.convert import pose_message, twist_from_command
from nav_pkg.sim.description import ROOT
from nav_pkg.sim.gazebo import free_port

SCRIPT = [sys.executable, str(ROOT / "scripts" / "simulator.py")]
SIZES = (
    "--world",
    "esatv3",
    "--width",
    "160",
    "--height",
    "120",
    "--depth_width",
    "80",
    "--depth_height",
    "60",
)
OWN_OF_ROS = ("/rosout", "/gazebo/get_loggers", "/gazebo/set_logger_level")
PERIOD = 100_000_000


def leaves(message, path=""):
    """Path and value of every field of a message, without `seq`, which ROS itself counts."""
    if hasattr(message, "__slots__") and not isinstance(message, (rospy.Time, rospy.Duration)):
        for name in message.__slots__:
            if name != "seq":
                yield from leaves(getattr(message, name), f"{path}.{name}")
    elif isinstance(message, (list, tuple)) and message and not isinstance(message[0], (int, float)):
        yield f"{path}.length", len(message)
        for index, item in enumerate(message):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, message


def differences(first, second):
    """The fields in which two messages differ by more than 1e-6."""
    one, two = dict(leaves(first)), dict(leaves(second))
    found = sorted(one.keys() ^ two.keys())
    for path in one.keys() & two.keys():
        a, b = one[path], two[path]
        numbers = isinstance(a, (float, int, list, tuple)) and not isinstance(a, bool)
        same = np.shape(a) == np.shape(b) and np.allclose(a, b, atol=1e-6, rtol=0) if numbers else a == b
        if not same:
            found.append(f"{path}: {a!r} and {b!r}")
    return found


class Interview:
    """What one simulator, which runs on the master, publishes and replies to a series of requests."""

    def __init__(self, start: Pose, name: str):
        if not rospy.core.is_initialized():
            rospy.init_node("test_client", anonymous=True, disable_signals=True, log_level=rospy.WARN)
        rospy.wait_for_service("/gazebo/step", timeout=LIMIT)
        self.replies, self.messages, self._lock = {}, {}, threading.Lock()
        publishers, subscribers, services = rosgraph.Master("/test_client").getSystemState()
        types = dict(rosgraph.Master("/test_client").getTopicTypes())

        def own(links):
            return sorted(topic for topic, nodes in links if "/gazebo" in nodes and topic not in OWN_OF_ROS)

        self.topics = {topic: types[topic] for topic in own(publishers)}
        self.subscribed = [topic for topic in own(subscribers) if topic != "/clock"]
        self.services = own(services)
        listening = [
            rospy.Subscriber(
                topic, get_message_class(kind), self._store, topic, buff_size=2**24, tcp_nodelay=True
            )
            for topic, kind in self.topics.items()
        ]
        # rospy counts a connection before it is made: the publisher has to know it.
        node_tools.wait_for_connections([(topic, rospy.get_name()) for topic in self.topics], LIMIT)
        self._fly(start, name)
        assert self.replies["last step"].success, self.replies["last step"].message
        last = self.replies["last step"].stamp.to_nsec()
        for topic in self.topics:
            if topic != "/tf_static":
                wait(lambda topic=topic: self.stamps(topic)[-1:] == [last], f"the last message on {topic}")
        for each in listening:
            each.unregister()

    def _store(self, message, topic):
        with self._lock:
            self.messages.setdefault(topic, []).append(message)

    def stamps(self, topic):
        """Of the messages on a topic, nanoseconds; of /gazebo/model_states, which has none, the clock's."""
        found = []
        with self._lock:
            messages = list(self.messages.get(topic, []))
        if topic == "/gazebo/model_states":
            return self.stamps("/clock")[-1:] if len(messages) == len(self.stamps("/scan")) else []
        for message in messages:
            parts = getattr(message, "transforms", [message])
            found.append((parts[0].header.stamp if hasattr(parts[0], "header") else message.clock).to_nsec())
        return found

    def _call(self, key, service, kind, *arguments):
        self.replies[key] = rospy.ServiceProxy(f"/gazebo/{service}", kind)(*arguments)
        return self.replies[key]

    def _step(self, key, steps, timeout=0.0, **command):
        return self._call(key, "step", Step, twist_from_command(Command(**command)), steps, timeout)

    def _reset(self, key, pose, seed):
        return self._call(key, "reset", Reset, pose_message(pose), seed, 0.0)

    def _fly(self, start, name):
        self._call("at first", "get_model_state", GetModelState, name, "")
        self._step("before a reset", 20)
        self._reset("reset", start, 7)
        self._step("part of a period", 7, x=0.3)
        self._call("in a period", "get_model_state", GetModelState, name, "esatv3")
        self._step("the rest", 13, x=0.3, yaw=0.5)
        self._step("four periods and a bit", 83, x=0.4, y=0.1, z=0.1, yaw=-0.4)
        self._reset("reset in a period", start._replace(x=start.x + 1, yaw=2.0, roll=0.02), 2**63 + 5)
        self._step("no time", 0)
        self._step("not finite", 20, yaw=math.nan)
        self._reset("pose not finite", start._replace(z=math.inf), 0)
        self._call(
            "empty orientation", "reset", Reset, PoseMessage(position=pose_message(start).position), 0, 0.0
        )
        self._step("and on", 20, x=0.3)
        self._call("moved", "set_model_state", SetModelState, model_state(name, start, forward=0.2))
        ahead = model_state(name, Pose(0.1, 0.2, 0.0, 0.0, 0.0, 0.1), name, forward=0.2)
        ahead.twist.angular.z = 0.3
        self._call("moved on", "set_model_state", SetModelState, ahead)
        for frame in ("", "world", name, f"{name}::base_link", "building", "nothing"):
            self._call(f"state in {frame}", "get_model_state", GetModelState, name, frame)
        self._call("building in the robot", "get_model_state", GetModelState, "esatv3", name)
        self._call("no model", "get_model_state", GetModelState, "nothing", "")
        self._call("nothing to move", "set_model_state", SetModelState, model_state("nothing", start))
        self._call("no frame", "set_model_state", SetModelState, model_state(name, start, "nothing"))
        bad = model_state(name, start._replace(y=math.nan))
        self._call("nowhere", "set_model_state", SetModelState, bad)
        self._step("after the move", 40, x=0.2, yaw=0.3)
        self._call("world", "get_world_properties", GetWorldProperties)
        self._call("pause", "pause_physics", Empty)
        self._call("physics", "get_physics_properties", GetPhysicsProperties)
        self._call("lock-step", "set_lockstep", SetBool, True)
        self._call("unpause", "unpause_physics", Empty)
        for key in ("reset_world", "reset_simulation"):
            self._call(key, key, Empty)
            self._call(f"after {key}", "get_model_state", GetModelState, name, "")
            self._step(f"a step after {key}", 10, x=0.3)
        # Towards the corridor's northern wall, until it is touched for the first time.
        self._reset("before the wall", Pose(-50.0, -2.45, start.z, 0.0, 0.0, math.pi / 2), 3)
        for index in range(30):
            stamp = self._step(f"to the wall {index}", 20, x=0.8).stamp.to_nsec()
            wait(lambda stamp=stamp: stamp in self.stamps("/contacts"), "contacts")
            if self.messages["/contacts"][-1].states:
                break
        else:
            raise AssertionError("no contact")
        self._reset("after the wall", start, 1)
        self._step("last step", 20)


@pytest.fixture(scope="module", params=["drone", "drone_recovery", "turtlebot3"])
def both(request, master):
    """Gazebo and the node, one after the other on the same master, asked the same."""
    name = "turtlebot3" if request.param == "turtlebot3" else request.param
    start = Pose(-50.0, -3.0, 0.0 if name == "turtlebot3" else 1.0, 0.0, 0.0, 0.3)
    found = []
    for simulator in ("gazebo", "embedded"):
        flags = (*SIZES, "--simulator", simulator, "--robot", request.param, "--seed", "5")
        running = Running(*flags, "__name:=gazebo", "__log:=/dev/null").until_ready()
        try:
            found.append(Interview(start, name))
            running.child.process.send_signal(signal.SIGINT)
            assert running.end()[0] == 0
        finally:
            running.child.stop(signal.SIGINT, 20)
    return found


def test_topics_and_services(both):
    gazebo, node = both
    assert node.topics == gazebo.topics and len(node.topics) >= 11
    assert node.services == gazebo.services
    assert node.subscribed == gazebo.subscribed


def test_replies(both):
    gazebo, node = both
    found = {key: differences(reply, node.replies[key]) for key, reply in gazebo.replies.items()}
    assert [f"{key}: {fields}" for key, fields in found.items() if fields] == []


def test_messages(both):
    gazebo, node = both
    frames = gazebo.messages["/contacts"]
    # Only Gazebo pushes a robot back that touches something: from then on the two are at different places.
    touching = [index for index, message in enumerate(frames) if message.states]
    assert len(touching) == 1
    for topic in gazebo.topics:
        if topic == "/clock":  # rospy itself holds only the newest of these messages for its subscribers
            for simulator in both:
                assert set(simulator.stamps(topic)) <= set(simulator.stamps("/contacts"))
            continue
        assert node.stamps(topic) == gazebo.stamps(topic), topic
        for index, (first, second) in enumerate(zip(gazebo.messages[topic], node.messages[topic])):
            if index in touching and topic != "/contacts":
                continue
            if topic == "/contacts" and first.states:
                names = [(s.info, s.collision1_name, s.collision2_name) for s in first.states]
                assert names == [(s.info, s.collision1_name, s.collision2_name) for s in second.states]
                first.states, second.states = [], []
            if hasattr(first, "encoding"):
                compare_images(first, second, topic)
                first.data = second.data = b""
            if hasattr(first, "ranges"):
                one, two = np.array(first.ranges), np.array(second.ranges)
                assert np.array_equal(np.isinf(one), np.isinf(two))
                near = np.isfinite(one)
                assert np.abs(one[near] - two[near]).max() < 0.001
                first.ranges = second.ranges = []
            assert differences(first, second) == [], topic


def compare_images(first, second, topic):
    if first.encoding == "32FC1":
        one, two = (np.frombuffer(message.data, np.float32) for message in (first, second))
        assert one.shape == two.shape and np.mean(np.isfinite(one) == np.isfinite(two)) > 0.999, topic
        both_hit = np.isfinite(one) & np.isfinite(two)
        assert np.median(np.abs(one[both_hit] - two[both_hit])) < 0.002, topic
    else:
        one, two = (np.frombuffer(message.data, np.uint8).astype(float) for message in (first, second))
        # At the bottom, the side cameras of Gazebo's drone see one of its rotors.
        rows = 5 * first.height // 6 if "left" in topic or "right" in topic else first.height
        assert one.shape == two.shape and np.abs(one - two)[: rows * first.step].mean() < 1.5, topic


@pytest.fixture(scope="module")
def node(master):
    """The node alone."""
    running = Running(*SIZES, "--simulator", "embedded").until_ready()
    yield running
    running.child.stop(signal.SIGINT, 20)


def test_what_only_gazebo_does_is_refused(node):
    call = lambda name, kind, *words: rospy.ServiceProxy(f"/gazebo/{name}", kind)(*words)  # noqa: E731
    for reply in (
        call("spawn_sdf_model", SpawnModel, "box", BOX, "", PoseMessage(), ""),
        call("delete_model", DeleteModel, "esatv3"),
        call("set_physics_properties", SetPhysicsProperties, 0.01, 0.0, None, None),
        call("set_model_state", SetModelState, model_state("esatv3", Pose(1.0, 0.0, 0.0))),
    ):
        assert not reply.success and "use --simulator gazebo" in reply.status_message
    reply = call("set_lockstep", SetBool, False)
    assert not reply.success and "lock-step only" in reply.message and "\n" not in reply.message


def test_a_time_limit_is_kept_and_the_node_goes_on(node):
    step = rospy.ServiceProxy("/gazebo/step", Step)
    before = step(Twist(), 0, 0.0).stamp
    reply = step(Twist(), 2**32 - 1, 0.2)
    assert not reply.success and "in time" in reply.message and reply.stamp > before
    assert step(Twist(), 20, 0.0).success


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--simulator", "embeded"], "'gazebo', 'embedded'"),
        (["--free_running"], "lockstep:=true"),
        (["--gui"], "--gui"),
        (["--rate", "20"], "--rate"),
        (["--world", str(ROOT / "test" / "sim" / "room.world")], "room.world"),
    ],
)
def test_wrong_use_is_exit_code_2(master, flags, words):
    command = [*SCRIPT, "--simulator", "embedded", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1


# The last tests of this module: they end simulators of the same name.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_0(master, number):
    running = Running(*SIZES, "--simulator", "embedded").until_ready()
    running.child.process.send_signal(number)
    assert running.end()[0] == 0


def test_a_second_one_of_the_name_ends_the_first(master):
    first = Running(*SIZES, "--simulator", "embedded").until_ready()
    second = Running(*SIZES, "--simulator", "embedded").until_ready()
    code, line = first.end()
    assert (
        code == 4
        and line == "error: ROS has shut the node /gazebo down: another one of this name has started"
    )
    second.child.process.send_signal(signal.SIGINT)
    assert second.end()[0] == 0


def test_no_master(master):
    environment = dict(os.environ, ROS_MASTER_URI=f"http://127.0.0.1:{free_port()}")
    code, line = Running(*SIZES, "--simulator", "embedded", environment=environment).end()
    assert code == 4 and "no ROS master at" in line
