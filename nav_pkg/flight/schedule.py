"""The schedule of a session: its runs, and the Flight of each run, from the flags."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from nav_pkg.config.flight import START_MODES, FlightConfig
from nav_pkg.control.delay import CommandDelay
from nav_pkg.control.mixing import Mixer
from nav_pkg.control.noise import make_noise
from nav_pkg.control.seeds import run_seed
from nav_pkg.control.takeover import Takeover
from nav_pkg.core import CONTROL_PERIOD_NS, Pose, UsageError
from nav_pkg.flight.body import DRONE, Body
from nav_pkg.flight.episode import Episode
from nav_pkg.flight.flight import Flight
from nav_pkg.flight.starts import start_pose
from nav_pkg.world import load_plan


@dataclass(frozen=True)
class RunPlan:
    """One run before it is flown.

    Attributes:
        run: number of the run.
        name: the run's name on disk, e.g. 00003_esatv3.
        seed: the run's own seed, for start pose, mixing and noise.
        start: start pose, world frame.
        evaluation: whether the learner flies without the expert, mixing and noise.
    """

    run: int
    name: str
    seed: int
    start: Pose
    evaluation: bool


@dataclass(frozen=True)
class FlightSchedule(FlightConfig):
    """The flights of a session.

    Attributes:
        world: world name or plan file.
        runs: total number of runs.
        first_run: number of the first run to fly (earlier runs are complete).
        seed: of the session; run i has its own seed, a function of (seed, i) only.
    """

    world: str = "esatv3"
    runs: int = 1
    first_run: int = 0
    seed: int = 123

    def check(self) -> None:
        """Check every value.

        Raises:
            UsageError: names the flag, its value and the allowed values.
        """

        def demand(flag: str, good: bool, expected: str) -> None:
            if not good:
                name = "random_seed" if flag == "seed" else flag
                raise UsageError(f"--{name} is {getattr(self, flag)!r}; it must be {expected}")

        demand("runs", self.runs >= 1, "at least 1")
        demand("first_run", self.first_run >= 0, "at least 0")
        demand("seed", 0 <= self.seed < 2**32, "between 0 and 2^32 - 1")
        demand("alpha", 0 <= self.alpha <= 1, "between 0 and 1")
        schedules = ("constant", "linear", "exponential")
        demand("alpha_schedule", self.alpha_schedule in schedules, f"one of {', '.join(schedules)}")
        for flag in ("alpha_end", "alpha_decay", "epsilon"):
            demand(flag, 0 <= getattr(self, flag) <= 1, "between 0 and 1")
        demand("alpha_runs", self.alpha_runs >= 1, "at least 1")
        finite = math.isfinite(self.epsilon_decay) and self.epsilon_decay >= 0
        demand("epsilon_decay", finite, "0 or more")
        Takeover(self.takeover_distance, self.takeover_clearance)
        for flag, default, kinds in (
            ("alpha_end", 0.0, ("linear", "exponential")),
            ("alpha_runs", 10, ("linear",)),
            ("alpha_decay", 0.5, ("exponential",)),
        ):
            idle = getattr(self, flag) != default and self.alpha_schedule not in kinds
            demand(flag, not idle, f"left out: it has no effect on --alpha_schedule {self.alpha_schedule}")
        idle = self.epsilon_decay and not self.epsilon
        demand("epsilon_decay", not idle, "left out without --epsilon: it has no effect")
        demand("expert", self.expert in ("bang_bang", "continuous"), "bang_bang or continuous")
        demand("speed", 0 < self.speed <= 5, "above 0 and at most 5 m/s")
        demand("turn_speed", 0 <= self.turn_speed <= 5, "between 0 and 5 m/s")
        demand("control_delay", 0 <= self.control_delay <= 5, "between 0 and 5 s")
        finite = math.isfinite(self.physics_step) and math.isfinite(self.control_delay)
        demand("physics_step", finite, "a number")
        step = round(self.physics_step * 1e9)
        divides = step > 0 and CONTROL_PERIOD_NS % step == 0
        demand("physics_step", divides, "a part of the control period of 0.1 s")
        whole = round(self.control_delay * 1e9) % step == 0
        demand("control_delay", whole, f"a multiple of the physics step of {self.physics_step:g} s")
        demand(
            "evaluate_every", self.evaluate_every == -1 or self.evaluate_every > 0, "above 0, or -1 for none"
        )
        demand("start", self.start in START_MODES, f"one of {', '.join(START_MODES)}")
        demand("max_duration", self.max_duration >= 0, "seconds above 0, or 0 for the world's own")
        demand("min_depth", self.min_depth >= 0, "metres above 0, or 0 for the world's own")
        self.run_numbers()
        # This also checks the kind and the amplitudes.
        make_noise(self.noise, self.sigma_x, self.sigma_y, self.sigma_z, self.sigma_yaw, theta=self.ou_theta)
        plan = load_plan(self.world)
        demand("z_pos", 0.3 <= self.z_pos <= plan.ceiling - 0.3, f"between 0.3 and {plan.ceiling - 0.3:g} m")

    def is_evaluation(self, run: int) -> bool:
        """Whether the learner flies this run without the expert."""
        return (
            self.evaluation
            or (self.evaluate_every > 0 and (run + 1) % self.evaluate_every == 0)
            or run >= self.runs - self.final_evaluation_runs
        )

    def alpha_of(self, run: int) -> float:
        """Probability that the expert flies a frame of a run."""
        if self.is_evaluation(run):
            return 0.0
        if self.alpha_schedule == "linear":
            return self.alpha + (self.alpha_end - self.alpha) * min(1.0, run / self.alpha_runs)
        if self.alpha_schedule == "exponential":
            return max(min(self.alpha_end, self.alpha), self.alpha * self.alpha_decay**run)
        return self.alpha

    def epsilon_of(self, run: int) -> float:
        """Probability of a random turn in a frame of a run that the learner flies."""
        return 0.0 if self.is_evaluation(run) else self.epsilon * math.exp(-self.epsilon_decay * run)

    def run_numbers(self) -> List[int]:
        """The numbers of this shard's runs, including completed runs.

        A run is a function of (seed, number) only, and therefore the same flight in any shard.

        Raises:
            UsageError: the shard is not `k/n` with 1 <= k <= n.
        """
        if not self.shard:
            return list(range(self.runs))
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", str(self.shard))
        if not match or not 1 <= int(match.group(1)) <= int(match.group(2)):
            raise UsageError(f"--shard is {self.shard!r}; it must be k/n with k from 1 to n, such as 1/2")
        return list(range(int(match.group(1)) - 1, self.runs, int(match.group(2))))

    def runs_to_fly(self, body: Body = DRONE) -> List[RunPlan]:
        """The shard's runs from `first_run` on, for a robot with this body."""
        return [self.run_plan(run, body) for run in self.run_numbers() if run >= self.first_run]

    def run_plan(self, run: int, body: Body = DRONE) -> RunPlan:
        """A run of the session, for a robot with this body; the run's number may be any."""
        plan = load_plan(self.world)
        start = start_pose(plan, self.seed, run, self.start, reverse=self.reverse)
        return RunPlan(
            run=run,
            name=f"{run:05d}_{plan.name}",
            seed=run_seed(self.seed, run),
            start=start._replace(z=plan.floor) if body.ground else start,
            evaluation=self.is_evaluation(run),
        )

    def flight(self, run: RunPlan, body: Body = DRONE, metadata: Optional[Dict[str, Any]] = None) -> Flight:
        """Create the flight of a run; for a ground robot, its drive.

        Args:
            run: the run.
            body: the robot's body.
            metadata: further entries for the run's description.
        """
        plan = load_plan(self.world)
        sigmas = (self.sigma_x, self.sigma_y, self.sigma_z, self.sigma_yaw)
        noise = make_noise() if run.evaluation else make_noise(self.noise, *sigmas, theta=self.ou_theta)
        takeover = None
        if not run.evaluation:
            takeover = Takeover(self.takeover_distance, self.takeover_clearance)
        return Flight(
            plan,
            Episode(
                plan,
                height=None if body.ground else self.z_pos,
                max_duration=self.max_duration or plan.limits["max_duration"] * body.time_factor,
                min_depth=self.min_depth or body.min_depth or plan.limits["min_depth"],
                delay=0.0 if body.ground else plan.limits["delay_evaluation"],
                reverse=self.reverse,
                depth_rows=body.depth_rows,
            ),
            Mixer(alpha=self.alpha_of(run.run), noise=noise, epsilon=self.epsilon_of(run.run)),
            CommandDelay(round(self.control_delay * 1e9)),
            expert=self.expert,
            smooth_height=self.expert == "continuous",
            takeover=takeover,
            metadata={
                **(metadata or {}),
                "name": run.name,
                "speed": self.speed,
                "turn_speed": self.turn_speed,
                "start": self.start,
                "evaluation": run.evaluation,
            },
        )
