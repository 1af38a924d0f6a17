"""Mix the expert's and the learner's commands, with noise, exploration and limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nav_pkg.control.noise import Noise
from nav_pkg.control.seeds import generator
from nav_pkg.core import Actor, Command, UsageError


@dataclass(frozen=True)
class CommandLimits:
    """Largest magnitude of each part of a command.

    Attributes:
        x: forwards and backwards, m/s; equal to the largest speed of a flight (FlightSchedule.check): every
            accepted speed can be flown.
        y: sideways, m/s.
        z: vertically, m/s.
        yaw: rad/s; the action space of learning is [-1, 1].
    """

    x: float = 5.0
    y: float = 1.0
    z: float = 1.0
    yaw: float = 1.0

    def __post_init__(self) -> None:
        """Refuse invalid limits."""
        for name in ("x", "y", "z", "yaw"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"the limit of {name} must be a number >= 0, not {value}")

    def clip(self, command: Command) -> Command:
        """Clip a command to the limits."""
        bounds = (self.x, self.y, self.z, self.yaw)
        return Command(*(max(-b, min(b, float(v))) for v, b in zip(command, bounds)))


class Mixer:
    """Selects the command of every frame.

    With probability alpha it is the expert's command, otherwise the learner's. With probability
    epsilon the learner's turn is then replaced by one drawn uniformly within the limit
    (epsilon-greedy exploration; the expert never explores). Noise is added and the result clipped.
    A command that is missing or not finite is replaced by zero, without noise: a robot without a
    command stands still. It is never replaced by the other's command, which would change alpha.

    The draws of a frame are a pure function of the run seed and the frame's index. Selection, exploration
    and noise use separate streams: enabling one does not change the others.

    Args:
        alpha: 1 for the expert only, 0 for the learner only.
        noise: noise on the executed command; None for none.
        limits: applied last.
        epsilon: probability of exploring.

    Attributes:
        replaced: frames since `reset` in which a zero command replaced a missing or non-finite one.

    Raises:
        UsageError: a probability is outside [0, 1].
    """

    def __init__(
        self,
        alpha: float = 1.0,
        noise: Noise | None = None,
        limits: CommandLimits | None = None,
        epsilon: float = 0.0,
    ) -> None:
        for name, value in (("alpha", alpha), ("epsilon", epsilon)):
            if not 0 <= value <= 1:
                raise UsageError(f"{name} is a probability between 0 and 1, not {value}")
        self.alpha = alpha
        self.noise = Noise() if noise is None else noise
        self.limits = CommandLimits() if limits is None else limits
        self.epsilon = epsilon
        self.replaced = 0
        self._index = 0
        self.reset(0)

    def reset(self, run_seed: int) -> None:
        """Begin a run: frame 0, no replaced commands, draws from this run's seed."""
        self._index = 0
        self.replaced = 0
        self._generator = generator(run_seed, "mixing")
        self._draws: list = []
        self.noise.reset(generator(run_seed, "noise"))

    def _draw(self, index: int) -> np.ndarray:
        """Three numbers in [0, 1) for a frame: for selection, exploration and the explored turn."""
        while len(self._draws) <= index:
            self._draws.append(self._generator.random(3))
        return self._draws[index]

    def mix(
        self,
        expert: Command | None,
        learner: Command | None,
        index: int | None = None,
        force_expert: bool = False,
    ) -> tuple[Command, Actor]:
        """Select the command of a frame; return it with its actor.

        Args:
            expert: the expert's command; None if it is missing.
            learner: the learner's command; None if it is missing or no learner flies.
            index: the frame's index in the run; None for the frame after the last call's.
            force_expert: use the expert's command whatever is drawn.

        Raises:
            UsageError: the index is negative.
        """
        index = self._index if index is None else index
        if index < 0:
            raise UsageError(f"the frame index must not be negative, not {index}")
        self._index = index + 1
        pick, explore, turn = self._draw(index)
        actor, command = (
            (Actor.EXPERT, expert) if force_expert or pick < self.alpha else (Actor.LEARNER, learner)
        )
        if command is None or not command.finite:
            self.replaced += 1
            return Command(), Actor.NONE
        if actor is Actor.LEARNER and explore < self.epsilon:
            command = command._replace(yaw=self.limits.yaw * (2.0 * turn - 1.0))
        noisy = Command(*(float(v) + float(n) for v, n in zip(command, self.noise.sample(index))))
        return self.limits.clip(noisy), actor
