#!/usr/bin/env python3
"""Inside rostest: the expert node answers stamp for stamp, and starts over when reset."""

import queue
import sys
import unittest

import rospy
import rostest
from geometry_msgs.msg import Point, Quaternion, TwistStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import LaserScan
from std_srvs.srv import Trigger

from nav_pkg.core import Pose

LIMIT = 120
"""Wall seconds that an answer may take on a busy machine."""


class ExpertNode(unittest.TestCase):
    """Sends scans and odometry, expects commands."""

    def setUp(self):
        """Connect to the node."""
        rospy.init_node("tester", anonymous=True)
        self.answers = queue.Queue()
        self.scan = rospy.Publisher("/scan", LaserScan, queue_size=10)
        self.odometry = rospy.Publisher("/ground_truth/state", Odometry, queue_size=10)
        rospy.Subscriber("/expert/cmd_vel", TwistStamped, self.answers.put)
        rospy.wait_for_service("/expert/reset", timeout=LIMIT)
        deadline = rospy.get_time() + LIMIT
        while not (self.scan.get_num_connections() and self.odometry.get_num_connections()):
            self.assertLess(rospy.get_time(), deadline, "the expert did not connect")
            rospy.sleep(0.05)

    def send(self, stamp, pose, odometry_stamp=None):
        """One frame: free space all round, and a pose."""
        scan = LaserScan(ranges=[3.0] * 360, angle_min=-3.14159, angle_increment=0.0175, range_max=3.5)
        scan.header.stamp = rospy.Time(stamp)
        odometry = Odometry()
        odometry.header.stamp = rospy.Time(stamp if odometry_stamp is None else odometry_stamp)
        odometry.pose.pose.position = Point(pose.x, pose.y, pose.z)
        odometry.pose.pose.orientation = Quaternion(*pose.quaternion())
        self.scan.publish(scan)
        self.odometry.publish(odometry)

    def test_answers(self):
        """Straight on ahead of a waypoint, left and right beside it, height kept, stamps kept."""
        rospy.ServiceProxy("/expert/reset", Trigger)()
        # Waypoint 0 is at (-30.8, -4): from (-40, -4) it lies straight ahead.
        for second, (yaw, turn) in enumerate([(0.0, 0.0), (-0.5, 0.9), (0.5, -0.9)], start=1):
            self.send(second, Pose(-40.0, -4.0, 0.5, yaw=yaw))
            answer = self.answers.get(timeout=LIMIT)
            self.assertEqual(answer.header.stamp, rospy.Time(second))
            self.assertAlmostEqual(answer.twist.angular.z, turn)
            self.assertAlmostEqual(answer.twist.linear.x, 0.8)
            self.assertGreater(answer.twist.linear.z, 0)
        # Stamps that do not match get no answer: the next one is to the next frame.
        self.send(10, Pose(-40.0, -4.0, 1.0), odometry_stamp=11)
        # After a reset the target is the next waypoint from the new place, here on the east leg.
        rospy.ServiceProxy("/expert/reset", Trigger)()
        self.send(20, Pose(-0.2, 10.0, 1.0, yaw=1.5708))
        answer = self.answers.get(timeout=LIMIT)
        self.assertEqual(answer.header.stamp, rospy.Time(20))
        self.assertAlmostEqual(answer.twist.angular.z, 0.0)


if __name__ == "__main__":
    rostest.rosrun("nav_pkg", "expert_node", ExpertNode, sys.argv)
