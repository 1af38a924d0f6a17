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

from nav_pkg.learn import checkpoint

LOG = os.path.join(os.environ["ROS_LOG_DIR"], "learnt")


class LearnerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        rospy.init_node("player")
        cls.stamp = 0.0
        cls.index = -1
        cls.status = None
        cls.diagnostics = []
        cls.images = rospy.Publisher("/camera/rgb/image_raw", Image, queue_size=10)
        cls.expert = rospy.Publisher("/expert/cmd_vel", TwistStamped, queue_size=10)
        cls.episode = rospy.Publisher("/episode", Episode, queue_size=10)
        rospy.Subscriber("/learner/status", LearnerStatus, lambda status: setattr(cls, "status", status))
        rospy.Subscriber("/diagnostics", DiagnosticArray, cls.diagnostics.append)
        for name in ("reset", "end_run", "pause_learning", "start_learning", "stop_learning"):
            rospy.wait_for_service(f"/learner/{name}", timeout=60)
            setattr(cls, name, rospy.ServiceProxy(f"/learner/{name}", Trigger))
        cls.save = rospy.ServiceProxy("/learner/save", Checkpoint)
        cls.load = rospy.ServiceProxy("/learner/load", Checkpoint)
        for publisher in (cls.images, cls.expert, cls.episode):
            cls.wait(lambda publisher=publisher: publisher.get_num_connections() > 0, "connections")

    @staticmethod
    def wait(ready, what, limit=30.0):
        deadline = rospy.get_time() + limit
        while not ready():
            if rospy.get_time() > deadline:
                raise AssertionError(f"waited {limit} s for {what}")
            rospy.sleep(0.02)

    @classmethod
    def frame(cls, state=Episode.RUNNING, expert=True, facts=None):
        """One frame of the camera, until it is answered."""
        cls.stamp += 0.1
        stamp = rospy.Time.from_sec(cls.stamp)
        pixels = np.random.RandomState(int(cls.stamp * 10)).randint(0, 255, (48, 64, 3)).astype(np.uint8)
        image = Image(height=48, width=64, encoding="rgb8", step=192, data=pixels.tobytes())
        image.header.stamp = stamp
        cls.images.publish(image)
        if expert:
            label = TwistStamped()
            label.header.stamp = stamp
            label.twist.angular.z = 1.0
            cls.expert.publish(label)
        if state is not None:
            cls.index = cls.index + 1 if state == Episode.RUNNING else -1
            message = Episode(state=state, run=3, name="00003_test", index=cls.index)
            message.header.stamp = stamp
            message.facts = json.dumps(facts or {})
            cls.episode.publish(message)
        cls.wait(lambda: cls.status is not None and cls.status.header.stamp == stamp, f"an answer to {stamp}")

    def test_1_flies_and_refuses_to_learn_without_an_expert(self):
        for _ in range(60):
            self.frame(state=None, expert=False)
        self.assertEqual((self.status.learned, self.status.updates), (0, 0))
        self.assertIn("nobody publishes /expert/cmd_vel", self.status.note)
        self.assertGreaterEqual(len(self.diagnostics), 5)
        self.assertEqual(self.diagnostics[-1].status[0].name, "learner")

    def test_2_learns_from_frames_of_a_run(self):
        self.assertTrue(self.reset().success)
        self.frame(state=Episode.IDLE)
        for _ in range(12):
            self.frame()
            rospy.sleep(0.05)
        self.wait(lambda: (self.frame(), self.status.updates >= 6)[1], "six gradient steps")
        self.assertGreaterEqual(self.status.learned, 9)
        self.assertTrue(np.isfinite(self.status.loss) and self.status.rate > 0)
        self.assertEqual(self.status.network, "tinyv3_net")

    def test_3_pauses_and_goes_on(self):
        self.assertTrue(self.pause_learning().success)
        rospy.sleep(0.5)
        self.frame()
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
        self.assertTrue(self.stop_learning().success)


if __name__ == "__main__":
    rostest.rosrun("nav_pkg", "learner_node", LearnerTest, sys.argv)
