"""The flight: the decisions of the supervisor, without ROS.

One object decides, frame by frame, what the robot does: climb, execute the command that mixing selects, or
stand still. It also collects the data for the run's description. The ROS supervisor and the rollout in an
embedded simulator are thin wrappers around it.
"""

from __future__ import annotations

import collections
import math
from dataclasses import dataclass
from typing import Any, Sequence

import numpy as np

from nav_pkg.control.delay import CommandDelay, Segment
from nav_pkg.control.height import FloorKeeper, HeightKeeper
from nav_pkg.control.mixing import Mixer
from nav_pkg.control.seeds import run_seed
from nav_pkg.control.takeover import Takeover
from nav_pkg.core import (
    CONTROL_PERIOD_NS,
    Actor,
    Command,
    Frame,
    Observation,
    Outcome,
    UsageError,
)
from nav_pkg.flight.episode import Episode, State
from nav_pkg.world import FloorPlan

MISSING_COMMAND = Command(math.nan, math.nan, math.nan, math.nan)
"""Recorded for a frame without an expert command: nan, so that it is never used as a label."""

TURN_THRESHOLD = 0.5
"""Border between straight on and turning in the counts of labels, rad/s; the edge of the three classes."""


@dataclass(frozen=True)
class Decision:
    """What to do after an observation.

    Attributes:
        state: state of the episode.
        frame: the frame to record; None unless running.
        segments: what the robot executes during the control period that begins now: commands and
            durations in nanoseconds, in order, together one period.
        outcome: once ended, else None.
        reason: one sentence about the outcome, else "".
    """

    state: State
    frame: Frame | None
    segments: tuple[Segment, ...]
    outcome: Outcome | None = None
    reason: str = ""


