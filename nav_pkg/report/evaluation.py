"""The result of an evaluation: from the flights in its folder to evaluation.json and tables.

All entries except `timing` follow from the recorded flights. They have the same bytes for the same seed on
any machine, with any number of simulators and with or without interruptions.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

import numpy as np

from nav_pkg import schemas
from nav_pkg.core import DataError
from nav_pkg.data import files
from nav_pkg.data.reader import Run
from nav_pkg.data.thin import KeptImages, keep_images, strip_images
from nav_pkg.flight import measures
from nav_pkg.flight.conditions import Condition, conditions
from nav_pkg.flight.metrics import counted
from nav_pkg.flight.runlog import RunLog
from nav_pkg.report.flights import last_indices
from nav_pkg.report.tables import Column, Table
from nav_pkg.world import FloorPlan, load_plan

CONFIGURATION = "evaluation_conf.json"
RESULT, TABLE, PAGE = "evaluation.json", "evaluation.csv", "evaluation.html"
FORMAT_VERSION = 1
LAST_SECONDS = 8.0
"""Seconds at the end of a run of which all images are kept."""
EVENLY_SPACED = 6
"""Number of further images that are kept, evenly spread over the run."""

OFFLINE = ("accuracy", "balanced_accuracy", "imitation_loss")
"""Scores in a checkpoint's results.json that are compared with its flights."""
ONLINE = ("success_rate", "imitation_loss", "collision_free_distance")
"""Measures of the flights in that comparison."""


@dataclass
class FlownRun:
    """A finished run.

    Attributes:
        number: of the run.
        facts: its description.
        run: the recorded run; None if it ended before its first frame.
    """

    number: int
    facts: Dict[str, Any]
    run: Optional[Run]

    @property
    def name(self) -> str:
        """Name of the run, e.g. 00003_esatv3."""
        return str(self.facts["name"])


class Evaluation:
    """The folder of an evaluation.

    Args:
        folder: the folder.
        configuration: its configuration; None reads it from the folder.

    Attributes:
        conditions: in order.
    """

    def __init__(self, folder: Path, configuration: Optional[Mapping[str, Any]] = None):
        self.folder = Path(folder)
        if configuration is None:
            configuration = files.read_json(self.folder / CONFIGURATION, schemas.EVALUATION_CONFIGURATION)
        self.configuration = dict(configuration)
        self.conditions: List[Condition] = conditions(
            [checkpoint["label"] for checkpoint in self.configuration["checkpoints"]],
            self.configuration["worlds"],
            self.configuration["directions"],
            self.configuration["control_delays"],
            self.configuration["perturbations"],
        )

    def plan(self, condition: Condition) -> FloorPlan:
        """The floor plan of a condition's world: its copy in the folder, or that of the package.

        Raises:
            UsageError, DataError: it is missing or invalid.
        """
        name, plus, seed = condition.world.partition("+")
        copy = self.folder / "worlds" / f"{name}.json"
        return load_plan(f"{copy}{plus}{seed}" if copy.exists() else condition.world)

    def shards(self, condition: Condition) -> Iterator[Tuple[Path, Path]]:
        """Log folder and dataset of each session of a condition."""
        base = self.folder / condition.folder
        for k in range(1, self.configuration["shards"] + 1):
            yield base / f"shard_{k}", base / f"flights_{k}"

    def log(self, condition: Condition) -> List[Dict[str, Any]]:
        """The lines of a condition's run logs."""
        runs = []
        for log, _ in self.shards(condition):
            if log.is_dir():
                runs += RunLog(log).runs()
        return runs

    def flown(self, condition: Condition) -> List[FlownRun]:
        """The finished runs of a condition, by number."""
        runs = {}
        for log, dataset in self.shards(condition):
            for number, facts in (RunLog(log).finished() if log.is_dir() else {}).items():
                run: Optional[Run] = Run(dataset / str(facts["name"]))
                if not (run.path / "run.json").exists():
                    if facts.get("frames"):
                        continue  # the recording is lost: fly it again
                    run = None
                runs[number] = FlownRun(number, facts if run is None else run.facts, run)
        return [runs[n] for n in sorted(runs) if n < self.configuration["number_of_runs"]]

    def pictures(self, condition: Condition, flown: FlownRun) -> KeptImages:
        """The stored images of a run."""
        return KeptImages(self.folder / condition.folder / "pictures" / flown.name)

    def keep(self, condition: Condition, flown: FlownRun) -> None:
        """Copy the images of a finished run that the page may show, and remove the others from the run.

        With `keep_images` the run keeps all its images.

        Raises:
            DataError: the run is damaged, or the disk is full.
        """
        run = flown.run
        if run is None or not len(run):
            return
        folder = self.pictures(condition, flown).folder
        if (run.facts.get("sensors") or {}).get("rgb"):
            spread = np.linspace(0, len(run) - 1, EVENLY_SPACED + 2)[1:-1].round().astype(int).tolist()
            last = last_indices(run, round(LAST_SECONDS * 10) + 1, LAST_SECONDS)
            keep_images(run, folder, [*spread, *last])
        if not self.configuration["keep_images"]:
            strip_images(run)


