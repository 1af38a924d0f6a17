"""What is measured of a flight, and of all flights under one condition: pure functions of its record.

Everything here follows from a run's description and frames alone, which a seed decides. What the
wall clock decides (latency, pace, failures of the simulator) is apart, in `timing`.
"""

from __future__ import annotations

import statistics
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from nav_pkg.core import Actor, Outcome
from nav_pkg.flight.metrics import counted, summary
from nav_pkg.world.route import Route

FACTS: tuple[str, ...] = ("run", "name", "run_seed", "outcome", "reason", "frames", "duration", "progress")
FACTS += ("laps", "distance", "mean_speed", "nearest", "imitation_loss", "replaced")
"""What a run's measures take over from its description."""


def lateral_deviation(x: np.ndarray, y: np.ndarray, route: Route) -> np.ndarray:
    """How far from the route a flight was, frame by frame.

    The flight is followed along the route, so that a stretch of the route that passes near by is
    not taken for the one that is flown.

    Args:
        x: float64 (frames,), metres, world frame.
        y: likewise.
        route: of the world.

    Returns:
        float64 (frames,), metres, not negative.
    """
    deviation, near = np.empty(len(x)), None
    for i in range(len(x)):
        near, offset = route.project(float(x[i]), float(y[i]), near)
        deviation[i] = abs(offset)
    return deviation


def steering_change(yaw: np.ndarray, stamp: np.ndarray) -> Optional[float]:
    """How restless the steering is: the mean absolute change of the commanded turn, per second.

    Args:
        yaw: float64 (frames,), the commanded yaw rate, rad/s.
        stamp: int64 (frames,), nanoseconds, growing.

    Returns:
        rad/s per second: the total variation of the command over the time it took; 0 is perfectly
        smooth. None for fewer than two frames.
    """
    if len(yaw) < 2:
        return None
    return float(np.abs(np.diff(yaw)).sum() / ((stamp[-1] - stamp[0]) * 1e-9))


def takeovers(actor: Sequence[str]) -> int:
    """How often the expert took over: stretches of frames in which it flew, the first included."""
    expert = np.array([who == str(Actor.EXPERT) for who in actor], bool)
    return int(expert[:1].sum() + (expert[1:] & ~expert[:-1]).sum())


def run_measures(facts: Mapping[str, Any], frames: Any, route: Route) -> Dict[str, Any]:
    """The measures of one run: plain JSON types, None where nothing is known.

    Args:
        facts: the run's description.
        frames: its columns (`nav_pkg.data.reader.Frames`), at least one frame.
        route: of its world.

    Returns:
        What FACTS names, and `collision_free_distance` (metres flown without touching anything),
        `lateral_mean`, `lateral_p95`, `lateral_max` (metres), `steering_change` ((rad/s)/s),
        `takeovers`, `takeovers_per_minute`, `expert_share` of the frames.
    """
    deviation = lateral_deviation(frames.x, frames.y, route)
    count = takeovers(frames.actor)
    duration = float(facts.get("duration") or 0.0)
    return {
        **{key: facts.get(key) for key in FACTS},
        # A run ends with its collision, so that all of its way was free of one.
        "collision_free_distance": facts.get("distance"),
        **_spread(deviation),
        "steering_change": steering_change(frames.applied_yaw, frames.stamp),
        "takeovers": count,
        "takeovers_per_minute": 60 * count / duration if duration > 0 else None,
        "expert_share": float((frames.actor == str(Actor.EXPERT)).mean()) if len(frames.actor) else None,
    }


def _spread(deviation: np.ndarray) -> Dict[str, Optional[float]]:
    if not len(deviation):
        return {"lateral_mean": None, "lateral_p95": None, "lateral_max": None}
    return {
        "lateral_mean": float(deviation.mean()),
        "lateral_p95": float(np.percentile(deviation, 95)),
        "lateral_max": float(deviation.max()),
    }


