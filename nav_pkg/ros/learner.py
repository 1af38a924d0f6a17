"""The learner node: camera image in, the net's command out, stamp for stamp; and learning in between.

In lock-step one thread takes each image in turn: answer it, hear what the expert says and whether the
frame counts, learn, then take the next. What is learned so depends on the frames alone. Free-running,
as on a robot, images are answered when they come, and another thread learns beside it, in the order of
/episode: of the frames of a run whose beginning said that it is learned from.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Set, Tuple

import numpy as np
import rospy
import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import TwistStamped
from std_srvs.srv import Trigger, TriggerResponse

from nav_pkg.config import paths
from nav_pkg.config.learner import SETTINGS, LearnerConfig
from nav_pkg.core import (
    LearnerError,
    NavError,
    SimulatorError,
    UsageError,
)
from nav_pkg.data.messages import command_from_twist, stamp_ns
from nav_pkg.flight.latency import DEADLINE
from nav_pkg.learn import determinism, exported, folder
from nav_pkg.learn.online import OnlineLearner
from nav_pkg.learn.online_flags import learning_config
from nav_pkg.learn.perturbation import Perturbation
from nav_pkg.learn.pilot import Pilot
from nav_pkg.msg import Episode, LearnerStatus
from nav_pkg.ros import robot as topics
from nav_pkg.ros import shell
from nav_pkg.ros.convert import twist_from_command
from nav_pkg.ros.guard import guarded
from nav_pkg.ros.images import image_to_array, kind_of
from nav_pkg.ros.join import StampJoin
from nav_pkg.srv import Checkpoint, CheckpointResponse

DIAGNOSED = 10
"""Frames from one diagnostic message to the next."""
BACKLOG = 20
"""Free-running: frames that may wait to be learned from; older ones are left out."""
HELD = 3 * BACKLOG
"""Free-running: frames whose messages are held; there may be nobody who asks for them."""
LATE = 5.0
"""Free-running: wall seconds that a frame's messages may come after the supervisor's word on it."""
PATIENCE = 50
"""Free-running: frames after which an expert, or a supervisor, that was never heard is not there."""
CONNECTED = 120.0
"""Wall seconds for the side cameras to be there."""
ANSWERED = "image"
"""Channel of the images that were answered, at the network's input size."""


@dataclass
class Parameters:
    """Private parameters of the learner node; all else comes as flags of main.py.

    Attributes:
        robot: robot name or file (topic names).
        lockstep: simulated time waits for every answer, and every frame has its /episode.
        log_folder: where a session keeps its logs; empty: the folder of --log_tag.
        width: camera width, pixels; 0: the robot file's.
        height: camera height, pixels; 0: the robot file's.
    """

    robot: str = "drone"
    lockstep: bool = False
    log_folder: str = ""
    width: int = 0
    height: int = 0

    def camera(self, robot: topics.Robot) -> Tuple[int, int]:
        """Width and height of the camera, pixels."""
        own = robot.description["camera"]
        return self.width or own["width"], self.height or own["height"]