class Flight:
    """Decides a run frame by frame.

    While idle, the robot climbs straight up with smooth height control. While running, it executes
    the command that the mixer selects. Once ended, it stands still. All commands pass the control
    delay except the last: standing still takes effect immediately. The vertical part of the learner's
    command is replaced by that of the height keeper, since a learner controls only the turn.

    Args:
        plan: the world.
        episode: limits of the run; None for the plan's.
        mixer: selects the commands; None for the expert only.
        delay: the control delay; None for one control period.
        expert: the expert's name in the run's description; None for the name in `metadata`, else
            `bang_bang`.
        smooth_height: keep the learner's height smoothly, as the continuous expert does, or bang-bang.
        takeover: when the expert flies whatever the mixer draws; None for never.
        metadata: further entries for the run's description (speeds, versions, ...). The flight's own
            entries replace entries of the same name.
    """

    def __init__(
        self,
        plan: FloorPlan,
        episode: Episode | None = None,
        mixer: Mixer | None = None,
        delay: CommandDelay | None = None,
        expert: str | None = None,
        smooth_height: bool = False,
        takeover: Takeover | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.plan = plan
        self.episode = _default_episode(plan) if episode is None else episode
        self.mixer = Mixer() if mixer is None else mixer
        self.delay = CommandDelay(CONTROL_PERIOD_NS) if delay is None else delay
        self.takeover = Takeover() if takeover is None else takeover
        self._extra_metadata = dict(metadata or {})
        self.expert = expert or str(self._extra_metadata.get("expert", "bang_bang"))
        self._takeoff_keeper: HeightKeeper | FloorKeeper = FloorKeeper()
        self._height_keeper: HeightKeeper | FloorKeeper = FloorKeeper()
        if self.episode.height is not None:
            height = self.episode.height + plan.floor
            self._takeoff_keeper = HeightKeeper(height, smooth=True)
            self._height_keeper = HeightKeeper(height, smooth=smooth_height)
        self._clear()

    @property
    def started(self) -> bool:
        """Whether a run has begun."""
        return self.run is not None

    @property
    def has_frames(self) -> bool:
        """Whether the run has a frame."""
        return self._frames > 0

    def _clear(self) -> None:
        self.run: int | None = None
        self.seed: int | None = None
        self.run_seed: int | None = None
        self._start_pose: Sequence[float] | None = None
        self._frames = 0
        self._actors = collections.Counter({str(actor): 0 for actor in Actor})
        self._labels = collections.Counter(left=0, straight=0, right=0)
        self._errors = 0.0
        self._compared = 0
        self._observed: Observation | None = None

    def begin(self, run: int, seed: int, observation: Observation) -> None:
        """Begin a run: state idle, new random draws, empty statistics.

        Args:
            run: number of the run.
            seed: of the series of runs; the run's own seed follows from both.
            observation: the first one after the reset; `decide` may use it as well.
        """
        self._clear()
        self.run, self.seed, self.run_seed = run, seed, run_seed(seed, run)
        self._start_pose = [float(value) for value in observation.pose]
        self.episode.reset(observation)
        self.mixer.reset(self.run_seed)
        self.takeover.reset()
        self.delay.reset(Command())

    def observe(self, observation: Observation) -> State:
        """Update the episode with an observation, before any command for it; return the episode's state.

        `decide` may follow with the same observation, which then counts once.

        Raises:
            UsageError: the run has not begun.
        """
        if self.run is None:
            raise UsageError("the flight has not begun: call begin(run, seed, observation) first")
        if observation is not self._observed:
            self._observed = observation
            self.episode.update(observation)
        return self.episode.state

    def decide(
        self,
        observation: Observation,
        expert: Command | None = None,
        learner: Command | None = None,
    ) -> Decision:
        """Process an observation and the commands for it.

        Args:
            observation: the newest one, one control period after the last.
            expert: the expert's command for it; None if it is missing.
            learner: the learner's command; None if it is missing or no learner flies.

        Raises:
            UsageError: the run has not begun.
        """
        state = self.observe(observation)
        if state is State.ENDED:
            stop = ((Command(), self.delay.period_ns),)
            return Decision(state, None, stop, self.episode.outcome, self.episode.reason)
        if state is State.IDLE:
            climb = Command(z=self._takeoff_keeper.command(observation.pose.z))
            return Decision(state, None, tuple(self.delay.push(climb)))
        frame = self._frame(observation, expert, learner)
        return Decision(state, frame, tuple(self.delay.push(frame.applied)))

    def abort(self, reason: str, outcome: Outcome = Outcome.ABORTED) -> None:
        """End the run from outside, as aborted or as a simulator failure; no effect once ended."""
        self.episode.abort(reason, outcome)

    def _frame(self, observation: Observation, expert: Command | None, learner: Command | None) -> Frame:
        episode = self.episode
        assert episode.start is not None  # running
        levelled = learner
        if learner is not None and learner.finite:
            levelled = learner._replace(z=self._height_keeper.command(observation.pose.z))
        force_expert = self.takeover.update(episode.deviation, _clearance(observation, episode.nearest))
        applied, actor = self.mixer.mix(expert, levelled, episode.index, force_expert)
        frame = Frame(
            index=episode.index,
            stamp=observation.stamp - episode.start,
            expert=MISSING_COMMAND if expert is None else expert,
            learner=learner,
            applied=applied,
            actor=actor,
            pose=observation.pose,
            velocity=observation.velocity,
            nearest=episode.nearest,
            progress=episode.progress,
        )
        self._frames += 1
        self._actors[str(actor)] += 1
        if math.isfinite(frame.expert.yaw):
            # A value on the border belongs to the lower class.
            turn = frame.expert.yaw
            self._labels[
                "left" if turn > TURN_THRESHOLD else "right" if turn <= -TURN_THRESHOLD else "straight"
            ] += 1
            if learner is not None and math.isfinite(learner.yaw):
                self._errors += (turn - learner.yaw) ** 2
                self._compared += 1
        return frame

    def run_metadata(self) -> dict[str, Any]:
        """The run's description: plain JSON types, None for unknown values.

        Lengths are in metres, times in seconds, speeds in m/s. `nearest` is the smallest depth since
        frame 0, including the final observation. `imitation_loss` is the mean squared difference
        between the expert's and the learner's turn over the frames that have both, (rad/s)^2.
        `labels` counts the expert's turns by the classes of three bins.
        """
        episode = self.episode
        duration = episode.duration
        own = {
            "run": self.run,
            "seed": self.seed,
            "run_seed": self.run_seed,
            "world": self.plan.name,
            "world_hash": self.plan.digest,
            "route_length": self.plan.route.length,
            "reverse": episode.reverse,
            "start_pose": self._start_pose,
            "expert": self.expert,
            "height": episode.height,
            "alpha": self.mixer.alpha,
            "epsilon": self.mixer.epsilon,
            "noise": self.mixer.noise.metadata(),
            "takeover": self.takeover.metadata(),
            "control_delay": self.delay.seconds,
            "control_rate": 1e9 / self.delay.period_ns,
            "max_duration": episode.max_duration,
            "min_depth": episode.min_depth,
            "outcome": None if episode.outcome is None else str(episode.outcome),
            "reason": episode.reason,
            "frames": self._frames,
            "duration": duration,
            "distance": episode.distance,
            "progress": episode.progress,
            "laps": episode.laps,
            "mean_speed": episode.distance / duration if duration > 0 else None,
            "nearest": episode.nearest_overall if math.isfinite(episode.nearest_overall) else None,
            "replaced": self.mixer.replaced if self.run is not None else 0,
            "actors": dict(self._actors),
            "takeovers": self.takeover.count,
            "labels": dict(self._labels),
            "imitation_loss": self._errors / self._compared if self._compared else None,
        }
        return {**self._extra_metadata, **own}


def _clearance(observation: Observation, nearest: float) -> float:
    """Distance to the nearest obstacle, metres: from the lidar, else from the depth camera; nan for none."""
    if observation.scan is None:
        return nearest
    ranges = observation.scan[np.isfinite(observation.scan) & (observation.scan > 0)]
    return float(ranges.min()) if len(ranges) else math.nan


def _default_episode(plan: FloorPlan) -> Episode:
    """An episode with the plan's own limits."""
    limits = plan.limits
    return Episode(
        plan,
        height=limits["starting_height"],
        max_duration=limits["max_duration"],
        min_depth=limits["min_depth"],
        delay=limits["delay_evaluation"],
    )
