"""The page of an evaluation: measures, paths, offline scores against flights; images are added."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence

import numpy as np

from nav_pkg.flight.conditions import Condition
from nav_pkg.report import evaluation as evaluation_result
from nav_pkg.report import floorplan, style
from nav_pkg.report.environment import environment
from nav_pkg.report.evaluation import Evaluation, FlownRun
from nav_pkg.report.evaluation_images import PageData, add_ends, add_films, add_saliency, condition_text
from nav_pkg.report.page import Page
from nav_pkg.report.tables import UNKNOWN, Column, Table, runs_table
from nav_pkg.world import FloorPlan

MAX_PLANS = 12
"""Maximum number of plans in a figure."""


def write(evaluation: Evaluation, result: Mapping[str, Any], checkpoints: Mapping[str, Path]) -> Path:
    """Write the page and its data files into the evaluation's folder; return its path.

    Args:
        evaluation: with all its flights.
        result: its result, from `nav_pkg.report.evaluation.result`.
        checkpoints: label -> file of the checkpoint.

    Raises:
        DataError: an image is damaged, or a file cannot be written.
    """
    data = PageData(evaluation, result)
    worlds = " and ".join(evaluation.configuration["worlds"])
    page = Page(f"Flights in {worlds}", _lead(data))
    _tiles(page, result)
    _table(page, result)
    _paths(page, data)
    _relation(page, result)
    add_ends(page, data)
    add_films(page, data)
    add_saliency(page, data, checkpoints)
    _runs(page, data)
    _method(page, data)
    return page.write(evaluation.folder / evaluation_result.PAGE)


def _lead(data: PageData) -> str:
    count, many = len(data.result["checkpoints"]), len(data.flights)
    conditions = f"{many} condition{'s' if many != 1 else ''}"
    number = data.evaluation.configuration["number_of_runs"]
    nets = "One network was" if count == 1 else f"{count} networks were"
    return f"{nets} flown under {conditions}, {number} run{'s' if number != 1 else ''} each."


def _tiles(page: Page, result: Mapping[str, Any]) -> None:
    measured = [condition["measures"] for condition in result["conditions"]]
    times = result["timing"].values()
    counted, successes = (sum(entry[key] for entry in measured) for key in ("counted", "successes"))
    simulated, wall = (sum(entry[key] for entry in times) for key in ("simulated_seconds", "wall_seconds"))
    slowest = [entry["inference_p99"] for entry in times if entry["inference_p99"] is not None]
    page.tiles(
        [
            (f"{successes} of {counted}", "whole laps, all conditions"),
            (f"{sum(entry['collisions'] for entry in measured)}", "collisions"),
            (_number_text(simulated / 60, 1) + " min", "simulated"),
            (_number_text(simulated / wall if wall else None, 1) + " x", "real time, each simulator"),
            (_number_text(1000 * max(slowest) if slowest else None, 1) + " ms", "image to command, p99"),
            (f"{sum(entry['simulator_failures'] for entry in times)}", "simulator failures, flown again"),
        ]
    )


def _number_text(value: Optional[float], digits: int) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def _table(page: Page, result: Mapping[str, Any]) -> None:
    page.head("Measures")
    page.table(
        evaluation_result.table(result),
        "conditions",
        "One row per condition. Whole laps with Wilson's 95 % interval; progress, laps, distance free of "
        "collision and speed are means over runs. Off route: distance to the route, over all frames. "
        "Steering: mean absolute change of the commanded turn per second; 0 is perfectly smooth. Imitation "
        "loss: mean squared difference between the network's and the expert's turn along the network's own "
        "path, (rad/s)². An answer is late after 50 ms; in lock-step simulated time waits for it.",
    )


def _paths(page: Page, data: PageData) -> None:
    page.head("Paths")
    for label in data.result["checkpoints"]:
        chosen = [condition for condition in data.flights if condition.label == label]
        paths = {
            condition: [
                floorplan.FlownPath(flown.name, "", _xy(flown), str(flown.facts["outcome"]))
                for flown in data.flights[condition]
            ]
            for condition in chosen[:MAX_PLANS]
        }
        left = len(chosen) - len(paths)
        page.figure(
            _plans(paths, {condition: data.evaluation.plan(condition) for condition in paths}),
            f"paths_{label}",
            "".join(
                f"# {condition.name}\n{floorplan.paths_csv(flown)}" for condition, flown in paths.items()
            ),
            f"Flights of `{label}`, coloured by how they ended. Dots: starts; crosses: early ends; grey "
            f"dashes: the route." + (f" {left} more conditions are not shown." if left else ""),
        )


def _xy(flown: FlownRun) -> np.ndarray:
    if flown.run is None:
        return np.empty((0, 2))
    return np.stack([flown.run.frames.x, flown.run.frames.y], axis=1)


@style.styled
def _plans(
    paths: Mapping[Condition, Sequence[floorplan.FlownPath]], worlds: Mapping[Condition, FloorPlan]
) -> Any:
    """Draw small plans side by side, one per condition, each with a legend of its outcomes."""
    from matplotlib.lines import Line2D

    columns = min(len(paths), 2)
    rows = -(-len(paths) // columns)
    figure, axes = style.new_figure(
        9.4, (6.6 if columns == 1 else 3.9) * rows, nrows=rows, ncols=columns, squeeze=False
    )
    for place in axes.flat[len(paths) :]:
        place.set_axis_off()
    for place, (condition, flown) in zip(axes.flat, paths.items()):
        floorplan.draw_plan(place, worlds[condition])
        floorplan.draw_paths(place, flown, numbers=False)
        for path in flown:
            if len(path.xy):
                place.plot(
                    *path.xy[0],
                    "o",
                    color="white",
                    markersize=4.5,
                    zorder=6,
                    markeredgecolor=style.outcome_colour(path.outcome),
                )
        counts: Dict[str, int] = {}
        for path in flown:
            counts[path.outcome] = counts.get(path.outcome, 0) + 1
        handles = [
            Line2D([], [], color=style.outcome_colour(outcome), label=f"{count} {outcome}")
            for outcome, count in sorted(counts.items())
        ]
        middle = worlds[condition].inner_boundary.mean(axis=0)
        place.legend(
            handles=handles, loc="center", bbox_to_anchor=tuple(middle), bbox_transform=place.transData
        )
        place.set_title(condition_text(condition), fontsize=9.5)
        place.set_xlabel("")
        place.set_ylabel("")
    return figure


def _relation(page: Page, result: Mapping[str, Any]) -> None:
    page.head("Offline scores and flights")
    page.table(
        evaluation_result.checkpoints_table(result),
        "checkpoints",
        "One row per checkpoint, over all its flights.",
    )
    known = {label: entry for label, entry in result["checkpoints"].items() if entry.get("offline")}
    if not known:
        page.text("No checkpoint has a results.json beside it, so there is nothing to compare flights with.")
        return
    if len(known) < 2:
        return  # one point would add nothing to the table
    page.figure(
        _scatter(known),
        "offline_online",
        evaluation_result.checkpoints_table(result).csv(),
        f"Each point is a checkpoint ({len(known)} in all, numbered as in the table, those without offline "
        "scores left out): offline scores against flights; bars are 95 % intervals of the success rate.",
    )
    page.table(
        evaluation_result.relation_table(result),
        "rank_correlation",
        "Spearman's rank correlation over the checkpoints; it takes at least three that differ.",
    )


@style.styled
def _scatter(known: Mapping[str, Mapping[str, Any]]) -> Any:
    figure, axes = style.new_figure(
        9.4, 5.6, nrows=2, ncols=len(evaluation_result.OFFLINE), sharex="col", sharey="row"
    )
    names = {"success_rate": "success rate", "imitation_loss": "imitation loss in flight"}
    for row, online in zip(axes, names):
        for place, offline in zip(row, evaluation_result.OFFLINE):
            for number, entry in enumerate(known.values(), 1):
                x, y = entry["offline"].get(offline), entry["measures"].get(online)
                if x is None or y is None:
                    continue
                if online == "success_rate":
                    low, high = (entry["measures"][key] for key in ("success_low", "success_high"))
                    place.plot([x, x], [low, high], color=style.LIGHT, linewidth=2.5, zorder=1)
                place.plot(x, y, "o", color=style.BLUE, markersize=8)
                place.annotate(str(number), (x, y), xytext=(6, 4), textcoords="offset points", fontsize=8.5)
            place.margins(0.15)
        row[0].set_ylabel(names[online])
    for place, offline in zip(axes[1], evaluation_result.OFFLINE):
        place.set_xlabel(f"{offline.replace('_', ' ')}, offline")
    axes[0][0].set_ylim(-0.05, 1.05)
    labels = [f"{number}  {label}" for number, label in enumerate(known, 1)]
    figure.suptitle("     ".join(labels) if len(labels) <= 4 else "", fontsize=9)
    return figure


def _runs(page: Page, data: PageData) -> None:
    page.head("All runs")
    facts = [
        {**flown.facts, "name": f"{condition.label} {condition.name} {flown.number}"}
        for condition, flights in data.flights.items()
        for flown in flights
    ]
    page.table(runs_table(facts), "runs", "All flights; the last row summarises them.")


def _method(page: Page, data: PageData) -> None:
    page.head("On what")
    conf = data.evaluation.configuration
    rows = [{"what": name, "value": value} for name, value in environment()]
    rows[:0] = [
        {"what": f"checkpoint {entry['label']}", "value": f"{entry['path']}, SHA-256 {entry['sha256']}"}
        for entry in conf["checkpoints"]
    ]
    rows.insert(0, {"what": "seed", "value": str(conf["random_seed"])})
    if conf["session_flags"]:
        rows.insert(1, {"what": "further flags", "value": " ".join(conf["session_flags"])})
    columns = (Column("what", "what"), Column("value", "value", wraps=True))
    page.table(Table(columns, rows), "environment", "Configuration, versions and machine.")
