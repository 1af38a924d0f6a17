"""Totals of a run computed from its rows: distance, time, progress, classes, actors, nearest obstacle.

A flight computes these totals itself and includes the observation that ended it, which is not a frame. A
run that was cut (aborted, repaired, cleaned) does not contain this end; its totals come only from the rows.
`differences` lists contradictions between run.json and the rows.
"""

from __future__ import annotations

import math
from typing import Any, Iterable, Optional

from nav_pkg.core import Actor, Frame

CLASSES = ("left", "straight", "right")
TURN_THRESHOLD = 0.5
"""Yaw rate (rad/s) that separates straight from a turn; +0.5 is straight, -0.5 is right."""

FRAME_TOTALS = ("frames", "actors", "labels", "imitation_loss", "replaced")
"""Totals that are counted or averaged only over frames, without the observation that ended the run."""

MAX_SPEED = 10.0
"""Speed that no supported robot exceeds, m/s; bounds what the observation that ended a run may add."""


def turn_class(yaw: float) -> str:
    """Class of a yaw rate (rad/s): left above +0.5, right at -0.5 and below, straight between."""
    return "left" if yaw > TURN_THRESHOLD else "right" if yaw <= -TURN_THRESHOLD else "straight"


class Totals:
    """Accumulates the totals of frames; see `metadata`."""

    def __init__(self, frames: Iterable[Frame] = ()):
        self.frames = 0
        self._last: Optional[Frame] = None
        self._distance = 0.0
        self._duration = 0.0
        self._nearest = math.inf
        self._labels = dict.fromkeys(CLASSES, 0)
        self._actors = {actor.value: 0 for actor in Actor}
        self._errors = 0.0
        self._compared = 0
        for frame in frames:
            self.add(frame)

    def add(self, frame: Frame) -> None:
        """Add the next frame."""
        if self._last is not None:
            self._distance += math.dist(self._last.pose[:3], frame.pose[:3])
        self._last = frame
        self.frames += 1
        self._duration = frame.stamp / 1e9
        if frame.nearest < self._nearest:
            self._nearest = frame.nearest
        self._actors[Actor(frame.actor).value] += 1
        turn = frame.expert.yaw
        if math.isfinite(turn):
            self._labels[turn_class(turn)] += 1
            if frame.learner is not None and math.isfinite(frame.learner.yaw):
                self._errors += (turn - frame.learner.yaw) ** 2
                self._compared += 1

    def metadata(self, known: Optional[dict] = None) -> dict[str, Any]:
        """The totals of the frames so far, as entries of run.json.

        Args:
            known: the run's other facts; `laps` is included if they hold `route_length` (m).

        Returns:
            frames; distance (m) from pose to pose; duration (s) and progress (m) of the last frame;
            mean_speed (m/s); nearest (m); replaced; actors and labels (number of frames each; a frame
            without a finite expert command has no label); imitation_loss, (rad/s)^2; laps. Unknown values
            are None.
        """
        progress = self._last.progress if self._last is not None else 0.0
        facts: dict[str, Any] = {
            "frames": self.frames,
            "distance": self._distance,
            "duration": self._duration,
            "progress": progress if math.isfinite(progress) else None,
            "mean_speed": self._distance / self._duration if self._duration > 0 else None,
            "nearest": self._nearest if math.isfinite(self._nearest) else None,
            "replaced": self._actors[Actor.NONE.value],
            "actors": dict(self._actors),
            "labels": dict(self._labels),
            "imitation_loss": self._errors / self._compared if self._compared else None,
        }
        length = (known or {}).get("route_length")
        if isinstance(length, (int, float)) and length > 0:
            facts["laps"] = None if facts["progress"] is None else facts["progress"] / length
        return facts


def without_totals(facts: dict) -> dict:
    """The facts without totals; totals in the facts of a run's start are meaningless."""
    return {key: value for key, value in facts.items() if key not in {*Totals().metadata(), "laps"}}


def differences(facts: dict, totals: Totals, control_rate: float = 10.0) -> list[str]:
    """Find contradictions between run.json and the rows.

    Labels and actors must equal those of the rows. Distance, duration and progress may exceed those of the
    rows by one control period, because they include the observation that ended the run. Entries that are
    not in run.json are not compared. Distance, duration and progress are not compared if frames were
    missing from the run's bag.

    Args:
        facts: entries of run.json.
        totals: totals of all rows.
        control_rate: frames per second.

    Returns:
        One line each, e.g. `distance is 0.0, the rows add up to 12.3`.
    """
    rows = totals.metadata()
    lines = []
    for key in ("labels", "actors"):
        stated = facts.get(key)
        if stated is not None and stated != rows[key]:
            lines.append(f"{key} are {_counts(stated)}, the rows hold {_counts(rows[key])}")
    if facts.get("missing"):
        return lines
    period = 1 / control_rate
    for key, more in (
        ("distance", MAX_SPEED * period),
        ("duration", 1.1 * period),
        ("progress", MAX_SPEED * period),
    ):
        stated, counted = facts.get(key), rows[key]
        if stated is None or counted is None or not math.isfinite(counted):
            continue
        if not isinstance(stated, (int, float)) or not -1e-6 <= stated - counted <= more + 1e-6:
            lines.append(f"{key} is {stated}, the rows add up to {counted:.6g}")
    return lines


def _counts(value: Any) -> str:
    if not isinstance(value, dict):
        return repr(value)
    return " ".join(f"{name} {count}" for name, count in value.items())
