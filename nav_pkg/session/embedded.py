"""Fly the runs of a session in the embedded simulator, in this process and without ROS.

Expert, pilot or learner, and recorder do what their nodes do in the ROS graph, in the same order: the same
seed gives the same commands.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional

import numpy as np

from nav_pkg.config import learner as learner_config
from nav_pkg.config.session import TAR
from nav_pkg.control.expert import Expert
from nav_pkg.core import Command, Frame, LearnerError, Observation, Outcome
from nav_pkg.data.writer import RunWriter, create_dataset
from nav_pkg.flight.body import Body
from nav_pkg.flight.episode import State
from nav_pkg.flight.flight import Flight
from nav_pkg.flight.latency import Latencies
from nav_pkg.flight.rollout import fly
from nav_pkg.flight.runlog import HEARTBEAT_SECONDS
from nav_pkg.flight.schedule import FlightSchedule, RunPlan
from nav_pkg.sim import description
from nav_pkg.sim.cameras import side_cameras
from nav_pkg.sim.description import SimulatorOptions
from nav_pkg.sim.embedded.simulator import EmbeddedSimulator
from nav_pkg.world import load_plan

if TYPE_CHECKING:  # torch takes seconds
    from nav_pkg.learn.deployment.pilot import Pilot
    from nav_pkg.learn.online.learner import OnlineLearner


@dataclass(frozen=True)
class Settings:
    """What the flights of a session need; plain values, so that another process can be given them.

    Attributes:
        options: of the simulator.
        schedule: the flights.
        dataset: folder of the dataset to record; None: no recording.
        log_folder: the session's.
        learner_flags: flags of main.py for the pilot or learner; empty: the expert flies alone.
        learns: whether the learner learns in flight.
        storage: how a recorded run keeps its images (`SessionConfig.storage`).
    """

    options: SimulatorOptions
    schedule: FlightSchedule
    dataset: Optional[Path]
    log_folder: Path
    learner_flags: List[str]
    learns: bool = False
    storage: str = TAR


def prepare_dataset(settings: Settings) -> None:
    """Create the dataset to record, if there is one to record, before the flights.

    Raises:
        DataError: its folder holds something else.
    """
    if settings.dataset is not None:
        options = settings.options
        sizes = (options.width, options.height, options.depth_width, options.depth_height)
        robot = description.read_robot(options.robot)
        create_dataset(
            settings.dataset, description.dataset_description(robot, *(size or 0 for size in sizes))
        )


OnState = Callable[[Dict[str, Any]], None]
"""Takes the state of the current run, as in a session's heartbeat (`RunLog.write_heartbeat`)."""


class EmbeddedFlights:
    """A simulator with an expert and, if the settings name one, a pilot or a learner.

    Args:
        settings: the session's.
        on_state: called with the state of the run a few times a second, and when a run ends.

    Raises:
        UsageError, DataError: a setting, the checkpoint or the dataset's folder is wrong.
        SimulatorError: the simulator did not start.
    """

    def __init__(self, settings: Settings, on_state: Optional[OnState] = None):
        self._settings, self._on_state = settings, on_state
        self._reported = 0.0
        options, schedule = settings.options, settings.schedule
        robot = description.read_robot(options.robot)
        self._body = Body.from_robot(robot)
        self._plan = load_plan(schedule.world)
        self._expert = Expert(
            self._plan,
            speed=schedule.speed,
            turn_speed=schedule.turn_speed,
            height=None if self._body.ground else schedule.z_pos,
            continuous=schedule.expert == "continuous",
            reverse=schedule.reverse,
        )
        self._pilot = _Pilot(settings) if settings.learner_flags else None
        self._simulator = EmbeddedSimulator(options)

    def fly(self, run: RunPlan) -> Dict[str, Any]:
        """Fly a run, record it, and let the learner save what it learned.

        Returns:
            The run's description with its wall times, for the run log. Its outcome may be `sim_failure`.

        Raises:
            KeyboardInterrupt: the run is recorded as aborted.
            NavError: the recorder or the learner failed; the run is recorded as aborted.
        """
        begin = time.monotonic()
        metadata = {"simulator": {"name": "embedded", "gl": self._simulator.driver}}
        flight = self._settings.schedule.flight(run, self._body, metadata)
        recorder = _Recorder(self._settings, run.name, flight)
        pilot = self._pilot
        first: List[int] = []

        def on_observation(observation: Observation, state: State) -> None:
            first[:] = first or [observation.stamp]
            if pilot is not None:
                pilot.look(observation)
            if state is not State.RUNNING:
                self._report_state(run, flight, state, observation, None)

        def on_frame(frame: Frame, observation: Observation) -> None:
            recorder.add(frame, observation)
            self._report_state(run, flight, State.RUNNING, observation, frame)
            if pilot is not None and not run.evaluation:
                pilot.learn(frame, observation)

        try:
            if pilot is not None:
                pilot.begin_run(run.run)
            facts = fly(
                self._simulator,
                flight,
                self._expert,
                None if pilot is None else pilot.command,
                on_frame,
                on_observation,
                run=run.run,
                seed=self._settings.schedule.seed,
                pose=run.start,
            )
            recorder.end(facts)
        except BaseException as error:
            flight.abort(str(error) or "stopped by the operator")
            recorder.end(flight.run_metadata())
            raise
        if pilot is not None and facts["outcome"] != str(Outcome.SIM_FAILURE):
            pilot.end_run(facts)
        last = flight.episode.stamp
        facts = dict(facts, run=run.run, name=run.name, wall_seconds=round(time.monotonic() - begin, 3))
        facts["simulated_seconds"] = (last - first[0]) / 1e9 if first and last is not None else 0.0
        if pilot is not None:
            facts.update(pilot.latencies.statistics())
        if self._on_state is not None:
            self._on_state({"run": run.run, "state": "ended", "stamp": 0.0, "index": -1, "progress": 0.0})
        return facts

    def _report_state(
        self, run: RunPlan, flight: Flight, state: State, observation: Observation, frame: Optional[Frame]
    ) -> None:
        if self._on_state is None or time.monotonic() - self._reported < HEARTBEAT_SECONDS:
            return
        self._reported = time.monotonic()
        values: Dict[str, Any] = {
            "run": run.run,
            "state": state.value,
            "stamp": observation.stamp * 1e-9,
            "index": -1 if frame is None else frame.index,
            "progress": 0.0 if frame is None else frame.progress,
            "lap": self._plan.route.length,
            "limit": flight.episode.max_duration,
        }
        if frame is not None:
            values.update(x=frame.pose.x, y=frame.pose.y)
        if self._pilot is not None:
            values.update(self._pilot.progress())
        self._on_state(values)

    def close(self) -> None:
        """Stop the simulator. Further calls do nothing."""
        self._simulator.close()