def condition_measures(runs: Sequence[Mapping[str, Any]], deviations: Sequence[np.ndarray]) -> Dict[str, Any]:
    """The measures of all runs under one condition.

    Args:
        runs: as `run_measures` gives them.
        deviations: of each run, as `lateral_deviation` gives them.

    Returns:
        What `nav_pkg.flight.metrics.summary` says (success rate with its interval, means over runs
        that count), and over the same runs: `collisions`, `collision_free_distance` (mean over
        runs), `distance_per_collision` (metres flown in all for each collision; None without one),
        the lateral deviation over all their frames, `steering_change` (mean over runs, weighed by
        their time), `takeovers`, `takeovers_per_minute` and `expert_share` over their whole time.
    """
    said = summary(runs)
    kept = [i for i, run in enumerate(runs) if counted([run])]
    flown = [runs[i] for i in kept]
    collisions = said["outcomes"][str(Outcome.COLLISION)]
    way = sum(run["distance"] or 0.0 for run in flown)
    free = [run["collision_free_distance"] for run in flown if run["collision_free_distance"] is not None]
    times = [float(run["duration"] or 0.0) for run in flown]
    count = sum(run["takeovers"] for run in flown)
    frames = [run["frames"] for run in flown]
    return {
        **said,
        "collisions": collisions,
        "collision_free_distance": statistics.fmean(free) if free else None,
        "distance_per_collision": way / collisions if collisions else None,
        **_spread(np.concatenate([deviations[i] for i in kept]) if kept else np.empty(0)),
        "steering_change": _weighed([run["steering_change"] for run in flown], times),
        "takeovers": count,
        "takeovers_per_minute": 60 * count / sum(times) if sum(times) > 0 else None,
        "expert_share": _weighed([run["expert_share"] for run in flown], frames),
    }


def _weighed(values: Sequence[Optional[float]], weights: Sequence[float]) -> Optional[float]:
    pairs = [(value, weight) for value, weight in zip(values, weights) if value is not None and weight > 0]
    total = sum(weight for _, weight in pairs)
    return sum(value * weight for value, weight in pairs) / total if total else None


def timing(log: Sequence[Mapping[str, Any]]) -> Dict[str, Any]:
    """What the wall clock said of the runs in one or more run logs.

    Args:
        log: lines of `runs.jsonl`.

    Returns:
        `simulator_failures` (flown again, never counted against the pilot), and over the runs that
        count: `inference_p50` (median of the runs' medians) and `inference_p99` (the largest of the
        runs'), seconds from image to command; `deadline_misses` and the `inference_frames` that
        they are of; `wall_seconds`, `simulated_seconds` and `real_time_ratio`, simulated by wall.
    """
    flown: List[Mapping[str, Any]] = [run for run in log if counted([run])]
    known = [run for run in flown if run.get("inference_frames")]
    timed = [run for run in flown if run.get("wall_seconds") and run.get("simulated_seconds") is not None]
    wall, simulated = (sum(run[key] for run in timed) for key in ("wall_seconds", "simulated_seconds"))
    return {
        "simulator_failures": sum(run["outcome"] == str(Outcome.SIM_FAILURE) for run in log),
        "inference_p50": statistics.median(run["inference_p50"] for run in known) if known else None,
        "inference_p99": max(run["inference_p99"] for run in known) if known else None,
        "inference_frames": sum(run["inference_frames"] for run in known),
        "deadline_misses": sum(run["deadline_misses"] for run in known),
        "wall_seconds": wall,
        "simulated_seconds": simulated,
        "real_time_ratio": simulated / wall if wall > 0 else None,
    }


def ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks from 1, equal values sharing the mean of theirs: float64 (values,)."""
    array = np.asarray(values, np.float64)
    below = (array[None, :] < array[:, None]).sum(axis=1)
    equal = (array[None, :] == array[:, None]).sum(axis=1)
    return below + (equal + 1) / 2


def rank_correlation(a: Sequence[Optional[float]], b: Sequence[Optional[float]]) -> Dict[str, Any]:
    """Spearman's rank correlation: Pearson's of the ranks, over the pairs of which both are known.

    C. Spearman, "The Proof and Measurement of Association between Two Things" (1904).

    Returns:
        `points`, the number of pairs, and `rho` in [-1, 1]; None for fewer than three points, and
        where all values of one side are equal.
    """
    pairs = [(x, y) for x, y in zip(a, b) if x is not None and y is not None]
    if len(pairs) < 3:
        return {"points": len(pairs), "rho": None}
    x, y = (ranks(side) - (len(pairs) + 1) / 2 for side in zip(*pairs))
    scale = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return {"points": len(pairs), "rho": float((x * y).sum()) / scale if scale else None}
