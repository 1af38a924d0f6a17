"""Comparison of models: scores of their trainings, measures of their flights, and spread over seeds."""

from __future__ import annotations

import os
import statistics
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from nav_pkg import schemas
from nav_pkg.core import DataError
from nav_pkg.data import files
from nav_pkg.flight.metrics import summary
from nav_pkg.flight.runlog import RunLog
from nav_pkg.report import curves, style
from nav_pkg.report.page import Page
from nav_pkg.report.tables import UNKNOWN, Column, Table

COLUMNS = (
    Column("model", "model"),
    Column("network", "network"),
    Column("seed", "seed"),
    Column("learning_rate", "learning rate"),
    Column("updates", "gradient steps", 0),
    Column("val_accuracy", "val accuracy", 1, percent=True),
    Column("val_majority_accuracy", "majority baseline (val)", 1, percent=True),
    Column("test_accuracy", "test accuracy", 1, percent=True),
    Column("test_majority_accuracy", "majority baseline (test)", 1, percent=True),
    Column("test_balanced_accuracy", "balanced", 1, percent=True),
    Column("test_imitation_loss", "imitation loss", 4),
    Column("success_rate", "laps", 0, percent=True),
    Column("collision_free_distance", "m without collision", 1),
    Column("problem", "problem", wraps=True),
)
RESULT = "evaluation.json"
RUNS = "runs.jsonl"


def is_log(folder: Path) -> bool:
    """Whether a folder is a log folder of a training, an evaluation or flights."""
    return any(os.path.lexists(folder / name) for name in (curves.RESULTS_FILE, RESULT, RUNS))


def find(folder: Path) -> Dict[str, Path]:
    """Find the trainings below a log folder; if it has none, its evaluations, else its flights."""
    for names in ((curves.RESULTS_FILE,), (RESULT,), (RUNS,)):
        paths = sorted({file.parent for name in names for file in folder.rglob(name)})
        if paths:
            return {
                folder.name if path == folder else path.relative_to(folder).as_posix(): path for path in paths
            }
    return {}


def locate(name: str, folder: Path, summary_dir: Path) -> Path:
    """Find a log folder by name: below the report's folder, else below that of all logs, else as a path."""
    places = (folder / name, summary_dir / name, Path(name).expanduser())
    return next((place for place in places if is_log(place) or is_log(place / "evaluation")), places[0])


def model_rows(model: str, folder: Path) -> List[Dict[str, Any]]:
    """Collect the scores and measures of a model; `problem` names missing data.

    Args:
        model: its name in the table.
        folder: its log folder: of a training (with flights in `evaluation/` or in the same folder), of
            flights, or of an evaluation, which gives one row per checkpoint.
    """
    results, inner, outer = folder / curves.RESULTS_FILE, folder / "evaluation" / RESULT, folder / RESULT
    row: Dict[str, Any] = {"model": model}
    if not any(map(os.path.lexists, (results, inner, outer, folder / RUNS))):
        return [{**row, "problem": f"{results}: missing"}]
    try:
        if not os.path.lexists(results) and os.path.lexists(outer):
            checkpoints = _checkpoints(outer)
            names = [f"{model} {label}" if len(checkpoints) > 1 else model for label in checkpoints]
            return [
                {"model": name, **_checkpoint_measures(measures)}
                for name, measures in zip(names, checkpoints.values())
            ]
        if os.path.lexists(results):
            row.update(_training_scores(files.read_json(results, schemas.RESULTS)))
        if os.path.lexists(inner):
            row.update(
                next((_checkpoint_measures(measures) for measures in _checkpoints(inner).values()), {})
            )
        elif os.path.lexists(folder / RUNS):
            row.update(_flight_measures(summary(RunLog(folder).finished().values())))
    except DataError as error:
        row["problem"] = str(error)
    return [row]


def _checkpoints(evaluation: Path) -> Dict[str, Mapping[str, Any]]:
    return dict(files.read_json(evaluation, schemas.EVALUATION).get("checkpoints") or {})


def _training_scores(results: Mapping[str, Any]) -> Dict[str, Any]:
    given = (results.get("config") or {}).get("flags") or {}
    scores = {
        "network": results.get("network") or given.get("network"),
        "seed": given.get("random_seed"),
        "learning_rate": given.get("learning_rate"),
        "updates": results.get("updates"),
    }
    for part in ("val", "test"):
        for key in ("accuracy", "majority_accuracy", "balanced_accuracy", "imitation_loss"):
            scores[f"{part}_{key}"] = (results.get(part) or {}).get(key)
    return scores


def _checkpoint_measures(checkpoint: Mapping[str, Any]) -> Dict[str, Any]:
    return {"network": checkpoint.get("network"), **_flight_measures(checkpoint.get("measures") or {})}


