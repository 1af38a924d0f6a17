"""Measures of a flight, and of all flights under one condition: pure functions of the recorded data.

All measures here follow only from a run's description and frames, which a seed determines. Values that
depend on the wall clock (latency, pace, simulator failures) are separate, in `timing`.
"""

from __future__ import annotations

import statistics
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from nav_pkg.core import Actor, Outcome
from nav_pkg.flight.metrics import counted, summary
from nav_pkg.world.route import Route

COPIED_FACTS: tuple[str, ...] = (
    "run",
    "name",
    "run_seed",
    "outcome",
    "reason",
    "frames",
    "duration",
    "progress",
)
COPIED_FACTS += ("laps", "distance", "mean_speed", "nearest", "imitation_loss", "replaced")
"""Entries of a run's description that its measures include."""


def lateral_deviation(x: np.ndarray, y: np.ndarray, route: Route) -> np.ndarray:
    """Distance between a flight and the route for each frame.

    The position is tracked along the route: another part of the route that passes nearby is not used.

    Args:
        x: float64 (frames,), metres, world frame.
        y: float64 (frames,), metres, world frame.
        route: route of the world.

    Returns:
        float64 (frames,), metres, not negative.
    """
    deviation, near = np.empty(len(x)), None
    for i in range(len(x)):
        near, offset = route.project(float(x[i]), float(y[i]), near)
        deviation[i] = abs(offset)
    return deviation


def steering_change(yaw: np.ndarray, stamp: np.ndarray) -> Optional[float]:
    """Roughness of the steering: the mean absolute change of the commanded turn, per second.

    Args:
        yaw: float64 (frames,), the commanded yaw rate, rad/s.
        stamp: int64 (frames,), nanoseconds, increasing.

    Returns:
        rad/s per second: the total variation of the command divided by the duration; 0 is perfectly
        smooth. None for fewer than two frames.
    """
    if len(yaw) < 2:
        return None
    return float(np.abs(np.diff(yaw)).sum() / ((stamp[-1] - stamp[0]) * 1e-9))


def takeovers(actor: Sequence[str]) -> int:
    """Number of takeovers: sequences of frames in which the expert flew, including one at the start."""
    expert = np.array([name == str(Actor.EXPERT) for name in actor], bool)
    return int(expert[:1].sum() + (expert[1:] & ~expert[:-1]).sum())


def run_measures(facts: Mapping[str, Any], frames: Any, route: Route) -> Dict[str, Any]:
    """The measures of one run: plain JSON types, None for unknown values.

    Args:
        facts: the run's description.
        frames: columns of its frames (`nav_pkg.data.reader.Frames`).
        route: route of its world.

    Returns:
        The entries of FACTS, and `collision_free_distance` (metres flown without a contact),
        `lateral_mean`, `lateral_p95`, `lateral_max` (metres), `steering_change` ((rad/s)/s),
        `takeovers`, `takeovers_per_minute`, `expert_share` of the frames.
    """
    deviation = lateral_deviation(frames.x, frames.y, route)
    count = takeovers(frames.actor)
    duration = float(facts.get("duration") or 0.0)
    return {
        **{key: facts.get(key) for key in COPIED_FACTS},
        # A run ends with its collision: its whole distance is free of one.
        "collision_free_distance": facts.get("distance"),
        **_deviation_statistics(deviation),
        "steering_change": steering_change(frames.applied_yaw, frames.stamp),
        "takeovers": count,
        "takeovers_per_minute": 60 * count / duration if duration > 0 else None,
        "expert_share": float((frames.actor == str(Actor.EXPERT)).mean()) if len(frames.actor) else None,
    }


def _deviation_statistics(deviation: np.ndarray) -> Dict[str, Optional[float]]:
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
        runs: results of `run_measures`.
        deviations: result of `lateral_deviation` for each run.

    Returns:
        The entries of `nav_pkg.flight.metrics.summary` (success rate with its interval, means over runs
        that count), and over the same runs: `collisions`, `collision_free_distance` (mean over
        runs), `distance_per_collision` (total metres flown per collision; None without one),
        the lateral deviation over all their frames, `steering_change` (mean over runs, weighted by
        their duration), `takeovers`, `takeovers_per_minute` over their total duration, and
        `expert_share` of all their frames.
    """
    totals = summary(runs)
    kept = [i for i, run in enumerate(runs) if counted([run])]
    counted_runs = [runs[i] for i in kept]
    collisions = totals["outcomes"][str(Outcome.COLLISION)]
    distance = sum(run["distance"] or 0.0 for run in counted_runs)
    collision_free = [
        run["collision_free_distance"] for run in counted_runs if run["collision_free_distance"] is not None
    ]
    times = [float(run["duration"] or 0.0) for run in counted_runs]
    count = sum(run["takeovers"] for run in counted_runs)
    frames = [run["frames"] for run in counted_runs]
    return {
        **totals,
        "collisions": collisions,
        "collision_free_distance": statistics.fmean(collision_free) if collision_free else None,
        "distance_per_collision": distance / collisions if collisions else None,
        **_deviation_statistics(np.concatenate([deviations[i] for i in kept]) if kept else np.empty(0)),
        "steering_change": _weighted_mean([run["steering_change"] for run in counted_runs], times),
        "takeovers": count,
        "takeovers_per_minute": 60 * count / sum(times) if sum(times) > 0 else None,
        "expert_share": _weighted_mean([run["expert_share"] for run in counted_runs], frames),
    }


def _weighted_mean(values: Sequence[Optional[float]], weights: Sequence[float]) -> Optional[float]:
    pairs = [(value, weight) for value, weight in zip(values, weights) if value is not None and weight > 0]
    total = sum(weight for _, weight in pairs)
    return sum(value * weight for value, weight in pairs) / total if total else None


def timing(log: Sequence[Mapping[str, Any]]) -> Dict[str, Any]:
    """Wall-clock statistics of the runs in one or more run logs.

    Args:
        log: lines of `runs.jsonl`.

    Returns:
        `simulator_failures` (flown again, never counted against the pilot), and over the runs that
        count: `inference_p50` (median of the runs' medians) and `inference_p99` (the largest of the
        runs'), seconds from image to command; `deadline_misses` and `inference_frames` (total answers);
        `wall_seconds`, `simulated_seconds` and `real_time_ratio`, simulated by wall.
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
    """Ranks from 1; equal values share the mean of their ranks: float64 (values,)."""
    array = np.asarray(values, np.float64)
    below = (array[None, :] < array[:, None]).sum(axis=1)
    equal = (array[None, :] == array[:, None]).sum(axis=1)
    return below + (equal + 1) / 2


def rank_correlation(a: Sequence[Optional[float]], b: Sequence[Optional[float]]) -> Dict[str, Any]:
    """Spearman's rank correlation: Pearson's correlation of the ranks, over pairs with both values known.

    C. Spearman, "The Proof and Measurement of Association between Two Things" (1904).

    Returns:
        `points`, the number of pairs, and `rho` in [-1, 1]; None for fewer than three points, and
        if all values of one side are equal.
    """
    pairs = [(x, y) for x, y in zip(a, b) if x is not None and y is not None]
    if len(pairs) < 3:
        return {"points": len(pairs), "rho": None}
    x, y = (ranks(side) - (len(pairs) + 1) / 2 for side in zip(*pairs))
    scale = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return {"points": len(pairs), "rho": float((x * y).sum()) / scale if scale else None}
