"""Which runs are flown, and how: from the flags of a session to the Flight of each run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List

from nav_pkg.control.delay import CommandDelay
from nav_pkg.control.mixing import Mixer
from nav_pkg.control.noise import make_noise
from nav_pkg.control.seeds import run_seed
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
        run: its number.
        name: its name on disk, e.g. 00003_esatv3.
        seed: its own seed, of start pose, mixing and noise.
        start: start pose, world frame.
        evaluation: the learner flies alone, without mixing and noise.
    """

    run: int
    name: str
    seed: int
    start: Pose
    evaluation: bool


@dataclass
class Schedule:
    """The flights of a session.

    Attributes:
        world: world name or plan file.
        runs: number of runs in all.
        first_run: number of the first run still to be flown (the earlier ones are done).
        seed: of the session; run i has its own seed, a function of (seed, i) alone.
        alpha: probability, per frame, that the expert's command is executed instead of the learner's.
        expert: `bang_bang` or `continuous`.
        speed: expert's forward speed, m/s.
        turn_speed: expert's forward speed while turning, m/s.
        z_pos: height, m.
        control_delay: simulated seconds from an image to the command that answers it.
        noise: `none`, `ou`, `uni` or `gau`, added to the executed command.
        ou_theta: pull-back of the Ornstein-Uhlenbeck noise.
        sigma_x: noise forward, m/s (likewise y, z; yaw in rad/s).
        sigma_y: see sigma_x.
        sigma_z: see sigma_x.
        sigma_yaw: see sigma_x.
        start: `start` (the world's start pose) or `route` (seeded along the route).
        reverse: fly the route clockwise.
        physics_step: the simulator's physics step, s; the control delay is a multiple of it.
        max_duration: simulated seconds after which a run ends as timeout; 0: the world's own (see Body).
        min_depth: nearest obstacle in metres that counts as a collision; 0: the robot's or the world's.
        evaluation: every run is an evaluation.
        evaluate_every: every N-th run is an evaluation; -1: none.
        final_evaluation_runs: the last N runs are evaluations.
    """

    world: str = "esatv3"
    runs: int = 1
    first_run: int = 0
    seed: int = 123
    alpha: float = 1.0
    expert: str = "bang_bang"
    speed: float = 0.8
    turn_speed: float = 0.8
    z_pos: float = 1.0
    control_delay: float = 0.1
    noise: str = "none"
    ou_theta: float = 0.05
    sigma_x: float = 0.0
    sigma_y: float = 0.0
    sigma_z: float = 0.0
    sigma_yaw: float = 0.0
    start: str = "start"
    reverse: bool = False
    physics_step: float = 0.005
    max_duration: float = 0.0
    min_depth: float = 0.0
    evaluation: bool = False
    evaluate_every: int = -1
    final_evaluation_runs: int = 0

    def check(self) -> None:
        """Check every value.

        Raises:
            UsageError: names the flag, its value and what it may be.
        """

        def demand(flag: str, good: bool, what: str) -> None:
            if not good:
                name = "random_seed" if flag == "seed" else flag
                raise UsageError(f"--{name} is {getattr(self, flag)!r}; it must be {what}")

        demand("runs", self.runs >= 1, "at least 1")
        demand("first_run", self.first_run >= 0, "at least 0")
        demand("seed", 0 <= self.seed < 2**32, "between 0 and 2^32 - 1")
        demand("alpha", 0 <= self.alpha <= 1, "between 0 and 1")
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
        demand("start", self.start in ("start", "route"), "start or route")
        demand("max_duration", self.max_duration >= 0, "seconds above 0, or 0 for the world's own")
        demand("min_depth", self.min_depth >= 0, "metres above 0, or 0 for the world's own")
        # Checks kind and amplitudes itself.
        make_noise(self.noise, self.sigma_x, self.sigma_y, self.sigma_z, self.sigma_yaw, theta=self.ou_theta)
        plan = load_plan(self.world)
        demand("z_pos", 0.3 <= self.z_pos <= plan.ceiling - 0.3, f"between 0.3 and {plan.ceiling - 0.3:g} m")

    def is_evaluation(self, run: int) -> bool:
        """Whether the learner flies this run alone."""
        return (
            self.evaluation
            or (self.evaluate_every > 0 and (run + 1) % self.evaluate_every == 0)
            or run >= self.runs - self.final_evaluation_runs
        )

    def runs_to_fly(self, body: Body = DRONE) -> List[RunPlan]:
        """The runs from `first_run` on, of a robot with this body."""
        plan = load_plan(self.world)
        runs = []
        for run in range(self.first_run, self.runs):
            seed = run_seed(self.seed, run)
            start = start_pose(plan, self.seed, run, self.start, reverse=self.reverse)
            runs.append(
                RunPlan(
                    run=run,
                    name=f"{run:05d}_{plan.name}",
                    seed=seed,
                    start=start._replace(z=plan.floor) if body.ground else start,
                    evaluation=self.is_evaluation(run),
                )
            )
        return runs

    def flight(self, run: RunPlan, body: Body = DRONE) -> Flight:
        """The flight of a run, or the drive of a robot that stays on the floor."""
        plan = load_plan(self.world)
        sigmas = (self.sigma_x, self.sigma_y, self.sigma_z, self.sigma_yaw)
        noise = make_noise() if run.evaluation else make_noise(self.noise, *sigmas, theta=self.ou_theta)
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
            Mixer(alpha=0.0 if run.evaluation else self.alpha, noise=noise),
            CommandDelay(round(self.control_delay * 1e9)),
            expert=self.expert,
            smooth_height=self.expert == "continuous",
            facts={
                "name": run.name,
                "speed": self.speed,
                "turn_speed": self.turn_speed,
                "start": self.start,
                "evaluation": run.evaluation,
            },
        )