class _NoFrames:
    """Empty columns of a run that ended before its first frame."""

    x = y = applied_yaw = np.empty(0)
    stamp = np.empty(0, np.int64)
    actor = np.empty(0, dtype=str)


def result(evaluation: Evaluation) -> Dict[str, Any]:
    """Compute the whole result, in plain JSON types.

    Raises:
        DataError: a run is missing or damaged.
    """
    configuration = evaluation.configuration
    per_condition, times = [], {}
    deviations: Dict[str, List[np.ndarray]] = {}
    by_label: Dict[str, List[Dict[str, Any]]] = {}
    for condition in evaluation.conditions:
        runs, offsets = [], []
        route = evaluation.plan(condition).route
        for flown in evaluation.flown(condition):
            frames: Any = _NoFrames() if flown.run is None else flown.run.frames
            runs.append(measures.run_measures(flown.facts, frames, route))
            offsets.append(measures.lateral_deviation(frames.x, frames.y, route))
        wanted = configuration["number_of_runs"]
        if len(runs) != wanted:
            raise DataError(
                f"{evaluation.folder / condition.folder}: {len(runs)} of {wanted} runs are there; run the "
                "same command again"
            )
        measured = measures.condition_measures(runs, offsets)
        per_condition.append(
            {
                "checkpoint": condition.label,
                "world": condition.world,
                "direction": condition.direction,
                "control_delay": condition.control_delay,
                "perturbation": condition.perturbation,
                "folder": condition.folder,
                "measures": measured,
                "runs": runs,
            }
        )
        by_label.setdefault(condition.label, []).extend(runs)
        deviations.setdefault(condition.label, []).extend(offsets)
        times[condition.folder] = _timing(evaluation, condition, wanted)
    checkpoints = {}
    for checkpoint in configuration["checkpoints"]:
        label = checkpoint["label"]
        checkpoints[label] = {
            **{key: value for key, value in checkpoint.items() if key not in ("label", "file")},
            "measures": measures.condition_measures(by_label[label], deviations[label]),
        }
    hidden = ("checkpoints", "versions", "shards", "keep_images")
    return {
        "format": "nav_pkg evaluation",
        "format_version": FORMAT_VERSION,
        "configuration": {key: value for key, value in configuration.items() if key not in hidden},
        "versions": configuration["versions"],
        "checkpoints": checkpoints,
        "conditions": per_condition,
        "offline_online": relation(checkpoints),
        "timing": times,
    }


def _timing(evaluation: Evaluation, condition: Condition, wanted: int) -> Dict[str, Any]:
    log = [run for run in evaluation.log(condition) if run["run"] < wanted]
    last = {run["run"]: run for run in log if counted([run])}  # of a repeated run, the last one
    failures = [run for run in log if run["outcome"] == "sim_failure"]
    timing = measures.timing([*failures, *last.values()])
    keys = ("inference_p50", "inference_p99", "inference_frames", "deadline_misses")
    keys += ("wall_seconds", "simulated_seconds")
    timing["runs"] = {str(n): {key: last[n].get(key) for key in keys} for n in sorted(last)}
    return timing


def relation(checkpoints: Mapping[str, Mapping[str, Any]]) -> Dict[str, Any]:
    """Relate offline scores to flights: Spearman's rank correlation over checkpoints.

    Args:
        checkpoints: label -> `offline` scores (or None) and `measures` of all its flights.
    """
    known = [entry for entry in checkpoints.values() if entry.get("offline")]
    return {
        offline: {
            online: measures.rank_correlation(
                [entry["offline"].get(offline) for entry in known],
                [entry["measures"].get(online) for entry in known],
            )
            for online in ONLINE
        }
        for offline in OFFLINE
    }


def offline_scores(folder: Path) -> Optional[Dict[str, Any]]:
    """Read the scores in a training's results.json: of the test set, else of the validation set.

    Args:
        folder: the checkpoint's log folder.

    Returns:
        `part`, `frames` and OFFLINE; None without results.json or without scores.
    """
    file = Path(folder) / "results.json"
    if not os.path.lexists(file):
        return None
    content = files.read_json(file, schemas.RESULTS)
    for part in ("test", "val"):
        scores = content.get(part)
        if isinstance(scores, dict) and scores.get("accuracy") is not None:
            return {"part": part, **{key: scores.get(key) for key in ("frames", *OFFLINE)}}
    return None


