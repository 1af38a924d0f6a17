"""The learner node on a robot, or on a simulator that runs freely: answers at once, learns beside.

Images are answered in rospy's thread as they come. The worker thread learns from the frames of a run in
the order of /episode. It skips what it cannot keep up with.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Deque, Dict, Optional, Set, Tuple

import rospy

from nav_pkg.core import LearnerError
from nav_pkg.data.messages import stamp_ns
from nav_pkg.learn.online import OnlineLearner
from nav_pkg.learn.pilot import Pilot
from nav_pkg.msg import Episode
from nav_pkg.ros import robot as topics
from nav_pkg.ros import shell
from nav_pkg.ros.guard import guarded
from nav_pkg.ros.images import kind_of
from nav_pkg.ros.learner_node import LearnerNode

BACKLOG = 20
"""Frames that may wait to be learned from; older ones are skipped."""
HELD = 3 * BACKLOG
"""Stamps whose messages are held: images that belong to no run are never asked for."""
LATE = 5.0
"""Wall seconds that a frame's messages may come after its /episode."""
PATIENCE = 50
"""Frames after which an expert, or a supervisor, of which no message has come is not there."""
NICENESS = 10
"""Of the worker thread: flying goes first where both want the processor."""
ANSWERED = "image"
"""Channel of the images that were answered, at the network's input size."""


class LiveLearner(LearnerNode):
    """Answers the newest image at once; learns from the frames whose messages are all there.

    Args: see LearnerNode.
    """

    def __init__(
        self,
        pilot: Pilot,
        robot: topics.Robot,
        seed: int,
        learner: Optional[OnlineLearner] = None,
        perturbation: str = "none",
    ):
        super().__init__(pilot, robot, seed, learner, perturbation, NICENESS)
        self._stamp = 0  # of the last image
        self._came: Set[str] = set()  # topics of which a message has come
        self._messages: Dict[int, Dict[str, Any]] = {}  # by stamp and channel
        self._newest: Dict[str, int] = {}  # stamp by channel
        self._pending: Deque[Tuple[Episode, float]] = deque()  # to be learned from, with the time it came
        self._scheduled = False
        self._new_run = False
        self._subscribe(self._on_message)
        rospy.Subscriber(
            robot.rgb,
            kind_of(robot.rgb),
            guarded(self._on_image, LearnerError.code),
            queue_size=1,  # only the newest image is worth an answer
            buff_size=shell.IMAGE_BUFFER,
            tcp_nodelay=True,
        )
        self._advertise()

    # In rospy's threads.

    def _on_image(self, message: Any) -> None:
        stamp = stamp_ns(message.header.stamp)
        with self._answering:
            if stamp < self._stamp:  # time was set back (a simulator or a bag restarted): so is the run
                self._pilot.reset(self._seed)
            self._stamp = stamp
            pixels = self._answer(message)
        if self._learner is None:
            return
        missing = [topic for topic in (topics.EXPERT, topics.EPISODE) if topic not in self._came]
        note = f"learning refused: nobody publishes {missing[0]}; the net flies on" if missing else ""
        note = note if self._frames > PATIENCE else ""
        if note and note != self._note:
            rospy.logwarn(note)
        self._note = note
        self._submit(self._take, ANSWERED, stamp, pixels)

    def _on_message(self, message: Any, topic: str) -> None:
        self._came.add(topic)
        if topic == topics.EPISODE and message.state == Episode.IDLE:
            self._reset_pilot()
        self._submit(self._take, topic, stamp_ns(message.header.stamp), message)

    # In the worker thread.

    def _take(self, channel: str, stamp: int, message: Any) -> None:
        """Hold a message until its frame is learned from."""
        if stamp < self._newest.get(channel, -1):  # time was set back
            self._drop_frames()
            self._messages.clear()
            self._newest.clear()
        self._newest[channel] = stamp
        self._messages.setdefault(stamp, {})[channel] = message
        if len(self._messages) > HELD:
            del self._messages[min(self._messages)]
        if channel == topics.EPISODE:
            if message.state == Episode.ENDED:
                self._end(message)
            elif message.state == Episode.RUNNING:
                self._wait_for(message)
        self._schedule()

    def _wait_for(self, episode: Episode) -> None:
        """Let a frame wait for its messages. A frame of a run whose beginning is unknown does not."""
        if self._learner is None:
            return
        if episode.index == 0:
            self._begin_run(episode)
            self._new_run = True
        if episode.run != self._run or self._evaluation or not self._learner.learning:
            return
        if len(self._pending) == BACKLOG:
            self._pending.popleft()
            self._skipped += 1
        self._pending.append((episode, time.monotonic()))

    def _schedule(self) -> None:
        """Learn from the next frame after all messages that have come by now are taken."""
        if self._pending and not self._scheduled:
            self._scheduled = True
            self._submit(self._learn_next)

    def _learn_next(self) -> None:
        self._scheduled = False
        channels = [ANSWERED, topics.EXPERT, *self._sides]
        while self._pending:
            episode, since = self._pending[0]
            stamp = stamp_ns(episode.header.stamp)
            messages = self._messages.get(stamp, {})
            missing = [channel for channel in channels if channel not in messages]
            # channels give their stamps in order and may leave some out
            lost = any(self._newest.get(channel, -1) > stamp for channel in missing)
            if missing and not lost and time.monotonic() - since < LATE:
                return  # the next message looks again
            self._pending.popleft()
            if missing:
                self._skipped += 1
                continue
            if self._new_run:
                self._new_run = False
                self._learner.new_run(episode.run)  # type: ignore[union-attr]
            self._messages = {s: of for s, of in self._messages.items() if s > stamp}
            self._learn(messages[ANSWERED], messages, episode.index)
            break
        self._schedule()

    def _drop_frames(self) -> None:
        self._skipped += len(self._pending)
        self._pending.clear()
