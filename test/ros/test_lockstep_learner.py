"""The order in which the learner node answers and learns in lock-step, whatever the order of arrival."""

import itertools
import json
import shutil

import numpy as np
import pytest

from nav_pkg.core import Command, SimulatorError

pytestmark = pytest.mark.skipif(shutil.which("rostest") is None, reason="ROS is not installed")

RGB, EXPERT, EPISODE = "/camera/rgb/image_raw", "/expert/cmd_vel", "/episode"


class Learner:
    """Writes down what it is told to do."""

    sides = ()
    learning, frames, updates, loss = True, 0, 0, None
    replay = ()

    def __init__(self, done):
        self.done = done

    def command_of(self, pixels):
        self.done.append(("answer", int(pixels[0, 0, 0])))
        return Command(x=1.0)

    def new_run(self, number):
        self.done.append(("run", number))

    def observe(self, pixels, expert, index, sides):
        self.done.append(("learn", int(pixels[0, 0, 0]), expert.yaw, index))

    def end_run(self, facts):
        self.done.append(("end", facts["outcome"]))


class Pilot:
    """Resizes nothing."""

    network = "none"

    class preprocessing:  # noqa: N801
        resize = staticmethod(lambda image: image)

    def __init__(self, done):
        self.done = done

    def reset(self, seed):
        self.done.append(("reset",))


@pytest.fixture
def node(monkeypatch):
    """A node without ROS: `send(topic, k, ...)` hands it a message of frame k, `call(service)` calls it."""
    import rospy

    from nav_pkg.ros import lockstep_learner
    from nav_pkg.ros.robot import load_robot

    handed = {}

    def subscriber(topic, kind, callback, *rest, **more):
        handed[topic] = lambda message: callback(message, *rest)

    class Publisher:
        def __init__(self, *args, **more):
            self.publish = lambda message: None

    monkeypatch.setattr(rospy, "Subscriber", subscriber)
    monkeypatch.setattr(rospy, "Publisher", Publisher)
    monkeypatch.setattr(
        rospy, "Service", lambda name, kind, handler: handed.update({name.strip("~"): handler})
    )
    monkeypatch.setattr(rospy, "get_param", lambda name, default: default)
    monkeypatch.setattr(rospy.Time, "now", staticmethod(rospy.Time))
    done = []
    made = lockstep_learner.LockstepLearner(Pilot(done), load_robot("drone"), 1, Learner(done))
    made.done, made.handed = done, handed

    def messages(k, state="running", index=None, facts=None):
        from geometry_msgs.msg import TwistStamped
        from nav_pkg.msg import Episode
        from sensor_msgs.msg import Image

        image = Image(height=2, width=2, encoding="rgb8", step=6, data=np.full(12, k, np.uint8).tobytes())
        expert, episode = TwistStamped(), Episode(run=3, state=getattr(Episode, state.upper()))
        expert.twist.angular.z = k / 10
        episode.index = k if index is None else index
        episode.facts = json.dumps(facts) if facts else ""
        found = {RGB: image, EXPERT: expert, EPISODE: episode}
        for message in found.values():
            message.header.stamp = rospy.Time(k + 1)
        return found

    def send(topic, k, **more):
        handed[topic](messages(k, **more)[topic])
        made._do(lambda: None)  # the worker thread has taken it

    made.send = send
    yield made
    made._worker.shutdown()


@pytest.mark.parametrize("order", list(itertools.permutations([EXPERT, EPISODE, "next"])))
def test_an_image_waits_until_the_frame_before_is_learned_from(node, order):
    """The next image can come before the messages of the frame before: they are of other connections."""
    node.send(RGB, 0)
    for what in order:
        node.send(RGB if what == "next" else what, int(what == "next"))
    assert node.done == [("answer", 0), ("run", 3), ("learn", 0, 0.0, 0), ("answer", 1)]


def test_what_is_no_part_of_a_run_resets_the_memory_and_is_not_learned_from(node):
    node.send(RGB, 0)
    node.send(EPISODE, 0, state="idle")
    node.send(RGB, 1)
    node.send(EXPERT, 1)
    node.send(EPISODE, 1, index=0)
    assert node.done == [("answer", 0), ("reset",), ("answer", 1), ("run", 3), ("learn", 1, 0.1, 0)]


def test_an_evaluation_is_flown_and_not_learned_from(node):
    for k in range(2):
        node.send(RGB, k)
        node.send(EPISODE, k, facts={"evaluation": True} if k == 0 else None)
    assert node.done == [("answer", 0), ("run", 3), ("answer", 1)]


def test_the_end_of_a_run_is_saved_when_it_is_asked_for_or_else_at_the_next_reset(node):
    node.send(RGB, 0)
    node.send(EPISODE, 0, state="ended", facts={"outcome": "success"})
    assert node.handed["end_run"](None).success
    assert node.done == [("answer", 0), ("end", "success")]
    node.send(RGB, 1)
    node.send(EPISODE, 1, state="ended", facts={"outcome": "collision"})
    assert node.handed["reset"](None).success
    assert node.done[2:] == [("answer", 1), ("end", "collision"), ("reset",)]


def test_a_reset_drops_the_frame_that_nobody_decided_on(node):
    node.send(RGB, 0)
    node.send(RGB, 1)
    node.handed["reset"](None)
    node.send(RGB, 5)
    assert node.done == [("answer", 0), ("reset",), ("answer", 5)]


def test_a_message_that_never_comes_is_named(node):
    node.send(RGB, 0)
    node.send(EPISODE, 0)
    with pytest.raises(SimulatorError, match=f"waited 30 s for {EXPERT} with stamp 1.000 s"):
        node._do(node._give_up, 1_000_000_000)
    node.send(EXPERT, 0)
    node._do(node._give_up, 1_000_000_000)  # it has come
