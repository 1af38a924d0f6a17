"""Statistics over many runs."""

from __future__ import annotations

import math
import statistics
from typing import Any, Iterable, Mapping

from nav_pkg.core import DataError, Outcome, UsageError


def wilson_interval(successes: int, runs: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a success rate.

    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22
    (1927). Unlike the normal approximation it is valid for few runs and for rates near 0 and 1.

    Args:
        successes: between 0 and `runs`.
        runs: number of runs; 0 gives (0, 1), since nothing is known.
        confidence: in (0, 1).

    Returns:
        Lower and upper end, in [0, 1].

    Raises:
        UsageError: a number is out of range.
    """
    if not 0 <= successes <= runs:
        raise UsageError(f"{successes} successes in {runs} runs cannot be")
    if not 0 < confidence < 1:
        raise UsageError(f"a confidence lies between 0 and 1, not {confidence}")
    if runs == 0:
        return (0.0, 1.0)
    z = statistics.NormalDist().inv_cdf(0.5 + confidence / 2)
    rate = successes / runs
    centre = (rate + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z / (1 + z * z / runs) * math.sqrt(rate * (1 - rate) / runs + z * z / (4 * runs * runs))
    # At the ends the exact values are 0 and 1; rounding must not move them.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == runs else min(1.0, centre + half)
    return (low, high)


def _outcome(run: Mapping[str, Any]) -> Outcome:
    try:
        return Outcome(run["outcome"])
    except (KeyError, ValueError):
        known = ", ".join(str(outcome) for outcome in Outcome)
        name, value = run.get("run", "?"), run.get("outcome")
        raise DataError(f"run {name} has outcome {value!r}; known: {known}") from None


def counted(runs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The runs that count for the pilot: neither aborted nor failed by the simulator.

    Raises:
        DataError: the outcome of a run is missing or unknown.
    """
    return [run for run in runs if _outcome(run).counts]


def success_rate(runs: Iterable[Mapping[str, Any]]) -> float | None:
    """Share of complete laps among the runs that count; None without such runs.

    Raises:
        DataError: the outcome of a run is missing or unknown.
    """
    flown = counted(runs)
    if not flown:
        return None
    return sum(_outcome(run) is Outcome.SUCCESS for run in flown) / len(flown)


def _mean(runs: list[Mapping[str, Any]], key: str) -> float | None:
    values = [run[key] for run in runs if run.get(key) is not None]
    return statistics.fmean(values) if values else None


def summary(runs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Summarise many runs' descriptions (`Flight.facts`): plain JSON types, None for unknown values.

    Means are over the runs that count, with equal weights. `nearest` is the smallest of all. The
    imitation loss and the shares of labels are over frames: a short run has less weight.

    Raises:
        DataError: the outcome of a run is missing or unknown.
    """
    runs = list(runs)
    flown = counted(runs)
    successes = sum(_outcome(run) is Outcome.SUCCESS for run in flown)
    outcomes = {str(outcome): 0 for outcome in Outcome}
    for run in runs:
        outcomes[str(_outcome(run))] += 1
    nearest = [run["nearest"] for run in flown if run.get("nearest") is not None]
    compared = [run for run in flown if run.get("imitation_loss") is not None and run.get("frames")]
    frames = sum(run["frames"] for run in compared)
    loss = sum(run["imitation_loss"] * run["frames"] for run in compared) / frames if frames else None
    labels = {
        name: sum(run.get("labels", {}).get(name, 0) for run in flown)
        for name in ("left", "straight", "right")
    }
    labelled = sum(labels.values())
    low, high = wilson_interval(successes, len(flown))
    return {
        "runs": len(runs),
        "counted": len(flown),
        "successes": successes,
        "success_rate": successes / len(flown) if flown else None,
        "success_low": low,
        "success_high": high,
        "outcomes": outcomes,
        "frames": sum(run.get("frames") or 0 for run in flown),
        "progress": _mean(flown, "progress"),
        "laps": _mean(flown, "laps"),
        "distance": _mean(flown, "distance"),
        "duration": _mean(flown, "duration"),
        "mean_speed": _mean(flown, "mean_speed"),
        "nearest": min(nearest) if nearest else None,
        "replaced": sum(run.get("replaced") or 0 for run in flown),
        "imitation_loss": loss,
        "label_shares": {name: count / labelled for name, count in labels.items()} if labelled else None,
    }
