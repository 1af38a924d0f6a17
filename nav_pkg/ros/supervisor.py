"""The supervisor node carries out the runs: reset, flight frame by frame, outcome.

In lock-step (`simulators.LockstepGazebo`), simulated time stands still until each frame has been answered by
the expert, the learner (if there is one) and, within a few frames, the recorder. On a robot or a free-running
simulator (`simulators.LiveRobot`), a late answer counts as missing.
"""

from __future__ import annotations

import json
import math
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional, Sequence, Set, Tuple

import rospy
from std_srvs.srv import Trigger, TriggerResponse

from nav_pkg.core import CONTROL_PERIOD_NS, DataError, NavError, Observation, Outcome, SimulatorError
from nav_pkg.data.messages import stamp_ns
from nav_pkg.flight.body import Body
from nav_pkg.flight.flight import Decision, Flight
from nav_pkg.flight.latency import Latencies
from nav_pkg.flight.runlog import RunLog
from nav_pkg.flight.schedule import RunPlan, Schedule
from nav_pkg.msg import Episode, LearnerStatus, RecorderStatus
from nav_pkg.ros import robot as topics
from nav_pkg.ros import shell
from nav_pkg.ros.convert import twist_from_command
from nav_pkg.ros.simulators import LiveRobot, LockstepGazebo, RosSimulator

RECORDER_LAG = 8
"""Maximum lag of the recorder in frames: it encodes while the simulator continues."""
COMMIT_LIMIT = 300.0
"""Wall seconds until a finished run is on disk."""


@dataclass(frozen=True)
class Parameters(Schedule, topics.Sizes):
    """Private parameters of the supervisor node: of the flights (Schedule), image sizes, and these.

    Attributes:
        robot: robot name or file (topic names).
        log_folder: where runs.jsonl and state.json go; empty: nowhere.
        learner: a learner node flies along.
        record: a recorder node takes every frame.
        lockstep: simulated time waits for every answer; false: free-running.
        wait_for_start: do not begin before the service ~start is called.
        start_limit: wall seconds for the graph to come up.
        wait_limit: wall seconds for one frame's messages.
        bag: a rosbag node records; wait for it before the first run.
    """

    robot: str = "drone"
    log_folder: str = ""
    learner: bool = False
    record: bool = False
    lockstep: bool = True
    wait_for_start: bool = False
    start_limit: float = 120.0
    wait_limit: float = 30.0
    bag: bool = False


