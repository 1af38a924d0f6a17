"""Scores of finished trainings, grouped over seeds: tables, rankings and paired comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from nav_pkg import schemas
from nav_pkg.core import DataError, UsageError, nearest_name
from nav_pkg.flight.metrics import counted, wilson_interval
from nav_pkg.flight.runlog import RunLog
from nav_pkg.reading import read_json
from nav_pkg.report.combine import SEED_FOLDER, mean_std
from nav_pkg.report.curves import RESULTS_FILE, read_results
from nav_pkg.report.intervals import Interval, bootstrap_mean
from nav_pkg.report.tables import Column, Table

_SCORES = ("accuracy", "balanced_accuracy", "majority_accuracy", "imitation_loss", "loss")
METRICS: Dict[str, Tuple[str, ...]] = {
    **{f"{part}_{score}": (part, score) for part in ("val", "test", "train") for score in _SCORES},
    **{key: (key,) for key in ("parameters", "episodes", "updates")},
}
"""Metric -> its path in results.json."""


@dataclass(frozen=True)
class Training:
    """A finished training.

    Attributes:
        folder: its log folder.
        seed: from its configuration, else from the folder's name.
        results: results.json.
    """

    folder: Path
    seed: Optional[int]
    results: Mapping[str, Any]

    def metric(self, name: str) -> Optional[float]:
        """The value of one of `METRICS`; None if unknown."""
        value: Any = self.results
        for key in METRICS[name]:
            value = (value or {}).get(key)
        return value


def check_metric(name: str) -> None:
    """Check that a metric is one of `METRICS`.

    Raises:
        UsageError: unknown metric; the text names the nearest one.
    """
    if name not in METRICS:
        raise UsageError(f"{name!r}: no such metric{nearest_name(name, list(METRICS))}")


def lower_is_better(metric: str) -> bool:
    """Whether smaller values of a metric are better."""
    return metric.endswith("loss") or metric == "parameters"


def find_trainings(folder: Path) -> Dict[str, List[Training]]:
    """Find the finished trainings below a folder, and group those that differ only in their seed.

    Returns:
        Group name -> trainings; the name is the folder's path below `folder`, without `seed_N`.

    Raises:
        DataError: no training found, or a results.json is damaged.
    """
    groups: Dict[str, List[Training]] = {}
    for file in sorted(folder.rglob(RESULTS_FILE)):
        place = file.parent.relative_to(folder)
        group = place.parent if SEED_FOLDER.match(place.name) else place
        results = read_results(file.parent)
        flags = (results.get("config") or {}).get("flags") or {}
        name = str(group) if str(group) != "." else folder.name
        number = SEED_FOLDER.match(place.name)
        seed = flags.get("random_seed", int(number.group(1)) if number else None)
        groups.setdefault(name, []).append(Training(file.parent, seed, results))
    if not groups:
        raise DataError(f"{folder}: no finished training ({RESULTS_FILE}) below it")
    return groups


def table(
    groups: Mapping[str, Sequence[Training]], metrics: Sequence[str], sort: Optional[str] = None
) -> Table:
    """Make one row per group: mean and sample standard deviation of each metric over seeds.

    Args:
        groups: from `find_trainings`.
        metrics: of `METRICS`.
        sort: metric to sort by, the best first; None keeps the order.
    """
    rows = []
    for name, trainings in groups.items():
        row: Dict[str, Any] = {
            "name": name,
            "network": trainings[0].results.get("network"),
            "seeds": len(trainings),
        }
        for metric in metrics:
            known = _values(trainings, metric)
            digits = 0 if METRICS[metric] == (metric,) else 4
            row[metric] = mean_std(known, digits) if known else None
        rows.append((_mean(trainings, sort) if sort else None, row))
    if sort:
        sign = 1 if lower_is_better(sort) else -1
        rows.sort(key=lambda item: (item[0] is None, sign * (item[0] or 0.0)))
    columns = [Column("name", "training"), Column("network", "network"), Column("seeds", "seeds", 0)]
    return Table(
        columns + [Column(metric, metric.replace("_", " ")) for metric in metrics], [row for _, row in rows]
    )


def _mean(trainings: Sequence[Training], metric: str) -> Optional[float]:
    known = _values(trainings, metric)
    return sum(known) / len(known) if known else None


def _values(trainings: Sequence[Training], metric: str) -> List[float]:
    return [value for value in (training.metric(metric) for training in trainings) if value is not None]


def ranking(groups: Mapping[str, Sequence[Training]], metric: str) -> Table:
    """Rank groups by their mean over seeds, the best first, with bootstrap intervals of the mean.

    Raises:
        DataError: no training has the metric.
    """
    means: List[Tuple[str, Interval]] = []
    for name, trainings in groups.items():
        known = _values(trainings, metric)
        if known:
            means.append((name, bootstrap_mean(known)))
    if not means:
        raise DataError(f"no training has a {metric}; finished trainings on a dataset with that part have")
    means.sort(key=lambda item: item[1].mean if lower_is_better(metric) else -item[1].mean)
    columns = (
        Column("rank", "rank", 0),
        Column("name", "training"),
        Column("seeds", "seeds", 0),
        Column("mean", metric.replace("_", " "), 4),
        Column("low", "95 % from", 4),
        Column("high", "to", 4),
    )
    rows = [
        {
            "rank": rank,
            "name": name,
            "seeds": each.values,
            "mean": each.mean,
            **_interval_ends(each),
        }
        for rank, (name, each) in enumerate(means, 1)
    ]
    return Table(columns, rows)


def compare_trainings(first: Sequence[Training], second: Sequence[Training], metrics: Sequence[str]) -> Table:
    """Compare two groups of trainings, paired by seed: differences second minus first.

    Raises:
        DataError: no common seed.
    """
    by_seed = {training.seed: training for training in second}
    pairs = [(training, by_seed[training.seed]) for training in first if training.seed in by_seed]
    if not pairs or pairs[0][0].seed is None:
        seeds = [sorted(str(training.seed) for training in group) for group in (first, second)]
        raise DataError(
            f"no seed in common: {', '.join(seeds[0])} and {', '.join(seeds[1])}; train both with the same"
        )
    rows = []
    for metric in metrics:
        values = [(a.metric(metric), b.metric(metric)) for a, b in pairs]
        known = [(a, b) for a, b in values if a is not None and b is not None]
        if known:
            rows.append({"metric": metric, "pairs": len(known), **_difference(known)})
    return Table((Column("metric", "metric"), *_DIFFERENCE), rows)


_DIFFERENCE = (
    Column("pairs", "pairs", 0), Column("one", "first", 4), Column("other", "second", 4),
    Column("difference", "second - first", 4), Column("low", "95 % from", 4), Column("high", "to", 4),
)  # fmt: skip


def _difference(pairs: Sequence[Tuple[float, float]]) -> Dict[str, Optional[float]]:
    interval = bootstrap_mean([b - a for a, b in pairs])
    return {
        "one": sum(a for a, _ in pairs) / len(pairs),
        "other": sum(b for _, b in pairs) / len(pairs),
        "difference": interval.mean,
        **_interval_ends(interval),
    }


def _interval_ends(interval: Interval) -> Dict[str, Optional[float]]:
    """The ends of an interval; None for a single value."""
    several = interval.values > 1
    return {"low": interval.low if several else None, "high": interval.high if several else None}


Flights = Dict[Tuple[Any, ...], Mapping[str, Any]]


def read_flights(folder: Path, checkpoint: Optional[str] = None) -> Flights:
    """Read the flights that count, of an evaluation's checkpoint or of a session.

    Args:
        folder: with evaluation.json, or runs.jsonl.
        checkpoint: its label, if the evaluation has several.

    Returns:
        Pairing key (world, condition, the run's seed and start pose) -> flight.

    Raises:
        DataError: no flights, or an unknown checkpoint.
        UsageError: several checkpoints, and none is chosen.
    """
    file = folder / "evaluation.json"
    if not file.exists():
        if not (folder / "runs.jsonl").exists():
            raise DataError(f"{folder}: neither evaluation.json nor runs.jsonl: no flights to compare")
        return {_pairing_key({}, run): run for run in counted(RunLog(folder).finished().values())}
    evaluation = read_json(file, schemas.EVALUATION)
    labels = list(evaluation.get("checkpoints") or {})
    if checkpoint is None and len(labels) > 1:
        raise UsageError(f"{folder} has several checkpoints: give one as FOLDER:LABEL ({', '.join(labels)})")
    label = checkpoint or (labels[0] if labels else "")
    if label not in labels:
        raise DataError(f"{folder}: no checkpoint {label!r}{nearest_name(label, labels)}")
    conditions = [
        condition for condition in evaluation.get("conditions") or [] if condition["checkpoint"] == label
    ]
    return {
        _pairing_key(condition, run): run for condition in conditions for run in counted(condition["runs"])
    }


def _pairing_key(condition: Mapping[str, Any], run: Mapping[str, Any]) -> Tuple[Any, ...]:
    known = [
        condition.get(key, run.get(key)) for key in ("world", "direction", "control_delay", "perturbation")
    ]
    pose = run.get("start_pose")
    place = tuple(sorted(pose.items())) if isinstance(pose, dict) else tuple(pose or ())
    return (*known, run.get("run_seed", run.get("seed")), place or run.get("run"))


def compare_flights(first: Flights, second: Flights) -> Table:
    """Compare two pilots over the flights of both with the same pose and seed: second minus first.

    Whole laps have a Wilson interval for each pilot; mean differences have bootstrap intervals over pairs.

    Raises:
        DataError: no common flight.
    """
    shared = [key for key in first if key in second]
    if not shared:
        raise DataError(
            "no flight in common (world, condition, seed, start pose): use the same flags for both"
        )
    rows = []
    laps = [(_lap(first[key]), _lap(second[key])) for key in shared]
    for metric, pairs in (
        ("whole laps", laps),
        *((name, _known(first, second, shared, name)) for name in ("imitation_loss", "distance", "nearest")),
    ):
        if pairs:
            rows.append({"metric": metric, "pairs": len(pairs), **_difference(pairs)})
    for number, name in enumerate(("first", "second")):
        count = int(sum(pair[number] for pair in laps))
        low, high = wilson_interval(count, len(laps))
        rows.append(
            {"metric": f"{name}: {count} of {len(laps)} laps", "pairs": len(laps), "low": low, "high": high}
        )
    return Table((Column("metric", "metric"), *_DIFFERENCE), rows)


def _lap(run: Mapping[str, Any]) -> float:
    return float(run["outcome"] == "success")


def _known(
    first: Flights, second: Flights, shared: Sequence[Tuple[Any, ...]], name: str
) -> List[Tuple[float, float]]:
    values = [(first[key].get(name), second[key].get(name)) for key in shared]
    return [(a, b) for a, b in values if a is not None and b is not None]
