"""The environment: a robot flies or drives round the route of a world, in the embedded simulator."""

from __future__ import annotations

import dataclasses
import math
import operator
from typing import Any, Dict, Mapping, Optional, Tuple

import gymnasium
import numpy as np

from nav_pkg.config.gym import ENVIRONMENT
from nav_pkg.control.expert import Expert
from nav_pkg.core import Command, Observation, Outcome, Pose, SimulatorError, UsageError, nearest_name
from nav_pkg.flight.episode import State
from nav_pkg.flight.flight import Flight
from nav_pkg.flight.schedule import FlightSchedule
from nav_pkg.gym.settings import Observed, Settings
from nav_pkg.sim.embedded.simulator import EmbeddedSimulator

OPTIONS = ("run", "pose", "reverse", "world")
"""Options of `reset`."""
CRASHES = (Outcome.COLLISION, Outcome.UPSIDE_DOWN)
TERMINAL = (*CRASHES, Outcome.SUCCESS)
"""Outcomes that terminate an episode; the others truncate it."""
RENDER_MODES = ["rgb_array"]
FRAMES_PER_SECOND = 10


class CorridorEnv(gymnasium.Env):
    """One lap along the route of a world; an action turns the robot for one control period of 0.1 s.

    The supervisor's code decides what is flown (`nav_pkg.flight.Flight`): take-off, height, control delay,
    noise, progress and outcomes are those of a session. Speed and height are kept as the expert keeps them.

    Episodes are the runs of a session: `reset(seed=s)` begins run 0 of the session with random seed `s`, and
    each `reset()` after it the next run. Start pose and sensor noise are those of `run_script.py
    --random_seed s`.

    `docs/gymnasium.md` lists the arguments, the observation, the reward and the entries of `info`.

    Args:
        render_mode: `rgb_array`, or None.
        arguments: see `nav_pkg.config.gym.GymConfig`.

    Raises:
        UsageError, DataError: an argument, the world or the robot is invalid, or there is no OpenGL.
    """

    metadata: Dict[str, Any] = {"render_modes": RENDER_MODES, "render_fps": FRAMES_PER_SECOND}  # noqa: RUF012

    def __init__(self, render_mode: Optional[str] = None, **arguments: Any):
        check_render_mode(render_mode)
        self.render_mode = render_mode
        self._settings = self._episode_settings = Settings.from_arguments(arguments)
        self.observation_space = self._settings.observation_space()
        self.action_space = self._settings.action_space()
        self._simulator: Optional[EmbeddedSimulator] = EmbeddedSimulator(self._settings.options)
        self._simulator_world = self._settings.options.world
        self._seed: Optional[int] = None
        self._run = 0
        self._flight: Optional[Flight] = None

    def reset(
        self, *, seed: Optional[int] = None, options: Optional[Dict[str, Any]] = None
    ) -> Tuple[Observed, Dict[str, Any]]:
        """Begin a run: place the robot at its start pose and fly the take-off.

        Args:
            seed: of a session, whose run 0 begins; None: the next run of the present one (the first time: of
                a random one).
            options: for this run only: `run`, its number; `pose`, its start pose as x, y, yaw in metres and
                radians; `reverse`, whether it flies the route in reverse; `world`, e.g. `esatv3+7` for other
                textures.

        Raises:
            UsageError: an option is invalid, or the robot collides at its start pose.
            SimulatorError: the take-off failed.
        """
        given = _checked_options(options)
        settings = self._settings.in_world(given.get("world"), given.get("reverse"))
        if seed is not None and not 0 <= seed < 2**32:
            raise UsageError(f"{ENVIRONMENT}: the seed is {seed}; it must be between 0 and 2^32 - 1")
        super().reset(seed=seed)
        if seed is not None:
            self._seed, self._run = int(seed), 0
        elif self._seed is None:
            self._seed, self._run = int(self.np_random.integers(2**32)), 0
        else:
            self._run += 1
        self._run = int(given.get("run", self._run))
        schedule = dataclasses.replace(settings.schedule, seed=self._seed)
        self._flight, self._episode_settings = None, settings
        self._take_off(schedule, given.get("pose"))
        return self._observed(), self._info()

    def _take_off(self, schedule: FlightSchedule, pose: Optional[Pose]) -> None:
        """Fly from the start pose to the first frame. The order of the calls is that of `rollout.fly`."""
        settings, simulator = self._episode_settings, self._simulator_in(schedule.world)
        run = schedule.run_plan(self._run, settings.body)
        flight = schedule.flight(run, settings.body)
        plan = flight.plan
        start = run.start if pose is None else run.start._replace(x=pose.x, y=pose.y, yaw=pose.yaw)
        if not plan.inside(start.x, start.y):
            raise UsageError(
                f"{ENVIRONMENT}: the start pose ({start.x:g}, {start.y:g}) is outside {plan.name}"
            )
        self._expert = Expert(
            plan,
            speed=schedule.speed,
            turn_speed=schedule.turn_speed,
            height=None if settings.body.ground else schedule.z_pos,
            continuous=schedule.expert == "continuous",
            reverse=schedule.reverse,
        )
        self._observation = simulator.reset(start, run.seed)
        flight.begin(run.run, schedule.seed, self._observation)
        self._expert.reset(self._observation.pose)
        self._look()
        while flight.observe(self._observation) is State.IDLE:
            self._observation = simulator.step(flight.decide(self._observation).segments)
            self._look()
        episode = flight.episode
        if episode.outcome is Outcome.SIM_FAILURE:
            raise SimulatorError(f"{ENVIRONMENT}: take-off of run {run.run}: {episode.reason}")
        if episode.outcome is not None:
            raise UsageError(
                f"{ENVIRONMENT}: run {run.run} ends at its start pose ({start.x:g}, {start.y:g}): "
                f"{episode.reason}; give another pose"
            )
        self._flight = flight

    def _simulator_in(self, world: str) -> EmbeddedSimulator:
        if self._simulator is None or world != self._simulator_world:
            if self._simulator is not None:
                self._simulator.close()
                self._simulator = None
            self._simulator = EmbeddedSimulator(self._episode_settings.options)
            self._simulator_world = world
        return self._simulator

    def step(self, action: Any) -> Tuple[Observed, float, bool, bool, Dict[str, Any]]:
        """Fly one control period.

        Args:
            action: the yaw rate, rad/s, counter-clockwise, clipped to the bound: floating (1,); or the
                number of its bin.

        Raises:
            UsageError: the action is not one, or no run flies.
            SimulatorError: the simulator failed.
        """
        flight = self._flight
        if flight is None or self._simulator is None:
            raise UsageError(f"{ENVIRONMENT}: step without a run: call reset() first")
        episode = flight.episode
        if episode.outcome is not None:
            raise UsageError(f"{ENVIRONMENT}: the run has ended ({episode.outcome}): call reset() first")
        before = episode.progress
        answer = self._episode_settings.actions.command(self._yaw(action))
        decision = flight.decide(self._observation, self._expert_command, answer)
        self._observation = self._simulator.step(decision.segments)
        self._look()
        flight.observe(self._observation)
        config, outcome = self._episode_settings.config, episode.outcome
        reward = config.progress_reward * (episode.progress - before)
        reward -= config.collision_penalty if outcome in CRASHES else 0.0
        ended = outcome is not None
        terminated = outcome in TERMINAL
        return self._observed(), float(reward), terminated, ended and not terminated, self._info()

    def _look(self) -> None:
        observation: Observation = self._observation
        self._expert_command: Command = self._expert.command(observation.scan, observation.pose)

    def _yaw(self, action: Any) -> float:
        actions = self._episode_settings.actions
        if actions.discrete:
            try:
                number = operator.index(np.asarray(action).reshape(()).item())
            except (TypeError, ValueError):
                number = -1
            if not 0 <= number < actions.quantity:
                raise UsageError(
                    f"{ENVIRONMENT}: the action is {action!r}; it must be a bin, 0 to {actions.quantity - 1}"
                )
            return float(actions.centres[number])
        try:
            value = np.asarray(action).reshape(-1)
            # The decimal number that the bits stand for: 0.9 in single precision is the expert's 0.9.
            yaw = float(str(value[0])) if len(value) == 1 else math.nan
        except (TypeError, ValueError):
            yaw = math.nan
        if not math.isfinite(yaw):
            raise UsageError(f"{ENVIRONMENT}: the action is {action!r}; it must be one yaw rate in an array")
        return float(actions.clip(np.array(yaw)))

    @property
    def expert_action(self) -> Any:
        """The expert's action for the present observation: float32 (1,), or the number of a bin.

        Raises:
            UsageError: before the first reset.
        """
        if self._flight is None:
            raise UsageError(f"{ENVIRONMENT}: the expert has no action before reset()")
        actions, yaw = self._episode_settings.actions, self._expert_command.yaw
        if actions.discrete:
            return np.int64(actions.classes(np.array(yaw)))
        return np.array([actions.clip(np.array(yaw))], np.float32)

    def _observed(self) -> Observed:
        return self._episode_settings.observe(self._observation)

    def _info(self) -> Dict[str, Any]:
        assert self._flight is not None
        episode = self._flight.episode
        info = {
            "seed": self._seed,
            "run": self._run,
            "frame": episode.index,
            "pose": np.array(self._observation.pose),
            "progress": episode.progress,
            "nearest": math.inf if math.isnan(episode.nearest) else episode.nearest,
            "expert_command": np.array(self._expert_command),
            "expert_action": self.expert_action,
            "outcome": "" if episode.outcome is None else str(episode.outcome),
            "reason": episode.reason,
        }
        if episode.outcome is not None:
            info["is_success"] = episode.outcome is Outcome.SUCCESS
        return info

    def run_metadata(self) -> Dict[str, Any]:
        """The run's description, as a session writes it to run.json (`Flight.run_metadata`)."""
        return {} if self._flight is None else self._flight.run_metadata()

    def render(self) -> Optional[np.ndarray]:
        """The camera image: uint8 (height, width, 3); None without a render mode."""
        if self.render_mode is None or self._flight is None:
            return None
        return np.array(self._observation.rgb)

    def close(self) -> None:
        """Stop the simulator. Further calls do nothing."""
        if self._simulator is not None:
            self._simulator.close()
            self._simulator = None
        self._flight = None