class Supervisor:
    """Flies the runs of a schedule in order."""

    def __init__(self, parameters: Parameters):
        self._p = parameters
        parameters.check()
        self._robot = topics.load_robot(parameters.robot)
        self._body = Body.of(self._robot.description)
        self._log = RunLog(parameters.log_folder) if parameters.log_folder else None
        self._abort = threading.Event()
        self._started = threading.Event()
        self._recorded = threading.Condition()
        self._recorder: Optional[RecorderStatus] = None
        self._bagged = -1
        self._latencies = Latencies()
        self._learning: Dict[str, Any] = {}

        self._learned: Optional[rospy.ServiceProxy] = None
        answers = [topics.EXPERT] + ([topics.LEARNER] if parameters.learner else [])
        self._answers = answers
        self._simulator = make_simulator(parameters, self._robot, answers)
        self._episode = rospy.Publisher(topics.EPISODE, Episode, queue_size=100)
        rospy.Service("~start", Trigger, self._on_start)
        rospy.Service("~abort", Trigger, self._on_abort)
        if parameters.learner:
            rospy.Subscriber(topics.LEARNER_STATUS, LearnerStatus, self._on_learner, tcp_nodelay=True)
        if parameters.record:
            rospy.Subscriber(topics.RECORDER, RecorderStatus, self._on_recorder, tcp_nodelay=True)
        if parameters.bag:
            rospy.Subscriber(topics.BAG, RecorderStatus, self._on_bag, tcp_nodelay=True)

    # Topics and services.

    def _on_learner(self, status: LearnerStatus) -> None:
        self._latencies.add(status.latency)
        if status.updates:  # JSON has no NaN
            loss = status.loss if math.isfinite(status.loss) else None
            self._learning = {"loss": loss, "updates": status.updates}

    def _on_recorder(self, status: RecorderStatus) -> None:
        with self._recorded:
            self._recorder = status
            self._recorded.notify_all()

    def _on_bag(self, status: RecorderStatus) -> None:
        with self._recorded:
            self._bagged = max(self._bagged, stamp_ns(status.header.stamp))
            self._recorded.notify_all()

    def _on_start(self, _request) -> TriggerResponse:
        self._started.set()
        return TriggerResponse(success=True, message="the runs begin")

    def _on_abort(self, _request) -> TriggerResponse:
        self._abort.set()
        return TriggerResponse(success=True, message="the present run ends as aborted")

    # Start of the graph.

    def _connect(self) -> None:
        limit = self._p.start_limit
        self._resets = [shell.connect("/expert/reset", Trigger, limit)]
        if self._p.learner:
            self._resets.append(shell.connect("/learner/reset", Trigger, limit))
            self._learned = shell.connect("/learner/end_run", Trigger, limit)
        self._simulator.connect(limit)
        shell.wait_for_links(self._links(), limit)
        if self._p.wait_for_start:
            rospy.loginfo("waiting for the service %s", rospy.resolve_name("~start"))
            while not self._started.wait(0.2):
                if rospy.is_shutdown():
                    raise SimulatorError("ROS shut down while waiting for ~start")

    def _links(self) -> Set[Tuple[str, str]]:
        """The required connections before the first run: (topic, node)."""
        robot = self._robot
        sensors = [robot.rgb, robot.depth, robot.scan, robot.odometry, *robot.side_cameras.values()]
        subscribed = {
            rospy.get_name(): self._simulator.topics,
            "/expert": [robot.scan, robot.odometry],
        }
        if self._p.learner:
            subscribed["/learner"] = [robot.rgb, topics.EXPERT, topics.EPISODE]
        if self._p.record:
            subscribed[rospy.get_name()].append(topics.RECORDER)
            subscribed["/recorder"] = [*sensors, *self._answers, topics.EPISODE]
        if self._p.bag:
            subscribed[rospy.get_name()].append(topics.BAG)
            subscribed["/bag"] = [*sensors, *self._answers, topics.EPISODE]
        return {(topic, node) for node, wanted in subscribed.items() for topic in wanted}

    # Flying.

    def fly(self) -> None:
        """Fly all runs; return when the last one is on disk.

        Raises:
            SimulatorError: the simulator or a node did not answer within its limit.
            DataError: the recorder failed to record.
        """
        self._connect()
        for plan in self._p.runs_to_fly(self._body):
            if rospy.is_shutdown():
                return
            self._fly_run(plan)

    def _fly_run(self, plan: RunPlan) -> None:
        self._abort.clear()
        self._begin, self._simulated = time.monotonic(), 0.0
        self._latencies.clear()
        rospy.set_param(topics.RUN, plan.run)  # the learner's image perturbation depends on it
        flight = self._p.flight(plan, self._body)
        decision: Optional[Decision] = None
        try:
            for reset in self._resets:
                shell.call(reset)
            observation = self._simulator.reset(plan.start, plan.seed)
            first = observation.stamp
            flight.begin(plan.run, self._p.seed, observation)
            while True:
                decision = self._decide(flight, observation)
                self._publish(plan, flight, decision, observation.stamp)
                if decision.outcome is not None:
                    break
                self._wait_recorders(plan, decision, observation.stamp)
                observation = self._simulator.observe_next()
                self._simulated = (observation.stamp - first) / 1e9
        except NavError as error:
            self._end_badly(plan, flight, error)
            raise
        if flight.recorded:
            self._wait_end(plan, decision, observation.stamp)
        self._finish(plan, flight.facts())
        if decision.outcome is Outcome.SIM_FAILURE:
            # Not the pilot's failure, but the next run would fail, too: the session starts a new simulator.
            raise SimulatorError(f"run {plan.name}: {decision.reason}")

    def _decide(self, flight: Flight, observation: Observation) -> Decision:
        answers = self._simulator.answers(observation.stamp)
        if self._abort.is_set():
            flight.abort("stopped by the operator")
        decision = flight.decide(observation, answers.get(topics.EXPERT), answers.get(topics.LEARNER))
        self._simulator.forget(observation.stamp)
        return decision

    def _publish(self, plan: RunPlan, flight: Flight, decision: Decision, stamp: int) -> None:
        frame = decision.frame
        message = Episode(state=decision.state.value, run=plan.run, name=plan.name, index=-1, actor="none")
        message.header.stamp = shell.stamp_of(stamp)
        message.has_learner = self._p.learner
        message.outcome = decision.outcome.value if decision.outcome is not None else ""
        if frame is not None:
            message.index = frame.index
            message.start = shell.stamp_of(stamp - frame.stamp)
            message.applied = twist_from_command(frame.applied)
            message.actor = frame.actor.value
            message.nearest_obstacle = frame.nearest
            message.progress = frame.progress
        if message.index == 0 or message.outcome:
            facts = flight.facts()
            if message.index == 0:
                # The recorder's dataset.json, for a dataset that is made from a bag.
                facts["dataset"] = topics.dataset_description(self._robot, self._p)
            message.facts = json.dumps(facts, sort_keys=True)
        # first: a robot must not wait for logs and recorders
        if decision.outcome is None:
            self._simulator.execute(decision.segments)
        else:
            self._simulator.halt()
        self._episode.publish(message)
        if self._log:
            place = {"x": frame.pose.x, "y": frame.pose.y} if frame is not None else {}
            self._log.beat(
                force=bool(message.outcome),  # the commit has another limit than a frame
                run=plan.run,
                state=message.state,
                stamp=stamp * 1e-9,
                index=message.index,
                progress=message.progress,
                lap=flight.episode.plan.route.length,
                limit=flight.episode.max_duration,
                **place,
                **self._learning,
            )

    # Waiting for the recorder and the bag.

    def _wait_recorders(self, plan: RunPlan, decision: Decision, stamp: int) -> None:
        """Wait until recorder and bag are at most RECORDER_LAG frames behind."""
        if self._p.record and decision.frame is not None and decision.frame.index >= RECORDER_LAG:
            behind = decision.frame.index - RECORDER_LAG
            self._wait_status(
                lambda: self._taken(plan.name) >= behind,
                f"the recorder to take frame {behind} of {plan.name}",
            )
        if self._p.bag and decision.frame is not None:
            oldest = stamp - RECORDER_LAG * CONTROL_PERIOD_NS
            self._wait_status(
                lambda: self._bagged >= oldest, f"the bag to hold the frame of {oldest * 1e-9:.1f} s"
            )

    def _wait_end(self, plan: RunPlan, decision: Decision, last: int) -> None:
        """Wait until the ended run is committed and complete in the bag, and the learned state is saved."""
        if self._p.record and decision.outcome.counts:
            self._wait_status(
                lambda: self._taken(plan.name, committed=True) >= -1,
                f"the recorder to commit {plan.name}",
                COMMIT_LIMIT,
            )
        if self._p.bag:
            self._wait_status(
                lambda: self._bagged >= last, f"the bag to hold all of {plan.name}", COMMIT_LIMIT
            )
        # last: a run that the learner has saved must already be on disk everywhere else
        if self._learned is not None and decision.outcome is not Outcome.SIM_FAILURE:
            shell.call(self._learned)

    def _taken(self, name: str, committed: bool = False) -> int:
        """Index of the newest frame of a run that the recorder has recorded (or committed); -2: none."""
        status = self._recorder
        if status is None or status.name != name or (committed and not status.committed):
            return -2
        return status.index

    def _wait_status(self, ready: Callable[[], bool], what: str, limit: Optional[float] = None) -> None:
        limit = limit or self._p.wait_limit
        deadline = time.monotonic() + limit
        with self._recorded:
            while not ready():
                if self._recorder is not None and self._recorder.error:
                    raise DataError(self._recorder.error)
                if rospy.is_shutdown():
                    raise SimulatorError(f"ROS shut down while waiting for {what}")
                if time.monotonic() > deadline:
                    raise SimulatorError(f"waited {limit:g} s for {what}")
                self._recorded.wait(0.1)

    # The end of a run.

    def _end_badly(self, plan: RunPlan, flight: Flight, error: NavError) -> None:
        """Report a failed run to the recorder, if it still receives messages, and to the run log."""
        outcome = Outcome.SIM_FAILURE if isinstance(error, SimulatorError) else Outcome.ABORTED
        if rospy.is_shutdown():
            outcome = Outcome.ABORTED
        interrupted = outcome is Outcome.ABORTED
        facts = dict(flight.facts(), outcome=outcome.value, reason=str(error), interrupted=interrupted)
        message = Episode(state=Episode.ENDED, run=plan.run, name=plan.name, index=-1, actor="none")
        message.outcome, message.facts = outcome.value, json.dumps(facts, sort_keys=True)
        self._simulator.halt()  # a robot would execute the last command forever
        self._episode.publish(message)
        self._finish(plan, facts)

    def _finish(self, plan: RunPlan, facts: Dict[str, Any]) -> None:
        facts = dict(facts, run=plan.run, name=plan.name)
        # Only here, not in run.json: the same seed records the same bytes on every machine.
        facts["wall_seconds"] = round(time.monotonic() - self._begin, 3)
        facts["simulated_seconds"] = self._simulated
        facts.update(self._latencies.facts())
        if self._log:
            self._log.append(facts)
            self._log.beat(force=True, run=plan.run, state="ended", stamp=0.0, index=-1, progress=0.0)
        rospy.loginfo(
            "run %s: %s after %.1f m (%s)",
            plan.name,
            facts["outcome"],
            facts.get("progress") or 0.0,
            facts.get("reason", ""),
        )


def make_simulator(parameters: Parameters, robot: topics.Robot, answers: Sequence[str]) -> RosSimulator:
    """The simulator that `lockstep` selects."""
    if parameters.lockstep:
        return LockstepGazebo(robot, answers, parameters.wait_limit, parameters.physics_step)
    return LiveRobot(robot, answers, parameters.wait_limit, parameters.start_limit)


def main() -> None:
    """Run the supervisor node until all runs are flown."""
    shell.start("supervisor")
    Supervisor(shell.parameters(Parameters)).fly()
