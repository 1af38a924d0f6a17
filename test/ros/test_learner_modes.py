"""In which order the learner node answers and learns, in lock-step and live; and its services meanwhile."""

import itertools
import json
import shutil
import threading

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
def node(make):
    from nav_pkg.ros.lockstep_learner import LockstepLearner

    return make(LockstepLearner)


@pytest.fixture
def live(make):
    from nav_pkg.ros.live_learner import LiveLearner

    return make(LiveLearner)


@pytest.fixture
def make(monkeypatch):
    """Makes nodes without ROS: `send(topic, k)` hands over a message of frame k, `handed` has callbacks."""
    import rospy

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
    nodes = []

    def messages(k, state="running", index=None, facts=None):
        from geometry_msgs.msg import TwistStamped
        from nav_pkg.msg import Episode
        from sensor_msgs.msg import Image

        image = Image(height=2, width=2, encoding="rgb8", step=6, data=np.full(12, k, np.uint8).tobytes())
        expert, episode = TwistStamped(), Episode(run=3, state=getattr(Episode, state.upper()))
        expert.twist.angular.z = k / 10
        episode.index = k if index is None else index
        episode.facts = json.dumps(facts) if facts else ""
        by_topic = {RGB: image, EXPERT: expert, EPISODE: episode}
        for message in by_topic.values():
            message.header.stamp = rospy.Time(k + 1)
        return by_topic

    def node(kind):
        done = []
        new_node = kind(Pilot(done), load_robot("drone"), 1, Learner(done))
        new_node.done, new_node.handed = done, handed
        nodes.append(new_node)

        def post(topic, k, **more):
            handed[topic](messages(k, **more)[topic])

        def send(topic, k, **more):
            post(topic, k, **more)
            for _ in range(3):  # what the worker thread has taken may give it more to do
                new_node._worker.submit(lambda: None).result(60)

        new_node.post, new_node.send = post, send
        return new_node

    yield node
    for each in nodes:
        each._worker.shutdown()


@pytest.mark.parametrize("order", list(itertools.permutations([EXPERT, EPISODE, "next"])))
def test_an_image_waits_until_the_frame_before_is_learned_from(node, order):
    """The next image can come before the messages of the frame before: they are of other connections."""
    node.send(RGB, 0)
    for topic in order:
        node.send(RGB if topic == "next" else topic, int(topic == "next"))
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
        node._worker.submit(node._on_timeout, 1_000_000_000).result(60)
    node.send(EXPERT, 0)
    node._worker.submit(node._on_timeout, 1_000_000_000).result(60)  # it has come


def test_live_answers_at_once_and_learns_in_the_order_of_the_run(live):
    live.send(RGB, 0)
    live.send(RGB, 1)
    for k in range(2):
        live.send(EPISODE, k)
        live.send(EXPERT, k)
    learned = [("run", 3), ("learn", 0, 0.0, 0), ("learn", 1, 0.1, 1)]
    assert live.done == [("answer", 0), ("answer", 1), *learned]


def test_live_skips_a_frame_whose_image_was_left_out(live):
    live.send(EPISODE, 0)
    live.send(EXPERT, 0)
    live.send(RGB, 1)  # images come in order: that of frame 0 will not
    live.send(EPISODE, 1)
    live.send(EXPERT, 1)
    assert live.done == [("answer", 1), ("run", 3), ("learn", 1, 0.1, 1)] and live._skipped == 1


def test_live_keeps_flying_and_bounds_what_waits_during_a_long_gradient_step(live, monkeypatch):
    from nav_pkg.ros import live_learner

    going, waiting = threading.Event(), threading.Event()
    observe = live._learner.observe

    def slow(*args):
        waiting.set()
        assert going.wait(60)
        observe(*args)

    monkeypatch.setattr(live._learner, "observe", slow)
    for topic in (RGB, EPISODE, EXPERT):
        live.post(topic, 0)
    assert waiting.wait(60)
    for k in range(1, 200):
        for topic in (RGB, EXPERT, EPISODE):
            live.post(topic, k)
    assert live.done[-1] == ("answer", 199 % 256)
    assert len(live._inbox) <= live_learner.MAX_INBOX
    assert sum(item[0] == EPISODE for item in live._inbox) == 199
    live.post(EPISODE, 200, state="ended", facts={"outcome": "success"})
    assert live._run_ended.wait(1)  # known at once, though the worker thread is busy
    threading.Timer(0.2, going.set).start()
    assert live.handed["end_run"](None).success
    assert live.done[-1] == ("end", "success")


def test_a_service_says_when_the_worker_thread_is_too_slow(live, monkeypatch):
    from nav_pkg.ros import learner_node

    monkeypatch.setattr(learner_node, "WORK_LIMIT", 0.05)
    going = threading.Event()
    live._worker.submit(going.wait, 60)
    reply = live.handed["pause_learning"](None)
    going.set()
    assert not reply.success and "waited 0.05 s for the worker thread" in reply.message
    live._worker.submit(lambda: None).result(60)
    assert live._learner.learning  # what was refused is not done later