def check_render_mode(mode: Optional[str]) -> None:
    """Raise UsageError for a render mode that does not exist."""
    if mode not in (None, *RENDER_MODES):
        raise UsageError(f"{ENVIRONMENT}: render_mode is {mode!r}; it has to be rgb_array, or None")


def _checked_options(options: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
    """The options of a reset, with `pose` as a Pose."""
    given = dict(options or {})
    for key, value in given.items():
        if key not in OPTIONS:
            raise UsageError(
                f"{ENVIRONMENT}: reset has no option {key!r}{nearest_name(str(key), list(OPTIONS))}"
            )
        good, expected = True, ""
        if key == "run":
            whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            good, expected = whole and 0 <= value < 10**9, "a run's number, from 0"
        elif key == "reverse":
            good, expected = value in (True, False), "True or False"
        elif key == "world":
            good, expected = isinstance(value, str), "a world's name"
        else:
            try:
                x, y, yaw = (float(number) for number in value)
                good = all(map(math.isfinite, (x, y, yaw)))
            except (TypeError, ValueError):
                good = False
            expected = "three finite numbers: x, y, yaw"
        if not good:
            raise UsageError(f"{ENVIRONMENT}: reset's option {key} is {value!r}; it has to be {expected}")
        if key == "pose":
            given[key] = Pose(x, y, 0.0, yaw=yaw)
    return given
