"""Noise on commands: Ornstein-Uhlenbeck, uniform, gaussian or none, per axis.

The sample of a frame is a pure function of the generator's seed and the frame's index. Samples are drawn in
the order of frames and stored: repeated or skipped calls do not change the samples of other frames.
"""

from __future__ import annotations

import math

import numpy as np

from nav_pkg.core import UsageError, nearest_name

KINDS = ("none", "ou", "uni", "gau")
THETA = 0.05
"""Pull of the Ornstein-Uhlenbeck process towards zero, per frame."""

AXES = ("x", "y", "z", "yaw")


class Noise:
    """No noise, and the base class of all noise.

    Args:
        sigma: amplitudes of x, y, z (m/s) and yaw (rad/s).
        generator: source of the samples; None until `reset`.
    """

    kind = "none"

    def __init__(
        self, sigma: tuple = (0.0, 0.0, 0.0, 0.0), generator: np.random.Generator | None = None
    ) -> None:
        self.sigma = np.array(sigma, dtype=np.float64)
        self.reset(generator)

    def reset(self, generator: np.random.Generator | None) -> None:
        """Begin a run: drop all samples and draw new ones from a fresh generator."""
        self._generator = generator
        self._samples: list = []

    def sample(self, index: int) -> np.ndarray:
        """The noise of a frame: float64 (4,), m/s forward, left, up and rad/s.

        Raises:
            UsageError: the noise has no generator, or the index is negative.
        """
        if not self.sigma.any():
            return np.zeros(4)
        if self._generator is None:
            raise UsageError("noise needs a generator: call reset(generator) at the start of a run")
        if index < 0:
            raise UsageError(f"the frame index must not be negative, not {index}")
        while len(self._samples) <= index:
            last = self._samples[-1] if self._samples else np.zeros(4)
            self._samples.append(self._next(last, self._generator))
        return self._samples[index].copy()

    def _next(self, last: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return np.zeros(4)

    def metadata(self) -> dict:
        """Facts about the noise for a run's description."""
        return {"kind": self.kind, **{f"sigma_{a}": float(s) for a, s in zip(AXES, self.sigma)}}


class Uniform(Noise):
    """Uniform noise in [-sigma, sigma)."""

    kind = "uni"

    def _next(self, last: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return self.sigma * (2.0 * generator.random(4) - 1.0)


class Gaussian(Noise):
    """Normal noise with standard deviation sigma."""

    kind = "gau"

    def _next(self, last: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return self.sigma * generator.standard_normal(4)


class OrnsteinUhlenbeck(Noise):
    """Correlated noise, x <- x + theta (0 - x) + sigma N(0, 1), from zero at the start of a run.

    Uhlenbeck & Ornstein (1930) in discrete time with one frame as the step. Its stationary
    standard deviation is sigma / sqrt(2 theta - theta^2), 3.2 sigma at theta 0.05, and its
    autocorrelation at a lag of k frames is (1 - theta)^k.
    """

    kind = "ou"

    def __init__(
        self,
        sigma: tuple = (0.0, 0.0, 0.0, 0.0),
        generator: np.random.Generator | None = None,
        theta: float = THETA,
    ) -> None:
        super().__init__(sigma, generator)
        self.theta = theta

    def _next(self, last: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return last - self.theta * last + self.sigma * generator.standard_normal(4)

    def metadata(self) -> dict:
        """Facts about the noise for a run's description."""
        return {**super().metadata(), "theta": self.theta}


def make_noise(
    kind: str = "none",
    sigma_x: float = 0.0,
    sigma_y: float = 0.0,
    sigma_z: float = 0.0,
    sigma_yaw: float = 0.0,
    theta: float = THETA,
    generator: np.random.Generator | None = None,
) -> Noise:
    """Create noise of a kind.

    Args:
        kind: `ou`, `uni`, `gau` or `none` (ignores the amplitudes: evaluation switches noise off).
        sigma_x: amplitude forward, m/s; its meaning depends on the kind.
        sigma_y: amplitude to the left, m/s.
        sigma_z: amplitude upwards, m/s.
        sigma_yaw: amplitude of the turn, rad/s.
        theta: pull towards zero of `ou`, in (0, 2): outside, the noise grows without bound.
        generator: source of the samples; may be set later with `reset`.

    Raises:
        UsageError: the kind is unknown, an amplitude is negative, or theta is out of range.
    """
    sigma = (sigma_x, sigma_y, sigma_z, sigma_yaw)
    for axis, value in zip(AXES, sigma):
        if not (math.isfinite(value) and value >= 0):
            raise UsageError(f"sigma_{axis} must be a number >= 0, not {value}")
    if kind not in KINDS:
        raise UsageError(f"no noise is called {kind!r}{nearest_name(str(kind), list(KINDS))}")
    if kind == "none":
        return Noise(generator=generator)
    if kind == "ou":
        if not 0 < theta < 2:
            raise UsageError(f"theta must lie between 0 and 2, not {theta}")
        return OrnsteinUhlenbeck(sigma, generator, theta)
    return {"uni": Uniform, "gau": Gaussian}[kind](sigma, generator)