def _flight_measures(measures: Mapping[str, Any]) -> Dict[str, Any]:
    return {key: measures.get(key) for key in ("success_rate", "collision_free_distance")}


def table(rows: Sequence[Dict[str, Any]]) -> Table:
    """Make the table of all models, with the means of the numbers in the last row."""
    total: Dict[str, Any] = {"model": "mean"}
    for column in COLUMNS:
        values = [row[column.key] for row in rows if isinstance(row.get(column.key), (int, float))]
        if column.digits is not None and values:
            total[column.key] = statistics.fmean(values)
    columns = [
        column for column in COLUMNS if column.key != "problem" or any("problem" in row for row in rows)
    ]
    return Table(columns, list(rows), total if len(rows) > 1 else None)


def mean_std_text(rows: Sequence[Mapping[str, Any]], key: str) -> str:
    """Mean and standard deviation over the models, e.g. `87.2 ± 0.6 %`; a dash if no value is known."""
    values = [float(row[key]) for row in rows if isinstance(row.get(key), (int, float))]
    if not values:
        return UNKNOWN
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.fmean(values):.1f} ± {100 * deviation:.1f} %"


def curves_of(models: Mapping[str, Path]) -> Tuple[Dict[str, List[Mapping[str, Any]]], List[str]]:
    """The episodes of the models with several episodes, and the names of the models with only one."""
    curves_by_name: Dict[str, List[Mapping[str, Any]]] = {}
    points: List[str] = []
    for name, folder in models.items():
        try:
            records = curves.read_metrics(folder)
        except DataError:
            continue
        if len(records) > 1:
            curves_by_name[name] = list(records)
        else:
            points.append(name)
    return curves_by_name, points


@style.styled
def _figure(episodes: Mapping[str, Sequence[Mapping[str, Any]]]) -> Any:
    figure, axes = style.new_figure(9.0, 3.6)
    baselines = set()
    for name, records in episodes.items():
        steps = [record["updates"] for record in records]
        axes.plot(steps, [100 * record["val"]["accuracy"] for record in records], label=name)
        baselines.add(records[-1]["val"].get("majority_accuracy"))
    label: Optional[str] = "majority class"
    for base in sorted(baselines - {None}):
        axes.axhline(100 * base, color=style.GREY, linewidth=1, linestyle=":", label=label)
        label = None
    axes.set_xlabel("gradient steps")
    axes.set_ylabel("validation accuracy [%]")
    if len(episodes) <= 12:
        axes.legend()
    return figure


def _csv(episodes: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    lines = ["model,updates,val_accuracy,val_majority_accuracy"]
    for name, records in episodes.items():
        for record in records:
            val = record["val"]
            base = val.get("majority_accuracy")
            lines.append(f"{name},{record['updates']},{val['accuracy']},{'' if base is None else base}")
    return "\n".join(lines) + "\n"


def write(folder: Path, tag: str, models: Mapping[str, Path]) -> Table:
    """Write report.html, its data files and report.json into a log folder.

    Args:
        folder: the log folder of the report; created if missing.
        tag: its name.
        models: name in the table -> log folder of the model.

    Returns:
        The table of all models.

    Raises:
        DataError: no data of any model, or a file cannot be written.
    """
    rows = [row for name, path in models.items() for row in model_rows(name, path)]
    if all(len(row) == 2 and "problem" in row for row in rows):
        raise DataError(f"{rows[0]['problem']}, and no other model has results; train first")
    models_table = table(rows)
    page = Page(f"Models of {tag}", f"{len(rows)} models")
    over = ", mean and deviation over the models" if len(rows) > 1 else ""
    tiles = (
        ("test_accuracy", "test accuracy"),
        ("test_majority_accuracy", "majority baseline: the accuracy of always the same answer"),
        ("success_rate", "whole laps"),
    )
    known = [(mean_std_text(rows, key), f"{text}{over}") for key, text in tiles]
    page.tiles([tile for tile in known if tile[0] != UNKNOWN])
    page.head("All models")
    page.table(
        models_table,
        "models",
        "What each model learned, and how it flew. The majority baseline is the accuracy of answering the "
        "most frequent class always: accuracy means little without it.",
    )
    episodes, points = curves_of(models)
    if episodes or points:
        page.head("Learning curves")
    if episodes:
        page.figure(_figure(episodes), "curves", _csv(episodes), "Validation accuracy by gradient step.")
    if points:
        page.text(f"With a single episode, and so without a curve: {', '.join(points)}.")
    page.write(folder / "report.html")
    files.atomic_write(folder / "report.json", files.to_json({"tag": tag, "models": rows}), "--summary_dir")
    return models_table
