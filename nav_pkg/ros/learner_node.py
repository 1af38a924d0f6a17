"""The part of the learner node that both modes share: a command for every image, its status, its services.

`nav_pkg.ros.lockstep_learner` and `nav_pkg.ros.live_learner` decide when an image is answered and when the
node learns from a frame. One worker thread does all learning, one function at a time. Callbacks and services
only submit work to it.
"""

from __future__ import annotations

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional

import numpy as np
import rospy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import TwistStamped
from std_srvs.srv import Trigger, TriggerResponse

from nav_pkg.core import LearnerError, NavError
from nav_pkg.data.messages import command_from_twist
from nav_pkg.flight.latency import DEADLINE
from nav_pkg.learn.deployment.perturbation import Perturbation
from nav_pkg.learn.deployment.pilot import Pilot
from nav_pkg.learn.online.learner import OnlineLearner
from nav_pkg.learn.training import folder
from nav_pkg.msg import Episode, LearnerStatus
from nav_pkg.ros import node_tools, topics
from nav_pkg.ros.callbacks import exit_on_error
from nav_pkg.ros.convert import twist_from_command
from nav_pkg.ros.images import image_message_type, image_to_array
from nav_pkg.ros.robot import Robot
from nav_pkg.srv import Checkpoint, CheckpointResponse

DIAGNOSTICS_EVERY = 10
"""Frames between two diagnostic messages."""
WORK_LIMIT = 1000.0
"""Wall seconds that a service waits for the worker thread, which may be learning or saving.

The session's own limit for a frame that is learned from is shorter."""
END_LIMIT = 60.0
"""Wall seconds that the service ~end_run waits for the run's last /episode."""
DIAGNOSTIC_FIELDS = [
    "network",
    "frames",
    "latency",
    "late",
    "learned",
    "updates",
    "buffer",
    "loss",
    "rate",
    "skipped",
]
"""Fields of the status that a diagnostic message contains."""


