"""Height control by vertical velocity commands."""

from __future__ import annotations

import math

from nav_pkg.core import UsageError

BAND = 0.1
"""Half width of the band around the height in which bang-bang control commands 0, metres."""

SPEED = 1.0
"""Vertical speed of bang-bang control, and limit of smooth control, m/s."""

GAIN = 1.0
"""Gain of smooth control, 1/s: a time constant of 1 s stays stable with 0.5 s of delay."""


class FloorKeeper:
    """Replaces a height keeper for a robot that stays on the floor."""

    def command(self, z: float) -> float:
        """Return zero vertical velocity at any height, m/s; nan if `z` is not finite."""
        return 0.0 if math.isfinite(z) else math.nan


class HeightKeeper:
    """Keeps a height from ground truth.

    Bang-bang: +speed below the band, -speed above it, 0 inside it, including the edges (the height
    control of the behaviour arbitration expert of Kelchtermans & Tuytelaars). Smooth: proportional
    to the error, limited to the same speed.

    Args:
        height: metres, world frame.
        band: half width of the band, metres (bang-bang only).
        speed: m/s.
        smooth: proportional instead of bang-bang.
        gain: 1/s (smooth only).

    Raises:
        UsageError: a number is not finite, or not positive.
    """

    def __init__(
        self,
        height: float = 1.0,
        band: float = BAND,
        speed: float = SPEED,
        smooth: bool = False,
        gain: float = GAIN,
    ) -> None:
        for name, value in (("height", height), ("band", band), ("speed", speed), ("gain", gain)):
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"height keeping: {name} must be a positive number, not {value}")
        self.height = height
        self.band = band
        self.speed = speed
        self.smooth = smooth
        self.gain = gain

    def command(self, z: float) -> float:
        """The vertical velocity at a height, m/s upwards; nan if `z` is not finite."""
        if not math.isfinite(z):
            return math.nan
        if self.smooth:
            return max(-self.speed, min(self.speed, self.gain * (self.height - z)))
        if z < self.height - self.band:
            return self.speed
        if z > self.height + self.band:
            return -self.speed
        return 0.0
