"""The action space: converts between yaw rates, class labels, network outputs and commands.

A network decides the yaw rate only. The forward speed follows from the yaw rate (slower in turns); the
supervisor controls the height.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Mapping

import numpy as np

from nav_pkg.core import Command, DataError, UsageError

TURN_THRESHOLD = 0.3
"""Yaw rate (rad/s, absolute) above which a command counts as a turn and `turn_speed` is flown."""

LOG_VARIANCE = 10.0
"""Largest absolute logarithm of a variance; keeps a loss finite when a network predicts no variance."""


@dataclass(frozen=True)
class ActionSpace:
    """Yaw rates in [-bound, bound], as `quantity` equidistant bins, a value, or a value with its deviation.

    Bins: the centres are spread evenly over [-bound, bound], 2*bound/(quantity-1) apart. The edges lie
    midway between centres; a value exactly on an edge belongs to the lower bin. With 3 bins and
    bound 1 the centres are -1, 0, 1 and the edges -0.5, 0.5. Class 0 is the hardest turn to the
    right (negative yaw), the last class the hardest turn to the left. In a continuous space the
    bins are used only for accuracy and confusion.

    Attributes:
        discrete: classification over the bins; else regression of the yaw rate.
        quantity: number of bins, at least 2.
        bound: largest absolute yaw rate, rad/s.
        speed: forward speed when flying straight, m/s.
        turn_speed: forward speed when |yaw| > 0.3 rad/s, m/s.
        stochastic: continuous only: a normal distribution of the yaw rate; the network gives its mean
            and the logarithm of its variance, and the pilot flies a draw from it.
    """

    discrete: bool = True
    quantity: int = 3
    bound: float = 1.0
    speed: float = 0.8
    turn_speed: float = 0.8
    stochastic: bool = False

    def __post_init__(self) -> None:
        if self.quantity < 2:
            raise UsageError(f"--action_quantity {self.quantity}: at least 2 bins are needed")
        if self.stochastic and self.discrete:
            raise UsageError("--stochastic regresses the yaw rate, --discrete classifies it: give one")
        if not (math.isfinite(self.bound) and self.bound > 0):
            raise UsageError(f"--action_bound {self.bound}: must be above 0 and finite")
        for flag, value in (("speed", self.speed), ("turn_speed", self.turn_speed)):
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"--{flag} {value}: must be 0 or more and finite (m/s)")

    @property
    def outputs(self) -> int:
        """The number of outputs of a network for this space."""
        return self.quantity if self.discrete else 2 if self.stochastic else 1

    @property
    def centres(self) -> np.ndarray:
        """The yaw rate of each bin, float64 (quantity,), rad/s."""
        return np.linspace(-self.bound, self.bound, self.quantity)

    @property
    def edges(self) -> np.ndarray:
        """The edges between bins, float64 (quantity - 1,), rad/s."""
        centres = self.centres
        return (centres[:-1] + centres[1:]) / 2

    def class_names(self) -> list[str]:
        """Names of the classes in order: right, straight, left for 3 bins; the centres for other numbers."""
        if self.quantity == 3:
            return ["right", "straight", "left"]
        return [f"{centre:+.3g}" for centre in self.centres]

    def clip(self, yaw: np.ndarray) -> np.ndarray:
        """Yaw rates (any shape) limited to [-bound, bound]: the labels of a continuous space."""
        return np.clip(np.asarray(yaw, np.float64), -self.bound, self.bound)

    def classes(self, yaw: np.ndarray) -> np.ndarray:
        """The bin of each yaw rate, int64, the same shape as `yaw`."""
        # side "left": a value equal to an edge goes to the lower bin
        return np.searchsorted(self.edges, self.clip(yaw), side="left").astype(np.int64)

    def yaw(self, outputs: np.ndarray) -> np.ndarray:
        """Convert a network's outputs to yaw rates.

        Args:
            outputs: (batch, self.outputs), floating.

        Returns:
            float64 (batch,), rad/s: the centre of the bin with the highest output (the first of equals),
            or the clipped value (of a distribution, the mean); nan if an output is not finite. The
            supervisor does not execute nan.
        """
        outputs = np.asarray(outputs, np.float64)
        if outputs.ndim != 2 or outputs.shape[1] != self.outputs:
            raise ValueError(f"outputs of shape {outputs.shape} for {self.outputs} outputs an image")
        yaw = self.centres[outputs.argmax(axis=1)] if self.discrete else self.clip(outputs[:, 0])
        return np.where(np.isfinite(outputs).all(axis=1), yaw, np.nan)

    def draw(self, outputs: np.ndarray, random: np.random.RandomState) -> float:
        """Return the yaw rate to fly for one image's outputs (self.outputs,), rad/s; nan as in `yaw`.

        Args:
            outputs: of the network.
            random: source of the draws of a stochastic space.
        """
        if not (self.stochastic and np.isfinite(outputs).all()):
            return float(self.yaw(outputs[None])[0])
        deviation = math.exp(min(max(outputs[1], -LOG_VARIANCE), LOG_VARIANCE) / 2)
        return float(self.clip(random.normal(outputs[0], deviation)))

    def command(self, yaw: float) -> Command:
        """The command that flies a yaw rate; z stays 0 because the supervisor controls the height."""
        speed = self.turn_speed if abs(yaw) > TURN_THRESHOLD else self.speed
        return Command(x=speed, yaw=float(yaw))

    def state(self) -> dict[str, Any]:
        """The space as plain values, for a checkpoint."""
        return asdict(self)

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> ActionSpace:
        """Restore the space from `state()`.

        Raises:
            DataError: the values do not describe an action space.
        """
        try:
            return ActionSpace(
                discrete=bool(state["discrete"]),
                quantity=int(state["quantity"]),
                bound=float(state["bound"]),
                speed=float(state["speed"]),
                turn_speed=float(state["turn_speed"]),
                stochastic=bool(state["stochastic"]),
            )
        except (LookupError, TypeError, ValueError, RuntimeError, OverflowError, UsageError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise DataError(f"the action space is damaged ({reason})") from error