class LearnerNode:
    """Answers every camera image with a command that bears its stamp; learns when it has a learner.

    Args:
        pilot: the net with its preprocessing and action space.
        robot: the robot's topics.
        seed: of the pilot's random draws, if it makes any.
        lockstep: see Parameters.
        learner: learns in flight; None for a net that flies as it is. Its pilot is `pilot`.
        perturbation: what is done to images before the net sees them, as `--perturbation` takes it.
    """

    def __init__(
        self,
        pilot: Pilot,
        robot: topics.Robot,
        seed: int,
        lockstep: bool = False,
        learner: Optional[OnlineLearner] = None,
        perturbation: str = "none",
    ):
        self._pilot, self._seed, self._learner, self._lockstep = pilot, seed, learner, lockstep
        self._perturbation = Perturbation.parse(perturbation)
        self._frames = self._late = self._skipped = 0
        self._note = ""
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        # Free-running, the learner learns while images are answered.
        self._learning_lock = threading.RLock()
        self._stamp = 0
        self._sides = [robot.side_cameras[name] for name in learner.sides] if learner else []
        self._resets = 0  # beginnings and ends of runs; what comes from before one is dropped
        self._run: Optional[int] = None
        self._evaluation = False
        self._learned_run = -1  # free-running: `_resets` of the run that the learner is told of
        self._ended: Optional[Dict[str, Any]] = None
        self._begun = (time.monotonic(), 0)
        self._command = rospy.Publisher(topics.LEARNER, TwistStamped, queue_size=10)
        self._status = rospy.Publisher(topics.LEARNER_STATUS, LearnerStatus, queue_size=10)
        self._diagnostics = rospy.Publisher(topics.DIAGNOSTICS, DiagnosticArray, queue_size=10)
        self._join = StampJoin(0 if lockstep else HELD)
        self._images: queue.Queue = queue.Queue()
        self._waiting: queue.Queue = queue.Queue(BACKLOG)
        self._heard: Set[str] = set()
        on_message = guarded(self._on_message, LearnerError.code)
        for topic, kind in ((topics.EPISODE, Episode), (topics.EXPERT, TwistStamped)):
            rospy.Subscriber(topic, kind, on_message, topic, tcp_nodelay=True)
        sides = [
            rospy.Subscriber(
                topic, kind_of(topic), on_message, topic, buff_size=shell.IMAGE_BUFFER, tcp_nodelay=True
            )
            for topic in self._sides
        ]
        if lockstep:
            self._start(self._answer_and_learn)
        elif learner is not None:
            self._start(self._learn_beside)
        # free-running, only the newest image is worth an answer
        rospy.Subscriber(
            robot.rgb,
            kind_of(robot.rgb),
            self._images.put if lockstep else guarded(self._on_image, LearnerError.code),
            queue_size=None if lockstep else 1,
            buff_size=shell.IMAGE_BUFFER,
            tcp_nodelay=True,
        )
        rospy.on_shutdown(lambda: self._join.close("ROS shut down"))
        if lockstep:  # whoever flies waits for our services, and no frame may lack an image
            shell.wait_until(
                f"images on {', '.join(self._sides)}",
                lambda: all(side.get_num_connections() for side in sides),
                CONNECTED,
            )
        self._advertise()

    def _advertise(self) -> None:
        services: Dict[str, Any] = {"reset": self._on_reset, "end_run": self._on_end_run}
        if self._learner is not None:
            services.update(
                start_learning=lambda _: self._switch(True),
                pause_learning=lambda _: self._switch(False),
                stop_learning=self._on_stop,
            )
            rospy.Service("~save", Checkpoint, guarded(self._on_save, LearnerError.code))
            rospy.Service("~load", Checkpoint, guarded(self._on_load, LearnerError.code))
        for name, handler in services.items():
            rospy.Service(f"~{name}", Trigger, guarded(handler, LearnerError.code))

    def _start(self, work: Any) -> None:
        threading.Thread(target=guarded(work, LearnerError.code), daemon=True).start()

    # Answering.

    def _answer(self, message: Any) -> Optional[np.ndarray]:
        """Answer an image; gives it at the network's input size where a learner takes it."""
        image = self._perturbation.apply(image_to_array(message))
        begin = time.perf_counter()  # the perturbation is the test's, not the pilot's
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
        self._tell(answer.header, latency)
        return pixels

    def _tell(self, header: Any, latency: float) -> None:
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
        one = self._learner
        if one is not None:
            since, updates = self._begun
            status.learning = one.learning and not self._evaluation
            status.learned, status.updates, status.buffer = one.frames, one.updates, len(one.replay)
            status.loss = float("nan") if one.loss is None else one.loss
            status.rate = (one.updates - updates) / max(1e-9, time.monotonic() - since)
        self._status.publish(status)
        if self._frames % DIAGNOSED == 1:
            self._diagnose(status)

    def _diagnose(self, status: LearnerStatus) -> None:
        """What rqt_robot_monitor and the like show: the status in words."""
        says = "learns" if status.learning else "flies"
        shown = (
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
        )
        message = DiagnosticArray()
        message.header.stamp = rospy.Time.now()
        message.status.append(
            DiagnosticStatus(
                level=DiagnosticStatus.WARN if status.note else DiagnosticStatus.OK,
                name="learner",
                message=status.note or says,
                values=[KeyValue(key, str(getattr(status, key))) for key in shown],
            )
        )
        self._diagnostics.publish(message)

    def _on_message(self, message: Any, topic: str) -> None:
        stamp = stamp_ns(message.header.stamp)
        if self._lockstep:
            self._join.put(topic, stamp, message)
            return
        self._heard.add(topic)
        if self._learner is not None:
            self._hold(topic, stamp, message)
        if topic == topics.EPISODE:
            with self._changed:
                if message.state == Episode.IDLE:
                    self._pilot.reset(self._seed)
                elif message.state == Episode.ENDED:
                    self._end(message)
                elif self._learner is not None:
                    self._queue(message)

    def _end(self, episode: Episode) -> None:
        self._ended = json.loads(episode.facts) if episode.facts else {}
        self._changed.notify_all()

    def _follow(self, episode: Episode) -> None:
        """The first frame of a run tells its number, and whether it is an evaluation."""
        assert self._learner is not None
        self._run = episode.run
        self._evaluation = bool(json.loads(episode.facts).get("evaluation")) if episode.facts else False
        self._begun = (time.monotonic(), self._learner.updates)

    def _learn(self, heard: Dict[str, Any], pixels: np.ndarray, index: int) -> None:
        """Learn from a frame with what was heard of it."""
        assert self._learner is not None
        sides = [self._pilot.preprocessing.resize(image_to_array(heard[topic])) for topic in self._sides]
        self._learner.observe(pixels, command_from_twist(heard[topics.EXPERT].twist), index, sides)

    # In lock-step: one thread does all, in turn.

    def _answer_and_learn(self) -> None:
        while not rospy.is_shutdown():
            try:
                message = self._images.get(timeout=0.2)
            except queue.Empty:
                continue
            with self._lock:
                resets = self._resets
                pixels = self._answer(message)
            stamp = stamp_ns(message.header.stamp)
            episode = self._episode_of(stamp, resets)
            if episode is not None:
                self._take_episode(episode, stamp, pixels)
                self._join.forget(stamp)

    def _episode_of(self, stamp: int, resets: int) -> Optional[Episode]:
        """What the supervisor made of a frame; None when another run has begun instead.

        This waits for work, without a limit of its own: the supervisor has one for each of its waits.
        """
        while not rospy.is_shutdown() and resets == self._resets:
            try:
                return self._join.wait(stamp, [topics.EPISODE], 0.2)[topics.EPISODE]
            except SimulatorError:
                continue
        return None

    def _take_episode(self, episode: Episode, stamp: int, pixels: Optional[np.ndarray]) -> None:
        with self._changed:
            if episode.state == Episode.IDLE:
                # the take-off is no part of a run: a net with a memory must not have seen it
                self._pilot.reset(self._seed)
            elif episode.state == Episode.ENDED:
                self._end(episode)
            elif self._learner is not None:
                if episode.index == 0:
                    self._follow(episode)
                    self._learner.new_run(episode.run)
                if not self._evaluation:
                    heard = self._join.wait(stamp, [topics.EXPERT, *self._sides], 30.0)
                    self._learn(heard, pixels, episode.index)

    # Free-running: answers at once, learning beside.

    def _on_image(self, message: Any) -> None:
        stamp = stamp_ns(message.header.stamp)
        with self._lock:
            if stamp < self._stamp:  # time was set back (a simulator or a bag began anew): so does the run
                self._pilot.reset(self._seed)
            self._stamp = stamp
            pixels = self._answer(message)
        if self._learner is None:
            return
        missing = [topic for topic in (topics.EXPERT, topics.EPISODE) if topic not in self._heard]
        note = f"learning refused: nobody publishes {missing[0]}; the net flies on" if missing else ""
        note = note if self._frames > PATIENCE else ""
        if note and note != self._note:
            rospy.logwarn(note)
        self._note = note
        self._hold(ANSWERED, stamp, pixels)

    def _hold(self, channel: str, stamp: int, message: Any) -> None:
        """Hold a message until its frame is learned from. Time that was set back begins anew."""
        if stamp < self._join.newest(channel):
            with self._lock:
                self._leave_out()
                self._join.begin_anew()
        self._join.put(channel, stamp, message)

    def _queue(self, episode: Episode) -> None:
        """A frame that is to be learned from waits for it; one of a run whose beginning is unknown is not."""
        assert self._learner is not None
        if episode.index == 0:
            self._follow(episode)
        if episode.run != self._run or self._evaluation or not self._learner.learning:
            return
        if self._waiting.full():
            self._waiting.get_nowait()
            self._skipped += 1
        self._waiting.put_nowait((self._resets, episode))

    def _leave_out(self) -> None:
        """Leave out the frames that wait."""
        with self._lock, contextlib.suppress(queue.Empty):
            while True:
                self._waiting.get_nowait()
                self._skipped += 1

    def _learn_beside(self) -> None:
        assert self._learner is not None
        # flying goes first where both want the processor
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        channels = [ANSWERED, topics.EXPERT, *self._sides]
        while not rospy.is_shutdown():
            try:
                resets, episode = self._waiting.get(timeout=0.2)
            except queue.Empty:
                continue
            stamp = stamp_ns(episode.header.stamp)
            try:
                heard = self._join.wait(stamp, channels, LATE, in_order=True)
            except SimulatorError:  # the image was left out, or the expert's answer was
                heard = None
            else:
                self._join.forget(stamp)
            with self._learning_lock:
                current = heard is not None and resets == self._resets
                if current and self._learned_run != resets:
                    self._learned_run = resets
                    self._learner.new_run(episode.run)
                if current:
                    self._learn(heard, heard[ANSWERED], episode.index)
            if not current:
                with self._lock:  # not within the other one: a run's end takes them the other way round
                    self._skipped += 1

    # Services.

    def _on_reset(self, _request: Any) -> TriggerResponse:
        """A new episode begins: forget the past (recurrent state)."""
        with self._changed:
            if self._ended is not None:
                self._finish_run()  # nobody asked for it, and nothing that was learned may be lost
            self._leave_out()
            self._resets += 1
            self._run, self._evaluation = None, False
            self._pilot.reset(self._seed)
            self._perturbation.reset(self._seed, rospy.get_param(topics.RUN, 0))
        return TriggerResponse(success=True)

    def _on_end_run(self, _request: Any) -> TriggerResponse:
        """The run is over: what was learned is on disk when this answers."""
        if self._learner is None:
            return TriggerResponse(success=True)
        with self._changed:
            if not self._changed.wait_for(lambda: self._ended is not None, timeout=60.0):
                return TriggerResponse(success=False, message="waited 60 s for the run's last frame")
            self._finish_run()
        return TriggerResponse(success=True)

    def _finish_run(self) -> None:
        self._leave_out()
        self._resets += 1
        facts, self._ended = self._ended, None
        if self._learner is not None and facts and facts.get("outcome") != "sim_failure":
            with self._learning_lock:
                self._learner.end_run(facts)

    def _switch(self, on: bool) -> TriggerResponse:
        assert self._learner is not None
        with self._lock:
            self._learner.learning = on
        rospy.loginfo("learning %s", "goes on" if on else "pauses")
        return TriggerResponse(success=True, message="learning" if on else "not learning")

    def _on_stop(self, _request: Any) -> TriggerResponse:
        """Learn no more, and write what was learned beside the session's own checkpoint."""
        reply = self._switch(False)
        saved = self._on_save(Checkpoint._request_class(path=""))
        return TriggerResponse(success=saved.success, message=f"{reply.message}; {saved.message}")

    def _quiet(self) -> Any:
        """The lock under which nothing is learned; free-running, images are answered meanwhile."""
        return self._lock if self._lockstep else self._learning_lock

    def _on_save(self, request: Any) -> CheckpointResponse:
        assert self._learner is not None
        default = self._learner.where / f"saved_{self._learner.updates:08d}"
        where = Path(self._learner.parts.summary_dir / request.path) if request.path else default
        if request.path and (where / folder.MODEL_FILE).exists():
            return CheckpointResponse(success=False, message=f"{where / folder.MODEL_FILE}: is there already")
        try:
            with self._quiet():
                self._learner.save(where / folder.MODEL_FILE)
        except NavError as error:
            return CheckpointResponse(success=False, message=str(error))
        return CheckpointResponse(success=True, message=f"wrote {where / folder.MODEL_FILE}")

    def _on_load(self, request: Any) -> CheckpointResponse:
        assert self._learner is not None
        try:
            with self._quiet():
                self._learner.load(request.path)
        except NavError as error:
            return CheckpointResponse(success=False, message=str(error))
        rospy.loginfo("flies and learns on with %s", request.path)
        return CheckpointResponse(success=True, message=f"loaded {request.path}")


