#!/usr/bin/env python3
"""Plays camera, expert and supervisor for a learner node that runs freely."""

import json
import os
import sys
import unittest

import numpy as np
import rospy
import rostest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from nav_pkg.msg import Episode, LearnerStatus
from nav_pkg.srv import Checkpoint
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from nav_pkg.learn.checkpoints import checkpoint

LOG = os.path.join(os.environ["ROS_LOG_DIR"], "learnt")
LIMIT = 120.0
"""Wall seconds that anything may take on a busy machine."""


class LearnerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        rospy.init_node("player")
        cls.stamp = 0.0
        cls.index, cls.run = -1, 3
        cls.status = None
        cls.diagnostics = []
        cls.images = rospy.Publisher("/camera/rgb/image_raw", Image, queue_size=10)
        cls.expert = rospy.Publisher("/expert/cmd_vel", TwistStamped, queue_size=10)
        cls.episode = rospy.Publisher("/episode", Episode, queue_size=10)
        rospy.Subscriber("/learner/status", LearnerStatus, lambda status: setattr(cls, "status", status))
        rospy.Subscriber("/diagnostics", DiagnosticArray, cls.diagnostics.append)
        for name in ("reset", "end_run", "pause_learning", "start_learning", "stop_learning"):
            rospy.wait_for_service(f"/learner/{name}", timeout=LIMIT)
            setattr(cls, name, rospy.ServiceProxy(f"/learner/{name}", Trigger))
        cls.save = rospy.ServiceProxy("/learner/save", Checkpoint)
        cls.load = rospy.ServiceProxy("/learner/load", Checkpoint)
        for publisher in (cls.images, cls.expert, cls.episode):
            cls.wait(lambda publisher=publisher: publisher.get_num_connections() > 0, "connections")

    @staticmethod
    def wait(ready, awaited, limit=LIMIT):
        deadline = rospy.get_time() + limit
        while not ready():
            if rospy.get_time() > deadline:
                raise AssertionError(f"waited {limit} s for {awaited}")
            rospy.sleep(0.02)

    @classmethod
    def frame(cls, state=Episode.RUNNING, expert=True, facts=None, image=True):
        """One frame of the camera, until it is answered; without `image`, one that the camera left out."""
        cls.stamp += 0.1
        stamp = rospy.Time.from_sec(cls.stamp)
        pixels = np.random.RandomState(int(cls.stamp * 10)).randint(0, 255, (48, 64, 3)).astype(np.uint8)
        message = Image(height=48, width=64, encoding="rgb8", step=192, data=pixels.tobytes())
        message.header.stamp = stamp
        if image:
            cls.images.publish(message)
        if expert:
            label = TwistStamped()
            label.header.stamp = stamp
            label.twist.angular.z = 1.0
            cls.expert.publish(label)
        if state is not None:
            cls.index = cls.index + 1 if state == Episode.RUNNING else -1
            message = Episode(state=state, run=cls.run, name="00003_test", index=cls.index)
            message.header.stamp = stamp
            message.facts = json.dumps(facts or {})
            cls.episode.publish(message)
        if image:
            answered = lambda: cls.status is not None and cls.status.header.stamp == stamp  # noqa: E731
            cls.wait(answered, f"an answer to {stamp}")

    @classmethod
    def settle(cls, ready, awaited):
        """Frames of no run, until a status says so."""
        cls.wait(lambda: (cls.frame(state=Episode.IDLE), rospy.sleep(0.02), ready())[-1], awaited)

    @classmethod
    def start_run(cls, run, **more):
        """A run begins, and its first frame is there."""
        cls.run = run
        assert cls.reset().success
        cls.frame(state=Episode.IDLE)
        cls.frame(**more)

    def test_1_flies_and_refuses_to_learn_without_an_expert(self):
        for _ in range(60):
            self.frame(state=None, expert=False)
        self.assertEqual((self.status.learned, self.status.updates), (0, 0))
        self.assertIn("nobody publishes /expert/cmd_vel", self.status.note)
        self.wait(lambda: len(self.diagnostics) >= 5, "diagnostics")
        self.assertEqual(self.diagnostics[-1].status[0].name, "learner")

    def test_2_learns_from_frames_of_a_run(self):
        self.assertTrue(self.reset().success)
        self.frame(state=Episode.IDLE)
        learned = lambda: self.status.updates >= 6 and self.status.learned >= 9  # noqa: E731
        self.wait(
            lambda: (self.frame(), rospy.sleep(0.02), learned())[-1], "six gradient steps of nine frames"
        )
        self.assertTrue(np.isfinite(self.status.loss) and self.status.rate > 0)
        self.assertEqual(self.status.network, "tinyv3_net")

    def test_3_pauses_and_goes_on(self):
        self.assertTrue(self.pause_learning().success)

        def still():
            learned = self.status.learned
            rospy.sleep(0.5)
            self.frame()
            return self.status.learned == learned

        self.wait(still, "the frames that were under way")
        before = self.status.learned
        for _ in range(5):
            self.frame()
        rospy.sleep(0.3)
        self.frame()
        self.assertEqual(self.status.learned, before)
        self.assertFalse(self.status.learning)
        self.assertTrue(self.start_learning().success)
        self.wait(lambda: (self.frame(), self.status.learned > before)[1], "a frame that is learned from")

    def test_4_saves_and_loads(self):
        reply = self.save("here")
        self.assertTrue(reply.success, reply.message)
        self.assertGreater(checkpoint.load("here", os.environ["ROS_LOG_DIR"]).updates, 0)
        self.assertTrue(self.load("here").success)
        reply = self.load("nowhere")
        self.assertFalse(reply.success)
        self.assertIn("nowhere", reply.message)
        self.frame()  # it flies on

    def test_5_the_end_of_a_run_is_saved(self):
        self.frame(state=Episode.ENDED, facts={"run": 3, "name": "00003_test", "outcome": "success"})
        reply = self.end_run()
        self.assertTrue(reply.success, reply.message)
        loaded = checkpoint.load(LOG)
        self.assertEqual(list(loaded.progress["runs"]), [3])
        self.assertGreater(len(loaded.progress["replay"]["frames"]), 8)
        with open(os.path.join(LOG, "metrics.jsonl")) as file:
            lines = [json.loads(line) for line in file]
        self.assertEqual([line["run"] for line in lines], [3])

    def test_6_an_evaluation_is_not_learned_from_though_its_first_image_was_left_out(self):
        before = self.status.learned
        self.start_run(4, facts={"evaluation": True}, image=False)
        for _ in range(5):
            self.frame()
        self.assertFalse(self.status.learning)
        # the next run's frames come after these, and are
        self.start_run(5)
        self.frame()
        self.settle(lambda: self.status.learned > before, "a frame that is learned from")
        self.assertLessEqual(self.status.learned, before + 2)
        self.frame(state=Episode.ENDED, facts={"run": 5, "name": "00005_test", "outcome": "success"})
        self.assertTrue(self.end_run().success)

    def test_7_a_run_whose_beginning_nobody_heard_is_not_learned_from(self):
        self.assertTrue(self.reset().success)
        before = self.status.learned
        type(self).run, type(self).index = 6, 5
        for _ in range(3):
            self.frame()
        rospy.sleep(0.3)
        self.frame()
        self.assertEqual(self.status.learned, before)

    def test_8_what_could_not_be_learned_from_is_counted_and_nothing_else(self):
        self.settle(lambda: True, "a status")
        learned, skipped = self.status.learned, self.status.skipped
        self.start_run(7)
        self.frame(image=False)
        self.frame()
        self.settle(lambda: self.status.learned >= learned + 2, "the frames with an image")
        for _ in range(30):  # images that belong to no run are nobody's loss
            self.frame(state=None)
        self.settle(lambda: self.status.skipped > skipped, "the frame without one")
        self.assertEqual((self.status.learned, self.status.skipped), (learned + 2, skipped + 1))

    def test_9_learning_goes_on_when_time_is_set_back(self):
        before = self.status.learned
        type(self).stamp = 1.0
        self.start_run(8)
        for _ in range(3):
            self.frame()
        # the first ones may fall victim to what had been under way
        self.settle(lambda: self.status.learned >= before + 2, "frames that are learned from")
        self.assertTrue(self.stop_learning().success)


if __name__ == "__main__":
    rostest.rosrun("nav_pkg", "learner_node", LearnerTest, sys.argv)
