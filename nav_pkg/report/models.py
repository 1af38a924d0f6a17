"""Models side by side: what each learned, how each flew, and how far the seeds are apart."""

from __future__ import annotations

import os
import statistics
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

from nav_pkg import schemas
from nav_pkg.core import DataError
from nav_pkg.data import files
from nav_pkg.flight.metrics import summary
from nav_pkg.flight.runlog import RunLog
from nav_pkg.report import curves, style
from nav_pkg.report.page import Page
from nav_pkg.report.tables import Column, Table

COLUMNS = (
    Column("model", "model"),
    Column("network", "network"),
    Column("seed", "seed"),
    Column("learning_rate", "learning rate"),
    Column("updates", "gradient steps", 0),
    Column("val_accuracy", "val accuracy", 1, percent=True),
    Column("test_accuracy", "test accuracy", 1, percent=True),
    Column("test_balanced_accuracy", "balanced", 1, percent=True),
    Column("test_imitation_loss", "imitation loss", 4),
    Column("success_rate", "laps", 0, percent=True),
    Column("collision_free_distance", "m without collision", 1),
    Column("problem", "", prose=True),
)
EVALUATION = "evaluation/evaluation.json"


def row(folder: Path, model: str) -> Dict[str, Any]:
    """What is known of a model; `problem` says what is missing.

    Args:
        folder: the log folder that the models' ones lie in.
        model: the model's, relative to it.
    """
    made: Dict[str, Any] = {"model": model}
    results, flown = folder / model / curves.RESULTS_FILE, folder / model / EVALUATION
    if not os.path.lexists(results) and not os.path.lexists(flown):
        return {**made, "problem": f"{results}: missing"}
    try:
        if os.path.lexists(results):
            made.update(_learned(files.read_json(results, schemas.RESULTS)))
        if os.path.lexists(flown):
            made.update(_flown(files.read_json(flown, schemas.EVALUATION)))
        elif (folder / model / "runs.jsonl").exists():
            made.update(_measured(summary(RunLog(folder / model).finished().values())))
    except DataError as error:
        made["problem"] = str(error)
    return made


def _learned(results: Mapping[str, Any]) -> Dict[str, Any]:
    given = (results.get("config") or {}).get("flags") or {}
    made = {
        "network": results.get("network") or given.get("network"),
        "seed": given.get("random_seed"),
        "learning_rate": given.get("learning_rate"),
        "updates": results.get("updates"),
    }
    for part in ("val", "test"):
        for key in ("accuracy", "balanced_accuracy", "imitation_loss"):
            made[f"{part}_{key}"] = (results.get(part) or {}).get(key)
    return made


def _flown(evaluation: Mapping[str, Any]) -> Dict[str, Any]:
    checkpoints = list((evaluation.get("checkpoints") or {}).values())
    if not checkpoints:
        return {}
    return {"network": checkpoints[0].get("network"), **_measured(checkpoints[0].get("measures") or {})}


def _measured(measures: Mapping[str, Any]) -> Dict[str, Any]:
    return {key: measures.get(key) for key in ("success_rate", "collision_free_distance")}


def table(rows: Sequence[Dict[str, Any]]) -> Table:
    """All models, and below them mean and deviation of what is a number."""
    total: Dict[str, Any] = {"model": "mean"}
    for column in COLUMNS:
        values = [one[column.key] for one in rows if isinstance(one.get(column.key), (int, float))]
        if column.digits is not None and values:
            total[column.key] = statistics.fmean(values)
    columns = [
        column for column in COLUMNS if column.key != "problem" or any("problem" in one for one in rows)
    ]
    return Table(columns, list(rows), total if len(rows) > 1 else None)


def spread(rows: Sequence[Mapping[str, Any]], key: str) -> str:
    """Mean and standard deviation over the models, e.g. `87.2 +- 0.6 %`; a dash when nothing is known."""
    values = [float(one[key]) for one in rows if isinstance(one.get(key), (int, float))]
    if not values:
        return "–"
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.fmean(values):.1f} ± {100 * deviation:.1f} %"


def curves_of(folder: Path, names: Sequence[str]) -> Dict[str, List[Mapping[str, Any]]]:
    """The episodes of the models that have any."""
    found: Dict[str, List[Mapping[str, Any]]] = {}
    for name in names:
        try:
            found[name] = list(curves.read_metrics(folder / name))
        except DataError:
            continue
    return found


def _figure(episodes: Mapping[str, Sequence[Mapping[str, Any]]]) -> Any:
    figure, axes = style.new_figure(9.0, 3.6)
    for name, records in episodes.items():
        steps = [record["updates"] for record in records]
        axes.plot(steps, [100 * record["val"]["accuracy"] for record in records], label=name)
    axes.set_xlabel("gradient steps")
    axes.set_ylabel("validation accuracy [%]")
    if len(episodes) <= 12:
        axes.legend()
    return figure


def _csv(episodes: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    lines = ["model,updates,val_accuracy"]
    for name, records in episodes.items():
        lines += [f"{name},{record['updates']},{record['val']['accuracy']}" for record in records]
    return "\n".join(lines) + "\n"


def write(folder: Path, tag: str, names: Sequence[str]) -> Table:
    """Write report.html, its data and report.json into a log folder.

    Args:
        folder: the log folder that the models' ones lie in.
        tag: its name.
        names: the models' folders, relative to it.

    Returns:
        The table of all models.

    Raises:
        DataError: nothing is known of any model, or the disk refuses.
    """
    rows = [row(folder, name) for name in names]
    if all(len(one) == 2 and "problem" in one for one in rows):
        raise DataError(f"{rows[0]['problem']}, and of no other model is anything known; train first")
    made = table(rows)
    page = Page(f"Models of {tag}", f"{len(rows)} models")
    page.tiles(
        [
            (spread(rows, "test_accuracy"), "test accuracy, mean and deviation over the models"),
            (spread(rows, "success_rate"), "whole laps, mean and deviation over the models"),
        ]
    )
    page.head("All models")
    page.table(made, "models", "What each model learned, and how it flew.")
    episodes = curves_of(folder, names)
    if episodes:
        page.head("Learning curves")
        page.figure(_figure(episodes), "curves", _csv(episodes), "Validation accuracy by gradient step.")
    page.write(folder / "report.html")
    files.atomic_write(folder / "report.json", files.to_json({"tag": tag, "models": rows}), "--summary_dir")
    return made
