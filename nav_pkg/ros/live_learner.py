"""The learner node on a robot or a free-running simulator: it answers at once and learns in parallel.

rospy's thread answers images as they arrive. The worker thread learns from the frames of a run in the order
of /episode, and skips frames if it is too slow.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Deque, Dict, Optional, Set, Tuple

import rospy

from nav_pkg.core import LearnerError
from nav_pkg.data.messages import stamp_ns
from nav_pkg.learn.deployment.pilot import Pilot
from nav_pkg.learn.online.learner import OnlineLearner
from nav_pkg.msg import Episode
from nav_pkg.ros import node_tools, topics
from nav_pkg.ros.callbacks import exit_on_error
from nav_pkg.ros.images import image_message_type
from nav_pkg.ros.learner_node import LearnerNode
from nav_pkg.ros.robot import Robot

MAX_PENDING = 20
"""Maximum number of frames that wait to be learned from; older ones are skipped."""
MAX_STAMPS = 3 * MAX_PENDING
"""Maximum number of stamps whose messages are kept: images outside a run would accumulate."""
MAX_INBOX = 5 * MAX_STAMPS
"""Messages that may wait for the worker thread; the oldest image or command makes room."""
MESSAGE_LIMIT = 5.0
"""Wall seconds after /episode for the other messages of a frame."""
ABSENT_AFTER = 50
"""Frames without any message of the expert or the supervisor, after which it counts as absent."""
NICENESS = 10
"""Nice value of the worker thread: flying has priority over learning."""
IMAGE_CHANNEL = "image"
"""Channel of the answered images, at the network's input size."""


class LiveLearner(LearnerNode):
    """Answers the newest image at once; learns from frames whose messages are complete.

    Args: see LearnerNode.
    """

    def __init__(
        self,
        pilot: Pilot,
        robot: Robot,
        seed: int,
        learner: Optional[OnlineLearner] = None,
        perturbation: str = "none",
    ):
        super().__init__(pilot, robot, seed, learner, perturbation, NICENESS)
        self._last_image_stamp = 0
        self._received_topics: Set[str] = set()  # topics with at least one message
        self._messages: Dict[int, Dict[str, Any]] = {}  # by stamp and channel
        self._newest_stamps: Dict[str, int] = {}  # stamp by channel
        self._pending: Deque[Tuple[Episode, float]] = deque()  # frames to learn from, with their arrival time
        self._scheduled = False
        self._new_run = False
        self._inbox: Deque[Tuple[str, int, Any]] = deque()  # channel, stamp, message: for the worker thread
        self._inbox_lock = threading.Lock()
        self._subscribe(self._on_message)
        rospy.Subscriber(
            robot.rgb,
            image_message_type(robot.rgb),
            exit_on_error(self._on_image, LearnerError.code),
            queue_size=1,  # only the newest image needs an answer
            buff_size=node_tools.IMAGE_BUFFER,
            tcp_nodelay=True,
        )
        self._advertise()

    # In rospy's threads.

    def _on_image(self, message: Any) -> None:
        stamp = stamp_ns(message.header.stamp)
        with self._pilot_lock:
            if stamp < self._last_image_stamp:  # a simulator or a bag restarted: a new run
                self._pilot.reset(self._seed)
            self._last_image_stamp = stamp
            pixels = self._answer(message)
        if self._learner is None:
            return
        missing = [
            topic for topic in (topics.EXPERT_COMMAND, topics.EPISODE) if topic not in self._received_topics
        ]
        note = f"no learning: nobody publishes {missing[0]}; the network continues to fly" if missing else ""
        note = note if self._frames > ABSENT_AFTER else ""
        if note and note != self._note:
            rospy.logwarn(note)
        self._note = note
        self._post(IMAGE_CHANNEL, stamp, pixels)

    def _on_message(self, message: Any, topic: str) -> None:
        self._received_topics.add(topic)
        if topic == topics.EPISODE and message.state == Episode.IDLE:
            self._reset_pilot()
        elif topic == topics.EPISODE and message.state == Episode.ENDED:
            # at once: ~end_run waits for it, and a learning step may take minutes
            self._on_run_ended(message)
        if self._learner is not None:
            self._post(topic, stamp_ns(message.header.stamp), message)

    def _post(self, channel: str, stamp: int, message: Any) -> None:
        """Hand a message to the worker thread. While that is busy, images go before memory does."""
        with self._inbox_lock:
            first = not self._inbox
            self._inbox.append((channel, stamp, message))
            if len(self._inbox) > MAX_INBOX:
                oldest = (k for k, item in enumerate(self._inbox) if item[0] != topics.EPISODE)
                del self._inbox[next(oldest, 0)]
        if first:
            self._submit(self._process_inbox)

    # In the worker thread.

    def _process_inbox(self) -> None:
        with self._inbox_lock:
            items, self._inbox = self._inbox, deque()
        for item in items:
            self._store_message(*item)
        self._schedule_learning()

    def _store_message(self, channel: str, stamp: int, message: Any) -> None:
        """Keep a message until its frame is learned from."""
        if stamp < self._newest_stamps.get(channel, -1):  # time was set back
            self._drop_frames()
            self._messages.clear()
            self._newest_stamps.clear()
        self._newest_stamps[channel] = stamp
        self._messages.setdefault(stamp, {})[channel] = message
        if len(self._messages) > MAX_STAMPS:
            del self._messages[min(self._messages)]
        if channel == topics.EPISODE and message.state == Episode.RUNNING:
            self._queue_frame(message)

    def _queue_frame(self, episode: Episode) -> None:
        """Queue a frame until its messages arrive. Runs whose first frame was missed are ignored."""
        if self._learner is None:
            return
        if episode.index == 0:
            self._begin_run(episode)
            self._new_run = True
        if episode.run != self._run or self._evaluation or not self._learner.learning:
            return
        if len(self._pending) == MAX_PENDING:
            self._pending.popleft()
            self._skipped += 1
        self._pending.append((episode, time.monotonic()))

    def _schedule_learning(self) -> None:
        """Submit the learning of the next frame, behind all messages that have arrived by now."""
        if self._pending and not self._scheduled:
            self._scheduled = True
            self._submit(self._learn_next)

    def _learn_next(self) -> None:
        self._scheduled = False
        channels = [IMAGE_CHANNEL, topics.EXPERT_COMMAND, *self._side_topics]
        while self._pending:
            episode, since = self._pending[0]
            stamp = stamp_ns(episode.header.stamp)
            messages = self._messages.get(stamp, {})
            missing = [channel for channel in channels if channel not in messages]
            # each channel's stamps are in order, but may have gaps
            lost = any(self._newest_stamps.get(channel, -1) > stamp for channel in missing)
            if missing and not lost and time.monotonic() - since < MESSAGE_LIMIT:
                return  # the next message triggers another attempt
            self._pending.popleft()
            if missing:
                self._skipped += 1
                continue
            if self._new_run:
                self._new_run = False
                self._learner.new_run(episode.run)  # type: ignore[union-attr]
            self._messages = {s: of for s, of in self._messages.items() if s > stamp}
            self._learn(messages[IMAGE_CHANNEL], messages, episode.index)
            break
        self._schedule_learning()

    def _drop_frames(self) -> None:
        self._skipped += len(self._pending)
        self._pending.clear()
