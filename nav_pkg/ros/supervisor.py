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
from nav_pkg.flight.schedule import FlightSchedule, RunPlan
from nav_pkg.msg import Episode, LearnerStatus, RecorderStatus
from nav_pkg.ros import node_tools, topics
from nav_pkg.ros.convert import twist_from_command
from nav_pkg.ros.robot import Robot, Sizes, load_robot
from nav_pkg.ros.simulators import LiveRobot, LockstepGazebo, RosSimulator

RECORDER_LAG = 8
"""Maximum lag of the recorder in frames: it encodes while the simulator continues."""
COMMIT_LIMIT = 300.0
"""Wall seconds until a finished run is on disk."""


@dataclass(frozen=True)
class Parameters(FlightSchedule, Sizes):
    """Private parameters of the supervisor node: of the flights (FlightSchedule), image sizes, and these.

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
        self._parameters = parameters
        parameters.check()
        self._robot = load_robot(parameters.robot)
        self._body = Body.from_robot(self._robot.description)
        self._run_log = RunLog(parameters.log_folder) if parameters.log_folder else None
        self._abort = threading.Event()
        self._started = threading.Event()
        self._status_changed = threading.Condition()
        self._recorder_status: Optional[RecorderStatus] = None
        self._bag_stamp = -1
        self._latencies = Latencies()
        self._learning_status: Dict[str, Any] = {}

        self._end_run: Optional[rospy.ServiceProxy] = None
        command_topics = [topics.EXPERT_COMMAND] + ([topics.LEARNER_COMMAND] if parameters.learner else [])
        self._command_topics = command_topics
        self._simulator = make_simulator(parameters, self._robot, command_topics)
        self._episode_publisher = rospy.Publisher(topics.EPISODE, Episode, queue_size=100)
        rospy.Service("~start", Trigger, self._on_start)
        rospy.Service("~abort", Trigger, self._on_abort)
        if parameters.learner:
            rospy.Subscriber(topics.LEARNER_STATUS, LearnerStatus, self._on_learner, tcp_nodelay=True)
        if parameters.record:
            rospy.Subscriber(topics.RECORDER_STATUS, RecorderStatus, self._on_recorder, tcp_nodelay=True)
        if parameters.bag:
            rospy.Subscriber(topics.BAG_STATUS, RecorderStatus, self._on_bag, tcp_nodelay=True)

    # Topics and services.

    def _on_learner(self, status: LearnerStatus) -> None:
        self._latencies.add(status.latency)
        if status.updates:  # JSON has no NaN
            loss = status.loss if math.isfinite(status.loss) else None
            self._learning_status = {"loss": loss, "updates": status.updates}

    def _on_recorder(self, status: RecorderStatus) -> None:
        with self._status_changed:
            self._recorder_status = status
            self._status_changed.notify_all()

    def _on_bag(self, status: RecorderStatus) -> None:
        with self._status_changed:
            self._bag_stamp = max(self._bag_stamp, stamp_ns(status.header.stamp))
            self._status_changed.notify_all()

    def _on_start(self, _request) -> TriggerResponse:
        self._started.set()
        return TriggerResponse(success=True, message="the runs begin")

    def _on_abort(self, _request) -> TriggerResponse:
        self._abort.set()
        return TriggerResponse(success=True, message="the present run ends as aborted")

    # Start of the graph.

    def _connect(self) -> None:
        limit = self._parameters.start_limit
        self._resets = [node_tools.connect("/expert/reset", Trigger, limit)]
        if self._parameters.learner:
            self._resets.append(node_tools.connect("/learner/reset", Trigger, limit))
            self._end_run = node_tools.connect("/learner/end_run", Trigger, limit)
        self._simulator.connect(limit)
        node_tools.wait_for_connections(self._required_connections(), limit)
        if self._parameters.wait_for_start:
            rospy.loginfo("waiting for the service %s", rospy.resolve_name("~start"))
            while not self._started.wait(0.2):
                if rospy.is_shutdown():
                    raise SimulatorError("ROS shut down while waiting for ~start")

    def _required_connections(self) -> Set[Tuple[str, str]]:
        """The required connections before the first run: (topic, node)."""
        robot = self._robot
        sensors = [robot.rgb, robot.depth, robot.scan, robot.odometry, *robot.side_cameras.values()]
        subscribed = {
            rospy.get_name(): self._simulator.topics,
            "/expert": [robot.scan, robot.odometry],
        }
        if self._parameters.learner:
            subscribed["/learner"] = [robot.rgb, topics.EXPERT_COMMAND, topics.EPISODE]
        if self._parameters.record:
            subscribed[rospy.get_name()].append(topics.RECORDER_STATUS)
            subscribed["/recorder"] = [*sensors, *self._command_topics, topics.EPISODE]
        if self._parameters.bag:
            subscribed[rospy.get_name()].append(topics.BAG_STATUS)
            subscribed["/bag"] = [*sensors, *self._command_topics, topics.EPISODE]
        return {(topic, node) for node, wanted in subscribed.items() for topic in wanted}

    # Flying.

    def fly(self) -> None:
        """Fly all runs; return when the last one is on disk.

        Raises:
            SimulatorError: the simulator or a node did not answer within its limit.
            DataError: the recorder failed to record.
        """
        self._connect()
        for run_plan in self._parameters.runs_to_fly(self._body):
            if rospy.is_shutdown():
                return
            self._fly_run(run_plan)

    def _fly_run(self, run_plan: RunPlan) -> None:
        self._abort.clear()
        self._start_time, self._simulated = time.monotonic(), 0.0
        self._latencies.clear()
        rospy.set_param(topics.RUN_PARAMETER, run_plan.run)  # the learner's image perturbation depends on it
        flight = self._parameters.flight(run_plan, self._body)
        decision: Optional[Decision] = None
        try:
            for reset in self._resets:
                node_tools.call(reset)
            observation = self._simulator.reset(run_plan.start, run_plan.seed)
            first = observation.stamp
            flight.begin(run_plan.run, self._parameters.seed, observation)
            while True:
                decision = self._decide(flight, observation)
                self._publish(run_plan, flight, decision, observation.stamp)
                if decision.outcome is not None:
                    break
                self._wait_recorders(run_plan, decision, observation.stamp)
                observation = self._simulator.observe_next()
                self._simulated = (observation.stamp - first) / 1e9
        except NavError as error:
            self._report_failure(run_plan, flight, error)
            raise
        if flight.has_frames:
            self._wait_for_commit(run_plan, decision, observation.stamp)
        self._log_run(run_plan, flight.run_metadata())
        if decision.outcome is Outcome.SIM_FAILURE:
            # Not the pilot's failure, but the next run would fail, too: the session starts a new simulator.
            raise SimulatorError(f"run {run_plan.name}: {decision.reason}")

    def _decide(self, flight: Flight, observation: Observation) -> Decision:
        commands = self._simulator.commands(observation.stamp)
        if self._abort.is_set():
            flight.abort("stopped by the operator")
        decision = flight.decide(
            observation, commands.get(topics.EXPERT_COMMAND), commands.get(topics.LEARNER_COMMAND)
        )
        self._simulator.forget(observation.stamp)
        return decision

    def _publish(self, run_plan: RunPlan, flight: Flight, decision: Decision, stamp: int) -> None:
        frame = decision.frame
        message = Episode(
            state=decision.state.value, run=run_plan.run, name=run_plan.name, index=-1, actor="none"
        )
        message.header.stamp = node_tools.stamp_of(stamp)
        message.has_learner = self._parameters.learner
        message.outcome = decision.outcome.value if decision.outcome is not None else ""
        if frame is not None:
            message.index = frame.index
            message.start = node_tools.stamp_of(stamp - frame.stamp)
            message.applied = twist_from_command(frame.applied)
            message.actor = frame.actor.value
            message.nearest_obstacle = frame.nearest
            message.progress = frame.progress
        if message.index == 0 or message.outcome:
            facts = flight.run_metadata()
            if message.index == 0:
                # The recorder's dataset.json, for a dataset that is made from a bag.
                facts["dataset"] = self._parameters.dataset_description(self._robot)
            message.facts = json.dumps(facts, sort_keys=True)
        # first: a robot must not wait for logs and recorders
        if decision.outcome is None:
            self._simulator.execute(decision.segments)
        else:
            self._simulator.halt()
        self._episode_publisher.publish(message)
        if self._run_log:
            place = {"x": frame.pose.x, "y": frame.pose.y} if frame is not None else {}
            self._run_log.write_heartbeat(
                force=bool(message.outcome),  # the commit has another limit than a frame
                run=run_plan.run,
                state=message.state,
                stamp=stamp * 1e-9,
                index=message.index,
                progress=message.progress,
                lap=flight.episode.plan.route.length,
                limit=flight.episode.max_duration,
                **place,
                **self._learning_status,
            )

    # Waiting for the recorder and the bag.

    def _wait_recorders(self, run_plan: RunPlan, decision: Decision, stamp: int) -> None:
        """Wait until recorder and bag are at most RECORDER_LAG frames behind."""
        if self._parameters.record and decision.frame is not None and decision.frame.index >= RECORDER_LAG:
            behind = decision.frame.index - RECORDER_LAG
            self._wait_status(
                lambda: self._recorded_index(run_plan.name) >= behind,
                f"the recorder to take frame {behind} of {run_plan.name}",
            )
        if self._parameters.bag and decision.frame is not None:
            oldest = stamp - RECORDER_LAG * CONTROL_PERIOD_NS
            self._wait_status(
                lambda: self._bag_stamp >= oldest, f"the bag to hold the frame of {oldest * 1e-9:.1f} s"
            )

    def _wait_for_commit(self, run_plan: RunPlan, decision: Decision, last: int) -> None:
        """Wait until the ended run is committed and complete in the bag, and the learned state is saved."""
        if self._parameters.record and decision.outcome.counts:
            self._wait_status(
                lambda: self._recorded_index(run_plan.name, committed=True) >= -1,
                f"the recorder to commit {run_plan.name}",
                COMMIT_LIMIT,
            )
        if self._parameters.bag:
            self._wait_status(
                lambda: self._bag_stamp >= last, f"the bag to hold all of {run_plan.name}", COMMIT_LIMIT
            )
        # last: a run that the learner has saved must already be on disk everywhere else
        if self._end_run is not None and decision.outcome is not Outcome.SIM_FAILURE:
            node_tools.call(self._end_run)

    def _recorded_index(self, name: str, committed: bool = False) -> int:
        """Index of the newest frame of a run that the recorder has recorded (or committed); -2: none."""
        status = self._recorder_status
        if status is None or status.name != name or (committed and not status.committed):
            return -2
        return status.index

    def _wait_status(self, ready: Callable[[], bool], awaited: str, limit: Optional[float] = None) -> None:
        limit = limit or self._parameters.wait_limit
        deadline = time.monotonic() + limit
        with self._status_changed:
            while not ready():
                if self._recorder_status is not None and self._recorder_status.error:
                    raise DataError(self._recorder_status.error)
                if rospy.is_shutdown():
                    raise SimulatorError(f"ROS shut down while waiting for {awaited}")
                if time.monotonic() > deadline:
                    raise SimulatorError(f"waited {limit:g} s for {awaited}")
                self._status_changed.wait(0.1)

    # The end of a run.

    def _report_failure(self, run_plan: RunPlan, flight: Flight, error: NavError) -> None:
        """Report a failed run to the recorder, if it still receives messages, and to the run log."""
        outcome = Outcome.SIM_FAILURE if isinstance(error, SimulatorError) else Outcome.ABORTED
        if rospy.is_shutdown():
            outcome = Outcome.ABORTED
        interrupted = outcome is Outcome.ABORTED
        facts = dict(flight.run_metadata(), outcome=outcome.value, reason=str(error), interrupted=interrupted)
        message = Episode(state=Episode.ENDED, run=run_plan.run, name=run_plan.name, index=-1, actor="none")
        message.outcome, message.facts = outcome.value, json.dumps(facts, sort_keys=True)
        self._simulator.halt()  # a robot would execute the last command forever
        self._episode_publisher.publish(message)
        self._log_run(run_plan, facts)

    def _log_run(self, run_plan: RunPlan, facts: Dict[str, Any]) -> None:
        facts = dict(facts, run=run_plan.run, name=run_plan.name)
        # Only here, not in run.json: the same seed records the same bytes on every machine.
        facts["wall_seconds"] = round(time.monotonic() - self._start_time, 3)
        facts["simulated_seconds"] = self._simulated
        facts.update(self._latencies.statistics())
        if self._run_log:
            self._run_log.append(facts)
            self._run_log.write_heartbeat(
                force=True, run=run_plan.run, state="ended", stamp=0.0, index=-1, progress=0.0
            )
        rospy.loginfo(
            "run %s: %s after %.1f m (%s)",
            run_plan.name,
            facts["outcome"],
            facts.get("progress") or 0.0,
            facts.get("reason", ""),
        )


def make_simulator(parameters: Parameters, robot: Robot, command_topics: Sequence[str]) -> RosSimulator:
    """The simulator that `lockstep` selects."""
    if parameters.lockstep:
        return LockstepGazebo(robot, command_topics, parameters.wait_limit, parameters.physics_step)
    return LiveRobot(robot, command_topics, parameters.wait_limit, parameters.start_limit)


def main() -> None:
    """Run the supervisor node until all runs are flown."""
    node_tools.start("supervisor")
    Supervisor(node_tools.parameters(Parameters)).fly()