class LearnerNode:
    """Publishes a command with the same stamp for every camera image; learns if it has a learner.

    Args:
        pilot: the network with its preprocessing and action space.
        robot: the robot's topics.
        seed: of the pilot's random draws, if it makes any.
        learner: learns in flight; its pilot is `pilot`. None: the network does not learn.
        perturbation: applied to images before the network gets them, in the format of `--perturbation`.
        niceness: of the worker thread: 0 is normal, 19 the lowest priority.
    """

    def __init__(
        self,
        pilot: Pilot,
        robot: Robot,
        seed: int,
        learner: Optional[OnlineLearner] = None,
        perturbation: str = "none",
        niceness: int = 0,
    ):
        self._pilot, self._seed, self._learner = pilot, seed, learner
        self._perturbation = Perturbation.parse(perturbation)
        self._pilot_lock = threading.Lock()  # guards the memory of the pilot and of the perturbation
        self._frames = self._late = self._skipped = 0
        self._note = ""
        self._run: Optional[int] = None
        self._evaluation = False
        self._run_start = (time.monotonic(), 0)
        self._run_facts: Dict[str, Any] = {}  # of the run that has ended
        self._run_ended = threading.Event()
        # on Linux each thread has its own nice value
        self._worker = ThreadPoolExecutor(1, "learner", os.nice, (niceness,))
        self._command = rospy.Publisher(topics.LEARNER_COMMAND, TwistStamped, queue_size=10)
        self._status = rospy.Publisher(topics.LEARNER_STATUS, LearnerStatus, queue_size=10)
        self._diagnostics = rospy.Publisher(topics.DIAGNOSTICS, DiagnosticArray, queue_size=10)
        self._side_topics = [robot.side_cameras[name] for name in learner.sides] if learner else []

    def _subscribe(self, on_message: Callable[[Any, str], None]) -> List[rospy.Subscriber]:
        """Subscribe to /episode, the expert and the side cameras; return the side cameras' subscribers."""
        on_message = exit_on_error(on_message, LearnerError.code)
        for topic, kind in ((topics.EPISODE, Episode), (topics.EXPERT_COMMAND, TwistStamped)):
            rospy.Subscriber(topic, kind, on_message, topic, tcp_nodelay=True)
        return [
            rospy.Subscriber(
                topic,
                image_message_type(topic),
                on_message,
                topic,
                buff_size=node_tools.IMAGE_BUFFER,
                tcp_nodelay=True,
            )
            for topic in self._side_topics
        ]

    def _advertise(self) -> None:
        services: Dict[str, Any] = {"reset": self._on_reset, "end_run": self._on_end_run}
        if self._learner is not None:
            services.update(
                start_learning=lambda _: self._call_in_worker(TriggerResponse, self._set_learning, True),
                pause_learning=lambda _: self._call_in_worker(TriggerResponse, self._set_learning, False),
                stop_learning=lambda _: self._call_in_worker(TriggerResponse, self._stop_learning),
            )
            for name, work in (("save", self._save), ("load", self._load)):

                def on_path(request: Any, work: Any = work) -> Any:
                    return self._call_in_worker(CheckpointResponse, work, request.path)

                rospy.Service(f"~{name}", Checkpoint, exit_on_error(on_path, LearnerError.code))
        for name, handler in services.items():
            rospy.Service(f"~{name}", Trigger, exit_on_error(handler, LearnerError.code))

    def _submit(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Submit work to the worker thread; its failure ends the node."""
        self._worker.submit(exit_on_error(work, LearnerError.code), *arguments)

    def _call_in_worker(self, reply: Any, work: Callable[..., Any], *arguments: Any) -> Any:
        """Run work in the worker thread for a service; its reply, or that the worker thread was too slow."""
        future = self._worker.submit(work, *arguments)
        try:
            return future.result(WORK_LIMIT)
        except FutureTimeout:
            future.cancel()
            text = f"waited {WORK_LIMIT:g} s for the worker thread, which learns or saves"
            return reply(success=False, message=text)

    # Answering.

    def _answer(self, message: Any) -> Optional[np.ndarray]:
        """Publish the command for an image (hold `_pilot_lock`); return the resized pixels for a learner."""
        image = self._perturbation.apply(image_to_array(message))
        begin = time.perf_counter()  # the perturbation belongs to the test, not to the pilot
        pixels: Optional[np.ndarray] = None
        if self._learner is not None:
            pixels = self._pilot.preprocessing.resize(image)
            command = self._learner.command_of(pixels)
        else:
            command = self._pilot.command(image)
        answer = TwistStamped(header=message.header, twist=twist_from_command(command))
        answer.header.frame_id = "base_link"
        self._command.publish(answer)
        latency = time.perf_counter() - begin
        self._frames += 1
        self._late += latency > DEADLINE
        self._publish_status(answer.header, latency)
        return pixels

    def _publish_status(self, header: Any, latency: float) -> None:
        status = LearnerStatus(
            header=header,
            network=self._pilot.network,
            frames=self._frames,
            latency=latency,
            late=self._late,
            note=self._note,
            skipped=self._skipped,
            loss=float("nan"),
        )
        learner = self._learner
        if learner is not None:
            since, updates = self._run_start
            status.learning = learner.learning and not self._evaluation
            status.learned, status.updates = learner.frames, learner.updates
            status.buffer = len(learner.replay)
            status.loss = float("nan") if learner.loss is None else learner.loss
            status.rate = (learner.updates - updates) / max(1e-9, time.monotonic() - since)
        self._status.publish(status)
        if self._frames % DIAGNOSTICS_EVERY == 1:
            self._publish_diagnostics(status)

    def _publish_diagnostics(self, status: LearnerStatus) -> None:
        """Publish the status for rqt_robot_monitor and similar tools."""
        message = DiagnosticArray()
        message.header.stamp = rospy.Time.now()
        message.status.append(
            DiagnosticStatus(
                level=DiagnosticStatus.WARN if status.note else DiagnosticStatus.OK,
                name="learner",
                message=status.note or ("learns" if status.learning else "flies"),
                values=[KeyValue(key, str(getattr(status, key))) for key in DIAGNOSTIC_FIELDS],
            )
        )
        self._diagnostics.publish(message)

    def _reset_pilot(self) -> None:
        with self._pilot_lock:
            self._pilot.reset(self._seed)

    # A run, in the worker thread.

    def _begin_run(self, episode: Episode) -> None:
        """Store the run's number and whether it is an evaluation, from its first frame."""
        assert self._learner is not None
        self._run = episode.run
        self._evaluation = bool(json.loads(episode.facts).get("evaluation")) if episode.facts else False
        self._run_start = (time.monotonic(), self._learner.updates)

    def _learn(self, pixels: np.ndarray, messages: Mapping[str, Any], index: int) -> None:
        """Learn from a frame: its image, the expert's command, the images of the side cameras."""
        assert self._learner is not None
        sides = [
            self._pilot.preprocessing.resize(image_to_array(messages[topic])) for topic in self._side_topics
        ]
        self._learner.observe(pixels, command_from_twist(messages[topics.EXPERT_COMMAND].twist), index, sides)

    def _on_run_ended(self, episode: Episode) -> None:
        self._run_facts = json.loads(episode.facts) if episode.facts else {}
        self._run_ended.set()

    def _finish_run(self) -> TriggerResponse:
        self._drop_frames()
        facts, self._run_facts = self._run_facts, {}
        self._run_ended.clear()
        if self._learner is not None and facts and facts.get("outcome") != "sim_failure":
            self._learner.end_run(facts)
        return TriggerResponse(success=True)

    def _drop_frames(self) -> None:
        """Drop the frames that wait to be learned from."""
        raise NotImplementedError

    # Services.

    def _on_reset(self, _request: Any) -> TriggerResponse:
        """Begin a new episode: reset the recurrent state."""
        return self._call_in_worker(TriggerResponse, self._reset)

    def _reset(self) -> TriggerResponse:
        if self._run_ended.is_set():
            self._finish_run()  # ~end_run was not called: the learned state must not be lost
        self._drop_frames()
        self._run, self._evaluation = None, False
        with self._pilot_lock:
            self._pilot.reset(self._seed)
            self._perturbation.reset(self._seed, rospy.get_param(topics.RUN_PARAMETER, 0))
        return TriggerResponse(success=True)

    def _on_end_run(self, _request: Any) -> TriggerResponse:
        """End the run: the learned state is on disk when the reply is sent."""
        if self._learner is None:
            return TriggerResponse(success=True)
        if not self._run_ended.wait(END_LIMIT):
            return TriggerResponse(
                success=False, message=f"waited {END_LIMIT:g} s for the run's last {topics.EPISODE}"
            )
        return self._call_in_worker(TriggerResponse, self._finish_run)

    def _set_learning(self, on: bool) -> TriggerResponse:
        assert self._learner is not None
        self._learner.learning = on
        rospy.loginfo("learning %s", "resumes" if on else "pauses")
        return TriggerResponse(success=True, message="learning" if on else "not learning")

    def _stop_learning(self) -> TriggerResponse:
        """Stop learning, and save the learned state beside the session's own checkpoint."""
        reply, saved = self._set_learning(False), self._save("")
        return TriggerResponse(success=saved.success, message=f"{reply.message}; {saved.message}")

    def _save(self, path: str) -> CheckpointResponse:
        assert self._learner is not None
        default = self._learner.where / f"saved_{self._learner.updates:08d}"
        file = Path(self._learner.parts.summary_dir / path if path else default) / folder.MODEL_FILE
        if path and file.exists():
            return CheckpointResponse(success=False, message=f"{file}: exists already; give another path")
        try:
            self._learner.save(file)
        except NavError as error:
            return CheckpointResponse(success=False, message=str(error))
        return CheckpointResponse(success=True, message=f"wrote {file}")

    def _load(self, path: str) -> CheckpointResponse:
        assert self._learner is not None
        try:
            self._learner.load(path)
        except NavError as error:
            return CheckpointResponse(success=False, message=str(error))
        rospy.loginfo("loaded %s: it flies and learns from here", path)
        return CheckpointResponse(success=True, message=f"loaded {path}")
