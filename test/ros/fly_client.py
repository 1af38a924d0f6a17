"""Beside fly.launch: plays camera and joystick, and times what comes out; fails by an assertion.

    fly_client.py WIDTH HEIGHT             everything fails once
    fly_client.py WIDTH HEIGHT interrupt   the guardian is interrupted in flight

Real time: limits of the guardian are checked with `SLACK` for a machine that is busy with other things.
"""

import os
import signal
import sys
import threading
import time
import xmlrpc.client

import numpy as np
import rospy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist, TwistStamped
from sensor_msgs.msg import Image, Joy

SLACK = 0.25
WIDTH, HEIGHT = int(sys.argv[1]), int(sys.argv[2])


class Player:
    """Camera and joystick at 20 Hz each, which can be stopped; hears all commands."""

    def __init__(self):
        self.camera, self.joystick, self.pressed = False, False, False
        self.heard = []
        self.answers = []
        self.diagnostics = []
        self.images = rospy.Publisher("/camera/rgb/image_raw", Image, queue_size=1)
        self.joy = rospy.Publisher("/joy", Joy, queue_size=1)
        self.commands = rospy.Subscriber(
            "/cmd_vel", Twist, lambda m: self.heard.append((time.monotonic(), m))
        )
        self.learner = rospy.Subscriber("/learner/cmd_vel", TwistStamped, self.answers.append)
        rospy.Subscriber("/diagnostics", DiagnosticArray, self._on_diagnostics)
        threading.Thread(target=self.play, daemon=True).start()

    def _on_diagnostics(self, message):
        if message.status[0].name == "guardian":  # the learner has its own
            self.diagnostics.append(message)

    def image(self, seed=0, encoding="rgb8", stamp=None):
        """Send one image."""
        pixels = np.random.RandomState(seed).randint(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        message = Image(height=HEIGHT, width=WIDTH, encoding=encoding, step=3 * WIDTH, data=pixels.tobytes())
        message.header.stamp = rospy.Time.now() if stamp is None else stamp
        self.images.publish(message)

    def play(self):
        """Until the process ends."""
        while not rospy.is_shutdown():
            if self.joystick:
                self.joy.publish(Joy(buttons=[0, 0, 0, 0, 1 if self.pressed else 0, 0]))
            if self.camera:
                self.image()
            time.sleep(0.05)

    def flies(self):
        """Whether the last command moves the robot."""
        return bool(self.heard) and self.heard[-1][1].linear.x > 0

    def until(self, what, ready, limit):
        """Wait; returns the seconds that it took."""
        begin = time.monotonic()
        while not ready():
            passed = time.monotonic() - begin
            assert passed < limit, f"{what}: not within {limit} s; last diagnostics: {self.diagnostics[-1:]}"
            time.sleep(0.002)
        return time.monotonic() - begin

    def stays_zero(self, seconds):
        """Commands come, all zero, at about 50 Hz."""
        begin = len(self.heard)
        time.sleep(seconds)
        new = [message for _, message in self.heard[begin:]]
        assert len(new) > 25 * seconds, f"{len(new)} commands in {seconds} s"
        assert all(message == Twist() for message in new)


def interrupt(player):
    """The guardian is interrupted while the learner flies: zero is the last word."""
    player.camera = player.joystick = player.pressed = True
    player.until("flight", player.flies, 20)
    time.sleep(0.5)
    with xmlrpc.client.ServerProxy(rospy.get_master().lookupNode("/guardian")[2]) as api:
        pid = api.getPid("/client")[2]
    assert player.flies()
    before = len(player.heard)
    os.kill(pid, signal.SIGINT)
    player.until("the end", lambda: player.commands.get_num_connections() == 0, 20)
    last = [message for _, message in player.heard[before - 1 :]]
    zeros = [message == Twist() for message in last]
    # none of the learner's commands after the first zero, and zero more than once, for one may be lost
    assert zeros == sorted(zeros) and not zeros[0] and sum(zeros) >= 2, last


def main():
    """Wait for the graph, and play."""
    rospy.init_node("client", anonymous=True)
    player = Player()
    player.until("the guardian", lambda: player.heard, 90)
    player.until("the learner", lambda: "/learner/cmd_vel" in dict(rospy.get_published_topics()), 90)
    # not anybody: the bag listens to the camera as well
    camera = player.images.impl
    player.until("its camera", lambda: "/learner" in [c.endpoint_id for c in camera.connections], 30)
    player.until("the learner's answers", lambda: player.learner.get_num_connections() > 0, 30)
    player.until("joystick connection", lambda: player.joy.get_num_connections() > 0, 30)

    if len(sys.argv) > 3:
        interrupt(player)
    else:
        fail_once(player)
    print("client: all as it should be", flush=True)


def fail_once(player):
    """The whole flight."""
    # The learner alone: time is set back, a run of two images, and the same again.
    # Connections that both ends count may still lose the first message: images until one is answered.
    first = rospy.Time.now()
    for sent in range(100):
        player.image(stamp=first + rospy.Duration(2 + 0.2 * sent))
        time.sleep(0.2)
        if player.answers:
            break
    player.until("a first answer", lambda: player.answers, 20)
    time.sleep(1.0)  # that of each image which was on its way
    player.answers.clear()
    for index, (seed, seconds) in enumerate([(1, 0), (2, 1), (1, -9), (2, -8)]):
        player.image(seed, stamp=first + rospy.Duration(seconds))
        player.until("an answer", lambda wanted=index + 1: len(player.answers) == wanted, 20)
    turns = [answer.twist.angular.z for answer in player.answers]
    assert turns[:2] == turns[2:] and turns[0] != turns[1], turns

    player.stays_zero(0.5)  # no joystick
    player.camera = player.joystick = True
    player.stays_zero(0.5)  # the button is not pressed
    player.pressed = True
    player.until("flight", player.flies, 10)
    time.sleep(1.0)
    assert player.flies()
    yaws = {message.angular.z for _, message in player.heard[-20:]}
    assert max(abs(yaw) for yaw in yaws) <= 1.0

    def zero_after(what, limit):
        seconds = player.until(f"zero after {what}", lambda: not player.flies(), 5)
        print(f"zero {seconds:.3f} s after {what}", flush=True)
        assert seconds <= limit + SLACK
        player.stays_zero(0.4)

    player.pressed = False
    zero_after("the button", 0.07)
    player.pressed = True
    player.until("flight again", player.flies, 5)
    player.camera = False
    zero_after("the camera stopped", 0.2)
    player.camera = True
    player.until("flight again", player.flies, 5)
    player.joystick = False
    zero_after("the joystick was lost", 0.5)
    player.joystick = True
    player.stays_zero(0.4)  # the button was held all the time: not enough
    player.pressed = False
    time.sleep(0.3)
    player.pressed = True
    player.until("flight again", player.flies, 5)

    status = player.diagnostics[-1].status[0]
    values = {item.key: item.value for item in status.values}
    assert status.name == "guardian" and int(values["outputs"]) > 100, values
    assert int(values["deadman"]) >= 3 and int(values["no_joystick"]) == 2, values
    assert int(values["stale_command"]) + int(values["stale_image"]) >= 1, values

    # What nobody can decode ends the flight, with zero as the last word.
    player.camera = False
    player.image(encoding="yuv422")
    player.until("the end", lambda: player.joy.get_num_connections() <= 1, 30)
    time.sleep(1.0)
    assert player.heard[-1][1] == Twist(), player.heard[-1]


if __name__ == "__main__":
    main()