@contextlib.contextmanager
def _learner_errors() -> Iterator[None]:
    """An exception of torch, such as missing memory, is a failure of the learner: one line, exit code 5."""
    try:
        yield
    except (RuntimeError, MemoryError, ValueError) as error:
        raise LearnerError(
            f"the learner failed: {' '.join(str(error).split()) or type(error).__name__}"
        ) from error


class _Pilot:
    """The pilot or learner of a session; the counterpart of the learner node in lock-step."""

    def __init__(self, settings: Settings):
        from nav_pkg.learn.deployment.perturbation import Perturbation
        from nav_pkg.learn.online import flyers

        args = learner_config.parse(settings.learner_flags)
        flyers.check_no_supervisor_flags(args)
        options = settings.options
        self._learner: Optional[OnlineLearner] = None
        self._pilot: Pilot
        if settings.learns:
            sides = [side.name for side in side_cameras(description.read_robot(options.robot))]
            camera = (options.width or 0, options.height or 0)
            self._learner = flyers.make_learner(args, settings.log_folder, camera, sides)
            print(self._learner.describe(), flush=True)
            self._pilot = self._learner.pilot
        else:
            # One thread: the bits of a network's outputs depend on it, and several processes may fly.
            self._pilot = flyers.load_pilot(dataclasses.replace(args, num_threads=args.num_threads or 1))
        self._seed = args.random_seed
        self._perturbation = Perturbation.parse(args.perturbation)
        self.latencies = Latencies()

    def begin_run(self, run: int) -> None:
        self._pilot.reset(self._seed)
        self._perturbation.reset(self._seed, run)
        self.latencies.clear()
        if self._learner is not None:
            self._learner.new_run(run)

    def look(self, observation: Observation) -> None:
        """Perturb the image; the take-off's images count, too."""
        assert observation.rgb is not None
        self._image = self._perturbation.apply(observation.rgb)

    def command(self, _observation: Observation) -> Command:
        begin = time.perf_counter()
        self._pixels: Optional[np.ndarray] = None
        with _learner_errors():
            if self._learner is not None:
                self._pixels = self._pilot.preprocessing.resize(self._image)
                command = self._learner.command_of(self._pixels)
            else:
                command = self._pilot.command(self._image)
        self.latencies.add(time.perf_counter() - begin)
        return command

    def learn(self, frame: Frame, observation: Observation) -> None:
        if self._learner is None:
            return
        assert self._pixels is not None
        sides = [self._pilot.preprocessing.resize(observation.sides[name]) for name in self._learner.sides]
        with _learner_errors():
            self._learner.observe(self._pixels, frame.expert, frame.index, sides)

    def end_run(self, facts: Dict[str, Any]) -> None:
        if self._learner is not None:
            self._learner.end_run(facts)

    def progress(self) -> Dict[str, Any]:
        learner = self._learner
        if learner is None or not learner.updates:
            return {}
        finite = learner.loss is not None and math.isfinite(learner.loss)
        return {"loss": learner.loss if finite else None, "updates": learner.updates}


class _Recorder:
    """Records a run, if there is a dataset."""

    def __init__(self, settings: Settings, name: str, flight: Flight):
        self._settings, self._name, self._flight = settings, name, flight
        self._writer: Optional[RunWriter] = None

    def add(self, frame: Frame, observation: Observation) -> None:
        dataset, storage = self._settings.dataset, self._settings.storage
        if dataset is None:
            return
        if self._writer is None:
            # Without a thread: it would compete with the simulator for the core and for the interpreter lock.
            self._writer = RunWriter(
                dataset, self._name, self._flight.run_metadata(), threads=0, storage=storage
            )
        self._writer.add(frame, observation.rgb, observation.depth, observation.scan, observation.sides)

    def end(self, facts: Dict[str, Any]) -> None:
        """Commit the run, or close it if it does not count."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        if Outcome(facts["outcome"]).counts:
            writer.commit(facts)
        else:
            writer.abort(facts)
