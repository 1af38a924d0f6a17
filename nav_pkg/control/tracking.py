"""Position of a robot along a cyclic route, counted across the end of the loop without jumps."""

from __future__ import annotations

from nav_pkg.world import Route


class RouteTracker:
    """Tracks a robot along a route.

    A position is projected near the last one: it never jumps to another part of the route that happens to
    be close. Every change is taken the short way around the loop.

    Args:
        route: the loop.
        reverse: count against the route's direction of travel.

    Attributes:
        s: position on the route, arc length in [0, length), metres, in the route's own direction.
        offset: distance beside the route, metres, positive to the left of its own direction.
        travelled: metres since `reset` in the direction of travel; negative after flying the wrong way.
    """

    def __init__(self, route: Route, reverse: bool = False) -> None:
        self.route = route
        self.reverse = reverse
        self.s = 0.0
        self.offset = 0.0
        self.travelled = 0.0

    def reset(self, x: float, y: float) -> None:
        """Start at a position in metres, projected onto the whole loop."""
        self.s, self.offset = self.route.project(x, y)
        self.travelled = 0.0

    def update(self, x: float, y: float) -> float:
        """Move to a position in metres; return `travelled`."""
        s, self.offset = self.route.project(x, y, near=self.s)
        length = self.route.length
        step = (s - self.s + length / 2) % length - length / 2
        self.travelled += -step if self.reverse else step
        self.s = s
        return self.travelled

    def ahead(self, s: float) -> float:
        """Metres from the current position to an arc length in the direction of travel, in [0, length)."""
        way = (self.s - s if self.reverse else s - self.s) % self.route.length
        # `%` of a tiny negative number may round to the length itself.
        return way if way < self.route.length else 0.0