COLUMNS = (
    Column("checkpoint", "checkpoint"),
    Column("world", "world"),
    Column("direction", "direction"),
    Column("control_delay", "delay [s]", 2),
    Column("perturbation", "perturbation"),
    Column("counted", "runs", 0),
    Column("success", "whole laps"),
    Column("interval", "95 % interval"),
    Column("progress", "progress [m]", 1),
    Column("laps", "laps", 2),
    Column("collision_free_distance", "free of collision [m]", 1),
    Column("mean_speed", "speed [m/s]", 2),
    Column("lateral_mean", "off route [m]", 2),
    Column("lateral_p95", "p95 [m]", 2),
    Column("lateral_max", "max [m]", 2, shown_in=("page",)),
    Column("steering_change", "steering [rad/s²]", 2),
    Column("imitation_loss", "imitation loss", 3),
    Column("takeovers_per_minute", "takeovers/min", 2, shown_in=("page",)),
    Column("inference_p50", "answer p50 [ms]", 1, shown_in=("page",)),
    Column("inference_p99", "answer p99 [ms]", 1),
    Column("deadline_misses", "late answers", 0, shown_in=("page",)),
    Column("real_time_ratio", "x real time", 1),
    Column("simulator_failures", "simulator failures", 0, shown_in=("page",)),
    *(Column(key, key, shown_in=()) for key in ("successes", "success_rate", "success_low", "success_high")),
    *(Column(key, key, shown_in=()) for key in ("distance", "duration", "distance_per_collision", "nearest")),
    *(Column(key, key, shown_in=()) for key in ("expert_share", "replaced", "frames")),
)


def table(evaluation_result: Mapping[str, Any]) -> Table:
    """Make one row per condition."""
    rows = []
    for condition in evaluation_result["conditions"]:
        measured, times = condition["measures"], evaluation_result["timing"][condition["folder"]]
        row = {**condition, **measured, **times, **_success(measured)}
        for key in ("inference_p50", "inference_p99"):
            row[key] = None if times[key] is None else 1000 * times[key]
        rows.append(row)
    return Table(COLUMNS, rows)


def _success(measured: Mapping[str, Any]) -> Dict[str, Any]:
    if not measured["counted"]:
        return {"success": None, "interval": None}
    return {
        "success": f"{measured['successes']} of {measured['counted']}",
        "interval": f"{100 * measured['success_low']:.0f} to {100 * measured['success_high']:.0f} %",
    }


def checkpoints_table(evaluation_result: Mapping[str, Any]) -> Table:
    """Make one row per checkpoint: its offline scores and the measures over all its flights."""
    columns = (
        Column("checkpoint", "checkpoint"),
        Column("network", "network"),
        Column("part", "offline set"),
        Column("accuracy", "accuracy", 1, percent=True),
        Column("balanced_accuracy", "balanced accuracy", 1, percent=True),
        Column("offline_loss", "imitation loss, offline", 3),
        Column("online_loss", "in flight", 3),
        Column("success", "whole laps"),
        Column("interval", "95 % interval"),
        Column("collision_free_distance", "free of collision [m]", 1),
        Column("sha256", "sha256", shown_in=()),
    )
    rows = []
    for label, entry in evaluation_result["checkpoints"].items():
        scores, measured = dict(entry.get("offline") or {}), entry["measures"]
        loss = scores.pop("imitation_loss", None)
        row = {"checkpoint": label, "network": entry["network"], "sha256": entry["sha256"], **scores}
        row.update(offline_loss=loss, online_loss=measured["imitation_loss"], **_success(measured))
        rows.append({**row, "collision_free_distance": measured["collision_free_distance"]})
    return Table(columns, rows)


def relation_table(evaluation_result: Mapping[str, Any]) -> Table:
    """Make one row per offline score: its rank correlation with each measure of the flights."""
    columns = (
        Column("offline", "offline"),
        Column("points", "checkpoints", 0),
        *(Column(key, key.replace("_", " "), 2) for key in ONLINE),
    )
    rows = []
    for offline, entries in evaluation_result["offline_online"].items():
        row: Dict[str, Any] = {"offline": offline.replace("_", " ")}
        row["points"] = max(entry["points"] for entry in entries.values())
        rows.append({**row, **{online: entry["rho"] for online, entry in entries.items()}})
    return Table(columns, rows)