def main(args: LearnerConfig, given: Mapping[str, Any]) -> int:
    """Fly, and learn unless told not to, until ROS shuts down (`main.py --online`).

    Args:
        args: the learner's parsed flags.
        given: values of the flags that stand on the command line, by key.
    """
    refuse_the_supervisors(args)
    pilot = load_pilot(args, given) if args.no_training else None
    shell.start("learner")
    parameters = shell.parameters(Parameters)
    robot = topics.load_robot(parameters.robot, needs=("rgb",))
    learner = None
    if pilot is None:
        if not parameters.lockstep and not args.num_threads:
            args = dataclasses.replace(args, num_threads=1)  # flying and learning each take a core
        learner = make_learner(args, given, parameters, robot)
        print(learner.describe(), flush=True)
        pilot = learner.pilot
    LearnerNode(pilot, robot, args.random_seed, parameters.lockstep, learner, args.perturbation)
    rospy.spin()
    return 0


def make_learner(
    args: LearnerConfig, given: Mapping[str, Any], parameters: Parameters, robot: topics.Robot
) -> OnlineLearner:
    """The learner that the flags ask for, in its log folder.

    Raises:
        UsageError: flags that contradict each other, the checkpoint or the log folder.
        DataError: a checkpoint is missing or damaged.
    """
    summary = Path(args.summary_dir).expanduser() if args.summary_dir else paths.summary_dir()
    if parameters.log_folder:  # of a session, which has opened it
        where = Path(parameters.log_folder)
        resumes = where if folder.can_resume(where) else None
        values = learning_config(args, given, resumes)
    else:
        values = learning_config(args, given, folder.resumable_folder(summary, args.log_tag, args.owr))
        where = folder.open_folder(summary, args.log_tag, args.owr)
    return OnlineLearner(values, where, parameters.camera(robot), sorted(robot.side_cameras))


