"""The expert takes over when the learner is in danger, and hands back when the danger is over."""

from __future__ import annotations

import math
from typing import Any

from nav_pkg.core import UsageError

HAND_BACK_DISTANCE = 0.5
"""The expert hands back within this share of the takeover distance from the route."""
HAND_BACK_CLEARANCE = 1.25
"""The expert hands back beyond this multiple of the takeover clearance to a wall."""


class Takeover:
    """Decides, for every frame, whether the expert flies.

    The limits for taking over and handing back differ: the expert and the learner do not alternate at a
    limit.

    Args:
        distance: metres from the route beyond which the expert takes over; 0 disables this rule.
        clearance: metres to the nearest obstacle below which the expert takes over; 0 disables this rule.

    Attributes:
        active: whether the expert flies now.
        count: number of takeovers since `reset`.

    Raises:
        UsageError: a limit is negative or not finite.
    """

    def __init__(self, distance: float = 0.0, clearance: float = 0.0) -> None:
        for flag, value in (("takeover_distance", distance), ("takeover_clearance", clearance)):
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"--{flag} {value}: must be metres, 0 for never")
        self.distance, self.clearance = distance, clearance
        self.reset()

    def reset(self) -> None:
        """Begin a run: the learner flies."""
        self.active = False
        self.count = 0

    def update(self, deviation: float, clearance: float) -> bool:
        """Process a frame; return whether the expert flies it.

        Args:
            deviation: distance from the route, metres.
            clearance: distance to the nearest obstacle, metres; nan if none is in range.
        """
        clear = math.inf if math.isnan(clearance) else clearance
        far = self.distance > 0 and deviation > self.distance
        near = clear < self.clearance
        if not self.active:
            self.active = far or near
            self.count += self.active
        elif not (far or near):
            back = not self.distance or deviation <= HAND_BACK_DISTANCE * self.distance
            self.active = not (back and clear >= HAND_BACK_CLEARANCE * self.clearance)
        return self.active

    def metadata(self) -> dict[str, Any]:
        """The limits, for a run's description."""
        return {"distance": self.distance, "clearance": self.clearance}
