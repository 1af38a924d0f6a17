"""Beside fly.launch: plays camera and joystick, and times what comes out; fails by an assertion.

    fly_client.py WIDTH HEIGHT             everything fails once
    fly_client.py WIDTH HEIGHT interrupt   the guardian is interrupted in flight

`LIMIT` only ends a wait for what never comes. Three times are measured: from the loss of an input to the
first zero command. They may exceed the guardian's limits by `SLACK`, and by what the machine stood still
meanwhile, as the camera's, the joystick's and the commands' own periods show.
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

LIMIT = 120.0
SLACK = 0.25
PLAYED, COMMANDED = 0.05, 0.02
"""Periods of camera and joystick, and of the guardian, in seconds."""
INPUT_LIMIT = 1.0
"""The guardian's limits of test_fly.py, in seconds."""
WIDTH, HEIGHT = int(sys.argv[1]), int(sys.argv[2])


def stalls(times, period):
    """How much longer than two periods the times lie apart, in all."""
    return sum(max(0.0, late - early - 2 * period) for early, late in zip(times, times[1:]))


class Player:
    """Camera and joystick at 20 Hz each, which can be stopped; gets all commands."""

    def __init__(self):
        self.camera, self.joystick, self.pressed, self.encoding = False, False, False, "rgb8"
        self.played = []  # (time, camera, joystick, pressed): what was sent
        self.heard = []
        self.answers = []
        self.diagnostics = []
        self.images = rospy.Publisher("/camera/rgb/image_raw", Image, queue_size=1)
        self.joy = rospy.Publisher("/joy", Joy, queue_size=100)
        self.commands = rospy.Subscriber(
            "/cmd_vel", Twist, lambda m: self.heard.append((time.monotonic(), m))
        )
        self.learner = rospy.Subscriber("/learner/cmd_vel", TwistStamped, self.answers.append)
        rospy.Subscriber("/diagnostics", DiagnosticArray, self._on_diagnostics)
        threading.Thread(target=self.play, daemon=True).start()

    def _on_diagnostics(self, message):
        if message.status[0].name == "guardian":  # the learner has its own
            self.diagnostics.append(message)

    def image(self, seed=0, stamp=None):
        """Send one image."""
        pixels = np.random.RandomState(seed).randint(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        message = Image(height=HEIGHT, width=WIDTH, encoding=self.encoding, step=3 * WIDTH)
        message.data = pixels.tobytes()
        message.header.stamp = rospy.Time.now() if stamp is None else stamp
        self.images.publish(message)

    def play(self):
        """Until the process ends."""
        while not rospy.is_shutdown():
            camera, joystick, pressed = self.camera, self.joystick, self.pressed
            if joystick:
                self.joy.publish(Joy(buttons=[0, 0, 0, 0, 1 if pressed else 0, 0]))
            if camera:
                self.image()
            self.played.append((time.monotonic(), camera, joystick, pressed))
            time.sleep(PLAYED)

    def counts(self, reason):
        """How often the guardian's reason for a zero command began."""
        values = self.diagnostics[-1].status[0].values if self.diagnostics else []
        return sum(int(item.value) for item in values if item.key == reason)

    def flies(self):
        """Whether the last command moves the robot."""
        return bool(self.heard) and self.heard[-1][1].linear.x > 0

    def until(self, awaited, ready):
        """Wait."""
        begin = time.monotonic()
        while not ready():
            message = f"{awaited}: not within {LIMIT} s; last diagnostics: {self.diagnostics[-1:]}"
            assert time.monotonic() < begin + LIMIT, message
            time.sleep(0.002)

    def play_on(self, count=6):
        """Until camera and joystick, as they are now, have been played that often."""
        begin = len(self.played) + 1  # the next one may have begun before a change
        self.until("camera and joystick", lambda: len(self.played) >= begin + count)

    def stays_zero(self, count):
        """So many commands more come, all zero."""
        begin = len(self.heard)
        self.until("commands", lambda: len(self.heard) >= begin + count)
        assert all(message == Twist() for _, message in self.heard[begin:])

    def zero_after(self, lost_input, lost, limit, *reasons):
        """Commands are zero soon after an input was lost, and the guardian says why.

        Args:
            lost_input: for messages.
            lost: whether a line of `played` lacks the input.
            limit: the guardian's, in seconds.
            reasons: one of them begins; also where the machine was so slow that commands were zero before.
        """
        begin, before, flown = len(self.played), sum(map(self.counts, reasons)), len(self.heard) - 1
        self.until(f"the loss of {lost_input}", lambda: any(lost(line) for line in self.played[begin:]))
        first = next(n for n in range(begin, len(self.played)) if lost(self.played[n]))
        # The guardian last got the input before that line; a button that is not pressed, with it.
        sent = self.played[first if lost_input == "the button" else first - 1][0]
        later = [n for n, (at, _) in enumerate(self.heard) if at >= sent]
        at = max(
            flown, (later or [len(self.heard)])[0]
        )  # the input may have been lost before the flight began
        self.until(f"zero after {lost_input}", lambda: any(m == Twist() for _, m in self.heard[at:]))
        zero = next(n for n in range(at, len(self.heard)) if self.heard[n][1] == Twist())
        seconds = self.heard[zero][0] - sent
        stalled = stalls([moment for moment, _ in self.heard[max(at - 1, 0) : zero + 1]], COMMANDED)
        stalled += stalls([line[0] for line in self.played[first - 1 :]], PLAYED)
        print(
            f"zero {seconds:.3f} s after {lost_input}; the machine stood still for {stalled:.3f} s",
            flush=True,
        )
        assert seconds <= limit + SLACK + stalled
        self.until(f"{reasons} in diagnostics", lambda: sum(map(self.counts, reasons)) > before)
        self.stays_zero(20)


def interrupt(player):
    """The guardian is interrupted while the learner flies: zero is the last word."""
    player.camera = player.joystick = player.pressed = True
    player.until("flight", player.flies)
    with xmlrpc.client.ServerProxy(rospy.get_master().lookupNode("/guardian")[2]) as api:
        pid = api.getPid("/client")[2]
    player.until("flight", player.flies)
    before = len(player.heard)
    os.kill(pid, signal.SIGINT)
    player.until("the end", lambda: player.commands.get_num_connections() == 0)
    last = [message for _, message in player.heard[before - 1 :]]
    zeros = [message == Twist() for message in last]
    # none of the learner's commands after the first zero, and zero more than once, for one may be lost
    assert zeros == sorted(zeros) and not zeros[0] and sum(zeros) >= 2, last


def main():
    """Wait for the graph, and play."""
    rospy.init_node("client", anonymous=True)
    player = Player()
    player.until("the guardian", lambda: player.heard)
    player.until("the learner", lambda: "/learner/cmd_vel" in dict(rospy.get_published_topics()))
    # not anybody: the bag subscribes to camera and joystick as well
    for node, publisher in (("/learner", player.images), ("/guardian", player.joy)):
        player.until(
            f"{node}'s subscription",
            lambda node=node, publisher=publisher: (
                node in [c.endpoint_id for c in publisher.impl.connections]
            ),
        )
    player.until("the learner's answers", lambda: player.learner.get_num_connections() > 0)

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
    for sent in range(int(LIMIT / 0.2)):
        player.image(stamp=first + rospy.Duration(2 + 0.2 * sent))
        time.sleep(0.2)
        if player.answers:
            break

    def turn(seed, seconds):
        """What the learner answers to an image."""
        stamp, answers = first + rospy.Duration(seconds), []
        player.image(seed, stamp=stamp)
        player.until(
            "an answer",
            lambda: answers.extend(a for a in player.answers if a.header.stamp == stamp) or answers,
        )
        return answers[0].twist.angular.z

    turns = [turn(seed, seconds) for seed, seconds in [(1, 0), (2, 1), (1, -9), (2, -8)]]
    assert turns[:2] == turns[2:] and turns[0] != turns[1], turns

    player.stays_zero(20)  # no joystick
    player.camera = player.joystick = True
    player.play_on()
    player.stays_zero(20)  # the button is not pressed
    player.pressed = True
    player.until("flight", player.flies)
    player.play_on(20)
    yaws = {message.angular.z for _, message in player.heard[-20:]}
    assert max(abs(yaw) for yaw in yaws) <= 1.0

    player.until("flight still", player.flies)
    player.pressed = False
    player.zero_after("the button", lambda line: not line[3], 0.02, "deadman")
    player.pressed = True
    player.until("flight again", player.flies)
    player.camera = False
    player.zero_after("the camera", lambda line: not line[1], INPUT_LIMIT, "stale_command", "stale_image")
    player.camera = True
    player.until("flight again", player.flies)
    player.joystick = False
    player.zero_after("the joystick", lambda line: not line[2], INPUT_LIMIT, "no_joystick")
    player.joystick = True
    player.play_on()
    player.stays_zero(20)  # the button was held all the time: not enough
    player.pressed = False
    player.play_on()
    player.pressed = True
    player.until("flight again", player.flies)

    status = player.diagnostics[-1].status[0]
    assert status.name == "guardian" and player.counts("outputs") > 100, status
    assert player.counts("deadman") >= 3 and player.counts("no_joystick") >= 2, status

    # What nobody can decode ends the flight, with zero as the last word. A single such image could be
    # overtaken by the camera's last good one: the learner takes the newest alone.
    player.encoding = "rgb7"
    player.until("the end", lambda: player.commands.get_num_connections() == 0)
    assert player.heard[-1][1] == Twist(), player.heard[-1]


if __name__ == "__main__":
    main()
