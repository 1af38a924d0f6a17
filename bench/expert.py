"""Laps of the expert in Gazebo: both directions, both kinds of expert, control delays of 0 to 0.2 s.

Each condition is its own session. Its log is kept, so that the same command resumes an interrupted
measurement.
"""

from __future__ import annotations

import itertools
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Tuple

from nav_pkg.core import Outcome
from nav_pkg.flight.runlog import RunLog
from nav_pkg.world import load_plan

if TYPE_CHECKING:
    from bench.bench import Bench

WORLD = "esatv3"
SEED = 20
CAMERA = ("--width", 160, "--height", 120)
DELAYS = (0.1, 0.0, 0.2)
"""Control delays in seconds, the default first."""


class Laps(NamedTuple):
    """A condition of the laps: direction, kind of expert, control delay."""

    direction: str
    kind: str
    delay: float

    @property
    def tag(self) -> str:
        """Log folder of its session."""
        return f"{self.direction}_{self.kind}_{self.delay:g}"

    def arguments(self, laps: int) -> Tuple[Any, ...]:
        """Flags of run_script.py."""
        way = ("--reverse",) if self.direction == "reverse" else ()
        flight = ("--expert", self.kind, "--control_delay", self.delay, "--start", "route", *way)
        return ("-w", WORLD, "--random_seed", SEED, "--number_of_runs", laps, *flight, *CAMERA)


CONDITIONS = tuple(
    Laps(direction, kind, delay)
    for delay, kind, direction in itertools.product(
        DELAYS, ("bang_bang", "continuous"), ("forward", "reverse")
    )
)


def flown(log: Path) -> List[Dict[str, Any]]:
    """The runs of a session's log that count: not aborted, and no failure of the simulator."""
    runs = RunLog(log).finished() if log.exists() else {}
    return [run for run in runs.values() if Outcome(run["outcome"]).counts]


def fly(bench: Bench, laps: Laps) -> List[Dict[str, Any]]:
    """Fly the missing laps of a condition; return all its runs."""
    folder = bench.file.parent / "laps"
    log = folder / laps.tag
    hashes = {run["world_hash"] for run in flown(log)}
    # Laps of another route do not count: start again.
    anew = ["--owr"] if hashes - {load_plan(WORLD).digest} else []
    if anew or len(flown(log)) < bench.laps:
        words = ("-t", laps.tag, "--summary_dir", folder, *laps.arguments(bench.laps), *anew)
        bench.run(sys.executable, bench.script("run_script.py"), *words)
    return flown(log)


def expert(bench: Bench) -> None:
    """Measure laps of the expert from seeded poses along the route, with a figure per direction."""
    runs = {laps: fly(bench, laps) for laps in CONDITIONS}
    command = bench.command("bench.py", "--only", "expert", "--laps", bench.laps)
    for direction in ("forward", "reverse"):
        flights = {laps: runs[laps] for laps in CONDITIONS if laps.direction == direction}
        success, details = 0, []
        for laps, same_laps in sorted(flights.items(), key=lambda item: item[0].tag):
            good = sum(run["outcome"] == "success" for run in same_laps)
            success += good
            nearest = min(run["nearest"] for run in same_laps)
            details.append(
                f"{laps.kind} {laps.delay:g} s: {good} of {len(same_laps)}, nearest obstacle {nearest:.2f} m"
            )
        total = sum(map(len, flights.values()))
        bench.report(
            f"expert_success_{direction}", success / total, "share of laps", command, "; ".join(details)
        )
    every = [run for group in runs.values() for run in group]
    nearest = min(run["nearest"] for run in every)
    bench.report("nearest_obstacle", nearest, "m", command, f"smallest depth over {len(every)} laps")
    usual = runs[Laps("forward", "bang_bang", 0.1)]
    each = [run["labels"]["straight"] / run["frames"] for run in usual]
    frames = sum(run["frames"] for run in usual)
    share = sum(run["labels"]["straight"] for run in usual) / frames
    detail = f"control_delay 0.1 s, {frames} frames, single laps {min(each):.3f} to {max(each):.3f}"
    bench.report("straight_fraction", share, "share of labels", command, detail)
    ratio = statistics.median(run["simulated_seconds"] / run["wall_seconds"] for run in usual)
    detail = "camera 160x120, depth 160x90, scan; nothing recorded"
    bench.report("real_time_ratio_small", ratio, "simulated s / wall s", command, detail)
