"""The expert takes over when the learner has come into danger, and hands back when it is out of it."""

from __future__ import annotations

import math
from typing import Any

from nav_pkg.core import UsageError

HAND_BACK_DISTANCE = 0.5
"""Share of the distance from the route within which the expert hands back."""
HAND_BACK_CLEARANCE = 1.25
"""Multiple of the distance to a wall beyond which it hands back."""


class Takeover:
    """Decides, frame by frame, whether the expert has taken over.

    With some way between taking over and handing back, the two do not alternate at the limit.

    Args:
        distance: metres from the route beyond which the expert takes over; 0: never for that reason.
        clearance: metres to the nearest obstacle below which it does; 0: never for that reason.

    Attributes:
        active: whether the expert flies now.
        count: how often it has taken over since `reset`.

    Raises:
        UsageError: a limit that is no length.
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
        """Take a frame; whether the expert flies it.

        Args:
            deviation: distance from the route, metres.
            clearance: to the nearest obstacle, metres; nan where none is seen.
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

    def facts(self) -> dict[str, Any]:
        """What a run's description says about it."""
        return {"distance": self.distance, "clearance": self.clearance}
