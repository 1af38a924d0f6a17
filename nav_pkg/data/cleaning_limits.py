"""Which runs a cleaned dataset keeps, and which of their frames.

Limits and cuts are those of Kelchtermans & Tuytelaars. In addition, the recorded outcome is checked first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional, Sequence

import numpy as np

from nav_pkg.core import DataError
from nav_pkg.data.columns import Frames
from nav_pkg.data.image_inspection import ImageReport
from nav_pkg.data.reader import Run
from nav_pkg.data.verify import RunReport, verify_run

FROZEN = 3
"""Number of consecutive images of a single colour that mean a dead camera."""

FRAME_LIMITS = {
    "": (100, 5000),
    "sandbox": (10, 2000),
    "canyon": (100, 3000),
    "forest": (100, 3000),
    "corridor": (100, 500),
}
"""Minimum and maximum frames of a run, by world; '' for all others. Table of Kelchtermans & Tuytelaars."""

DISTANCES = {"": 1.0, "canyon": 3.0, "forest": 3.0, "corridor": 0.5}
"""Minimum distance of a run in metres, by world; '' for all others. Table of Kelchtermans & Tuytelaars."""


class CleaningLimits(NamedTuple):
    """The limits that a run must meet. A negative number selects the table's value, or no limit.

    Attributes:
        outcomes: accepted outcomes.
        min_distance: minimum distance flown, metres.
        min_rgb: minimum number of colour images after cutting.
        max_rgb: maximum number of colour images after cutting.
        min_depth: minimum number of depth images after cutting; negative: no limit.
        max_depth_rgb_difference: maximum difference between both numbers; negative: no limit.
        allow_gaps: accept runs with frames that were missing from their bag.
    """

    outcomes: tuple[str, ...] = ("success",)
    min_distance: float = -1
    min_rgb: int = -1
    max_rgb: int = -1
    min_depth: int = -1
    max_depth_rgb_difference: int = -1
    allow_gaps: bool = False


@dataclass
class KeptRun:
    """A run that passed: keep its frames `first` to `last` (exclusive); it is from dataset `source`."""

    run: Run
    first: int
    last: int
    report: RunReport
    source: str = ""
    part: str = ""
    name: str = ""

    @property
    def key(self) -> str:
        """Key of the run in the split: the names of its dataset and of the run."""
        return f"{self.source}/{self.run.name}"


def first_command(frames: Frames) -> int:
    """The first frame whose applied command moves along x or turns; the number of frames if none."""
    moving = np.flatnonzero((frames.applied_x != 0) | (frames.applied_yaw != 0))
    return int(moving[0]) if len(moving) else len(frames)


def first_frozen(image_reports: Sequence[ImageReport]) -> int:
    """The first of `FROZEN` consecutive images of a single colour; the number of images if none."""
    row = 0
    for i, item in enumerate(image_reports):
        row = row + 1 if item.constant else 0
        if row == FROZEN:
            return i - FROZEN + 1
    return len(image_reports)


def distance(frames: Frames, first: int, last: int) -> float:
    """Metres flown from frame `first` to the one before `last`."""
    way = np.stack([frames.x, frames.y, frames.z], axis=1)[first:last]
    return float(np.linalg.norm(np.diff(way, axis=0), axis=1).sum())


def _limit(wanted: float, table: dict, world: str):
    return wanted if wanted >= 0 else table.get(world, table[""])


def apply_limits(
    run: Run, limits: CleaningLimits, rate: float, time_factor: float = 1.0
) -> tuple[Optional[KeptRun], str]:
    """Decide whether a run passes, and which of its frames to keep.

    Args:
        run: the run.
        limits: the limits that it must meet.
        rate: frames per second.
        time_factor: flight time of the robot relative to a drone; scales the table's maximum of frames.

    Returns:
        The kept frames and '', or None and the reason.
    """
    try:
        if run.outcome not in limits.outcomes:
            return None, f"outcome {run.outcome or 'unknown'} (--outcomes)"
        frames = run.frames
    except DataError as error:
        return None, f"damaged: {error}"
    if run.facts.get("missing") and not limits.allow_gaps:
        return None, f"{len(run.facts['missing'])} frames missing from its bag (--allow_gaps keeps it)"
    world = run.world.partition("+")[0]  # without the suffix of its textures
    table = FRAME_LIMITS.get(world, FRAME_LIMITS[""])
    fewest = limits.min_rgb if limits.min_rgb >= 0 else table[0]
    most = limits.max_rgb if limits.max_rgb >= 0 else round(table[1] * time_factor)
    if len(frames) < fewest:  # cutting cannot make it longer; skip the decoding
        return None, f"{len(frames)} frames, fewer than {fewest} (--min_rgb)"
    report = verify_run(run, rate)
    if report.problems:
        return None, f"damaged: {report.problems[0]}"
    first = first_command(frames)
    cameras = [
        image_reports for image_reports in (report.rgb, report.depth, *report.sides.values()) if image_reports
    ]
    last = min([len(frames), *(first_frozen(image_reports) for image_reports in cameras)])
    count = max(0, last - first)
    rgb = count if report.rgb else 0
    depth = count if report.depth else 0
    if not count:
        return None, "no frame between the first command and a dead camera"
    way = distance(frames, first, last)
    least = _limit(limits.min_distance, DISTANCES, world)
    if way < least:
        return None, f"flew {way:.2f} m, less than {least:g} m (--min_distance)"
    if not fewest <= rgb <= most:
        return None, f"{rgb} colour images, not {fewest} to {most} (--min_rgb, --max_rgb)"
    if depth < limits.min_depth:
        return None, f"{depth} depth images, fewer than {limits.min_depth} (--min_depth)"
    if 0 <= limits.max_depth_rgb_difference < abs(depth - rgb):
        return None, f"{depth} depth and {rgb} colour images (--max_depth_rgb_difference)"
    return KeptRun(run, first, last, report), ""