def refuse_the_supervisors(args: LearnerConfig) -> None:
    """Raise UsageError for flags of mixing, which the learner's node has no part in."""
    for flag in ("alpha", "noise", "ou_theta", "sigma_x", "sigma_y", "sigma_z", "sigma_yaw"):
        if getattr(args, flag) != SETTINGS[flag].default:
            raise UsageError(
                f"main.py: --{flag} is the supervisor's; give it to run_script.py or graph.launch"
            )


def load_pilot(args: LearnerConfig, given: Mapping[str, Any]) -> Pilot:
    """The pilot that the flags ask for; needs no master, so that wrong use is said whether one answers.

    Args:
        args: as for `main`.
        given: as for `main`.

    Raises:
        UsageError: a flag that contradicts the checkpoint.
        DataError: the checkpoint is missing, damaged or of another network.
    """
    if not args.checkpoint_path:
        raise UsageError("main.py: --online --no_training needs --checkpoint_path, the checkpoint that flies")
    # before the pilot: an exported file takes the number of threads when it is opened
    torch.set_num_threads(args.num_threads or determinism.cores())
    return exported.load_pilot(
        args.checkpoint_path,
        summary_dir=args.summary_dir,
        device=args.device,
        speed=args.speed,
        turn_speed=args.turn_speed,
        network=given.get("network"),
        given=given,
        trust=args.trust_torchscript,
    )
