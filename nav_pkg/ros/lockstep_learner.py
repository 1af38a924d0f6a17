"""The learner node in lock-step: one frame after the other, so learning depends only on the frames.

An image is answered when the previous frame is settled: its /episode has arrived, and the node has learned
from the frame if it belongs to a run with learning.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Deque, Dict, List, Optional, Tuple

import numpy as np
import rospy

from nav_pkg.core import LearnerError, SimulatorError
from nav_pkg.data.messages import stamp_ns
from nav_pkg.learn.deployment.pilot import Pilot
from nav_pkg.learn.online.learner import OnlineLearner
from nav_pkg.msg import Episode
from nav_pkg.ros import node_tools, topics
from nav_pkg.ros.callbacks import exit_on_error
from nav_pkg.ros.images import image_message_type
from nav_pkg.ros.learner_node import LearnerNode
from nav_pkg.ros.robot import Robot

CONNECT_LIMIT = 120.0
"""Wall seconds to connect to the side cameras."""
MESSAGE_LIMIT = 30.0
"""Wall seconds after /episode for the expert's command and the side cameras' images."""


class LockstepLearner(LearnerNode):
    """Answers an image, waits for the supervisor's decision, learns, and takes the next image.

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
        super().__init__(pilot, robot, seed, learner, perturbation)
        self._images: Deque[Any] = deque()
        # stamp and pixels of the answered, unsettled frame
        self._unsettled: Optional[Tuple[int, Optional[np.ndarray]]] = None
        self._messages: Dict[int, Dict[str, Any]] = {}  # by stamp and topic
        self._settled = -1  # stamp of the last settled frame
        self._timer: Optional[threading.Timer] = None
        sides = self._subscribe(lambda message, topic: self._submit(self._on_message, message, topic))
        rospy.Subscriber(
            robot.rgb,
            image_message_type(robot.rgb),
            exit_on_error(lambda message: self._submit(self._on_image, message), LearnerError.code),
            buff_size=node_tools.IMAGE_BUFFER,
            tcp_nodelay=True,
        )
        # the supervisor waits for the services: advertise them only when no image can be missed
        node_tools.wait_until(
            f"images on {', '.join(self._side_topics)}",
            lambda: all(side.get_num_connections() for side in sides),
            CONNECT_LIMIT,
        )
        self._advertise()

    def _on_image(self, message: Any) -> None:
        self._images.append(message)
        self._proceed()

    def _on_message(self, message: Any, topic: str) -> None:
        stamp = stamp_ns(message.header.stamp)
        if stamp > self._settled:
            self._messages.setdefault(stamp, {})[topic] = message
            self._proceed()

    def _proceed(self) -> None:
        """Settle frames and answer images until a message is missing."""
        while True:
            if self._unsettled is None:
                if not self._images:
                    return
                message = self._images.popleft()
                with self._pilot_lock:
                    self._unsettled = (stamp_ns(message.header.stamp), self._answer(message))
            stamp, pixels = self._unsettled
            if not self._settle(stamp, pixels):
                return
            self._unsettled, self._settled = None, stamp
            self._messages = {s: of for s, of in self._messages.items() if s > stamp}

    def _settle(self, stamp: int, pixels: Optional[np.ndarray]) -> bool:
        """Process an answered frame; return False if a required message has not arrived."""
        messages = self._messages.get(stamp, {})
        episode = messages.get(topics.EPISODE)
        if episode is None:
            return False  # the supervisor limits each of its own waits
        if episode.state == Episode.IDLE:
            # the take-off is not part of a run: a recurrent network must not have seen it
            self._reset_pilot()
        elif episode.state == Episode.ENDED:
            self._on_run_ended(episode)
        elif self._learner is not None:
            if episode.index == 0 and self._run != episode.run:
                self._begin_run(episode)
                self._learner.new_run(episode.run)
            if not self._evaluation:
                missing = [
                    topic for topic in (topics.EXPERT_COMMAND, *self._side_topics) if topic not in messages
                ]
                self._update_timer(stamp, missing)
                if missing:
                    return False
                assert pixels is not None
                self._learn(pixels, messages, episode.index)
        return True

    def _update_timer(self, stamp: int, missing: List[str]) -> None:
        """Start or cancel the time limit for the missing messages of a frame."""
        if missing and self._timer is None:
            self._timer = threading.Timer(MESSAGE_LIMIT, self._submit, (self._on_timeout, stamp))
            self._timer.daemon = True
            self._timer.start()
        elif not missing and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timeout(self, stamp: int) -> None:
        if self._unsettled is None or self._unsettled[0] != stamp:
            return
        messages = self._messages.get(stamp, {})
        missing = [topic for topic in (topics.EXPERT_COMMAND, *self._side_topics) if topic not in messages]
        raise SimulatorError(
            f"waited {MESSAGE_LIMIT:g} s for {', '.join(missing)} with stamp {stamp * 1e-9:.3f} s"
        )

    def _drop_frames(self) -> None:
        self._update_timer(-1, [])
        self._images.clear()
        self._messages.clear()
        self._unsettled = None
