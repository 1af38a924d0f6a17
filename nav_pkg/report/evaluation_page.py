"""The page of an evaluation: tables, paths, ends of flights, saliency maps."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from nav_pkg.core import Outcome
from nav_pkg.flight.conditions import Condition
from nav_pkg.learn import checkpoint as checkpoint_file
from nav_pkg.learn.exported import is_exported
from nav_pkg.learn.perturbation import Perturbation
from nav_pkg.report import evaluation as result
from nav_pkg.report import floorplan, images, style
from nav_pkg.report.environment import environment
from nav_pkg.report.evaluation import Evaluation, Flown
from nav_pkg.report.page import Page
from nav_pkg.report.saliency import Saliency, overlay
from nav_pkg.report.tables import NOTHING, Column, Table, runs_table
from nav_pkg.world import FloorPlan

PLANS, STRIPS, VIDEOS, SALIENT = 12, 12, 4, 6
"""Maximum numbers on a page: plans per figure, ends of flights, films, images per checkpoint."""
FILM_SECONDS = 8.0
BEFORE_END = (2.5, 2.0, 1.5, 1.0, 0.5, 0.0)
"""Seconds before the end of a flight of the images in a strip."""


class _One(NamedTuple):
    """A flight and its condition."""

    condition: Condition
    flown: Flown


class _Story:
    """All data of a page, read once."""

    def __init__(self, evaluation: Evaluation, made: Mapping[str, Any]):
        self.evaluation, self.made = evaluation, made
        wanted = evaluation.configuration["number_of_runs"]
        self.flights = {
            condition: [flown for flown in evaluation.flown(condition) if flown.number < wanted]
            for condition in evaluation.conditions
        }

    def ones(self) -> Iterator[_One]:
        """All flights with frames."""
        for condition, flights in self.flights.items():
            for flown in flights:
                if flown.run is not None and len(flown.run):
                    yield _One(condition, flown)

    def failed(self) -> List[_One]:
        """The flights that failed: first the first one of each condition, then the second ones, and so on."""
        by_condition: Dict[Condition, List[_One]] = {}
        for one in self.ones():
            outcome = Outcome(one.flown.facts["outcome"])
            if outcome.counts and outcome not in (Outcome.SUCCESS, Outcome.TIMEOUT):
                by_condition.setdefault(one.condition, []).append(one)
        most = max(map(len, by_condition.values()), default=0)
        return [ones[i] for i in range(most) for ones in by_condition.values() if i < len(ones)]

    def image(self, one: _One, index: int) -> np.ndarray:
        """A stored image as the network saw it (noise: another sample of the same strength)."""
        rgb = self.evaluation.pictures(one.condition, one.flown).rgb(index)
        perturbation = Perturbation.parse(one.condition.perturbation)
        perturbation.reset(self.evaluation.configuration["random_seed"], one.flown.number)
        return perturbation.apply(rgb)

    def annotated(self, one: _One, index: int, title: str, width: int = 320) -> Any:
        """A stored image with the expert's and the network's command drawn in."""
        frames = one.flown.run.frames  # type: ignore[union-attr]
        return images.annotated(
            self.image(one, index),
            float(frames.expert_yaw[index]),
            float(frames.learner_yaw[index]),
            title,
            width,
            second="net",
        )


def write(evaluation: Evaluation, made: Mapping[str, Any], checkpoints: Mapping[str, Path]) -> Path:
    """Write the page and its data files into the evaluation's folder; return its path.

    Args:
        evaluation: with all its flights.
        made: its result, from `nav_pkg.report.evaluation.result`.
        checkpoints: label -> file of the checkpoint.

    Raises:
        DataError: an image is damaged, or a file cannot be written.
    """
    story = _Story(evaluation, made)
    worlds = " and ".join(evaluation.configuration["worlds"])
    page = Page(f"Flights in {worlds}", _lead(story))
    _tiles(page, made)
    _table(page, made)
    _paths(page, story)
    _relation(page, made)
    _ends(page, story)
    _films(page, story)
    _saliency(page, story, checkpoints)
    _runs(page, story)
    _method(page, story)
    return page.write(evaluation.folder / result.PAGE)


def _lead(story: _Story) -> str:
    count, many = len(story.made["checkpoints"]), len(story.flights)
    conditions = f"{many} condition{'s' if many != 1 else ''}"
    number = story.evaluation.configuration["number_of_runs"]
    nets = "One network was" if count == 1 else f"{count} networks were"
    return f"{nets} flown under {conditions}, {number} run{'s' if number != 1 else ''} each."


def _tiles(page: Page, made: Mapping[str, Any]) -> None:
    said = [condition["measures"] for condition in made["conditions"]]
    times = made["timing"].values()
    counted, successes = (sum(one[key] for one in said) for key in ("counted", "successes"))
    simulated, wall = (sum(one[key] for one in times) for key in ("simulated_seconds", "wall_seconds"))
    slowest = [one["inference_p99"] for one in times if one["inference_p99"] is not None]
    page.tiles(
        [
            (f"{successes} of {counted}", "whole laps, all conditions"),
            (f"{sum(one['collisions'] for one in said)}", "collisions"),
            (_shown(simulated / 60, 1) + " min", "simulated"),
            (_shown(simulated / wall if wall else None, 1) + " x", "real time, each simulator"),
            (_shown(1000 * max(slowest) if slowest else None, 1) + " ms", "image to command, p99"),
            (f"{sum(one['simulator_failures'] for one in times)}", "simulator failures, flown again"),
        ]
    )


def _shown(value: Optional[float], digits: int) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"


def _table(page: Page, made: Mapping[str, Any]) -> None:
    page.head("Measures")
    page.table(
        result.table(made),
        "conditions",
        "One row per condition. Whole laps with Wilson's 95 % interval; progress, laps, distance free of "
        "collision and speed are means over runs. Off route: distance to the route, over all frames. "
        "Steering: mean absolute change of the commanded turn per second; 0 is perfectly smooth. Imitation "
        "loss: mean squared difference between the network's and the expert's turn along the network's own "
        "path, (rad/s)². An answer is late after 50 ms; in lock-step simulated time waits for it.",
    )


def _paths(page: Page, story: _Story) -> None:
    page.head("Paths")
    for label in story.made["checkpoints"]:
        chosen = [condition for condition in story.flights if condition.label == label]
        paths = {
            condition: [
                floorplan.Flown(flown.name, "", _xy(flown), str(flown.facts["outcome"]))
                for flown in story.flights[condition]
            ]
            for condition in chosen[:PLANS]
        }
        left = len(chosen) - len(paths)
        page.figure(
            _plans(paths, {condition: story.evaluation.plan(condition) for condition in paths}),
            f"paths_{label}",
            "".join(
                f"# {condition.name}\n{floorplan.paths_csv(flown)}" for condition, flown in paths.items()
            ),
            f"Flights of `{label}`, coloured by how they ended. Dots: starts; crosses: early ends; grey "
            f"dashes: the route." + (f" {left} more conditions are not shown." if left else ""),
        )


def _xy(flown: Flown) -> np.ndarray:
    if flown.run is None:
        return np.empty((0, 2))
    return np.stack([flown.run.frames.x, flown.run.frames.y], axis=1)


@style.styled
def _plans(
    paths: Mapping[Condition, Sequence[floorplan.Flown]], worlds: Mapping[Condition, FloorPlan]
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
        place.set_title(_words(condition), fontsize=9.5)
        place.set_xlabel("")
        place.set_ylabel("")
    return figure


def _words(condition: Condition) -> str:
    seen = "" if condition.perturbation == "none" else f", {condition.perturbation}"
    return f"{condition.world}, {condition.direction}, delay {condition.control_delay:g} s{seen}"


def _relation(page: Page, made: Mapping[str, Any]) -> None:
    page.head("Offline scores and flights")
    page.table(result.checkpoints_table(made), "checkpoints", "One row per checkpoint, over all its flights.")
    known = {label: entry for label, entry in made["checkpoints"].items() if entry.get("offline")}
    if not known:
        page.text("No checkpoint has a results.json beside it, so there is nothing to compare flights with.")
        return
    if len(known) < 2:
        return  # one point would add nothing to the table
    page.figure(
        _scatter(known),
        "offline_online",
        result.checkpoints_table(made).csv(),
        f"Each point is a checkpoint ({len(known)} in all, numbered as in the table, those without offline "
        "scores left out): offline scores against flights; bars are 95 % intervals of the success rate.",
    )
    page.table(
        result.relation_table(made),
        "rank_correlation",
        "Spearman's rank correlation over the checkpoints; it takes at least three that differ.",
    )


@style.styled
def _scatter(known: Mapping[str, Mapping[str, Any]]) -> Any:
    figure, axes = style.new_figure(9.4, 5.6, nrows=2, ncols=len(result.OFFLINE), sharex="col", sharey="row")
    names = {"success_rate": "success rate", "imitation_loss": "imitation loss in flight"}
    for row, online in zip(axes, names):
        for place, offline in zip(row, result.OFFLINE):
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
    for place, offline in zip(axes[1], result.OFFLINE):
        place.set_xlabel(f"{offline.replace('_', ' ')}, offline")
    axes[0][0].set_ylim(-0.05, 1.05)
    labels = [f"{number}  {label}" for number, label in enumerate(known, 1)]
    figure.suptitle("     ".join(labels) if len(labels) <= 4 else "", fontsize=9)
    return figure


def _ends(page: Page, story: _Story) -> None:
    failed = story.failed()
    if not failed:
        return
    page.head("How flights ended")
    shown = failed[:STRIPS]
    for one in shown:
        run = one.flown.run
        assert run is not None
        stamps, pictures, picked = run.frames.stamp, [], []
        kept = story.evaluation.pictures(one.condition, one.flown)
        for before in BEFORE_END:
            index = max(0, int(np.searchsorted(stamps, stamps[-1] - round(before * 1e9))))
            if index in kept and index not in picked:
                picked.append(index)
                pictures.append(story.annotated(one, index, f"{(stamps[index] - stamps[-1]) / 1e9:+.1f} s"))
        if not pictures:
            continue
        page.figure(
            images.sheet(pictures, 3),
            f"end_{one.condition.label}_{one.condition.name}_{run.name}",
            _csv(one, picked),
            f"`{one.condition.label}`, {_words(one.condition)}, {run.name}: {run.outcome} "
            f"({run.facts.get('reason', '')}). Green: the expert's command, orange: the network's; an arrow "
            "leans 45° at 1 rad/s.",
        )
    if len(failed) > len(shown):
        page.text(f"{len(failed) - len(shown)} more flights ended early and are not shown.")


def _csv(one: _One, indices: Sequence[int]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["run", "frame", "seconds", "expert_yaw", "learner_yaw", "progress"])
    for index in indices:
        frame = one.flown.run.frames.frame(index)  # type: ignore[union-attr]
        net = "" if frame.learner is None else f"{frame.learner.yaw:.4f}"
        writer.writerow(
            [
                one.flown.name,
                index,
                f"{frame.stamp / 1e9:.1f}",
                f"{frame.expert.yaw:.4f}",
                net,
                f"{frame.progress:.2f}",
            ]
        )
    return out.getvalue()


def _films(page: Page, story: _Story) -> None:
    """Add the end of one flight per checkpoint: the first that failed, else the first."""
    chosen: Dict[str, _One] = {}
    for one in [*story.failed(), *story.ones()]:
        chosen.setdefault(one.condition.label, one)
    films = []
    for one in sorted(
        chosen.values(), key=lambda one: list(story.made["checkpoints"]).index(one.condition.label)
    ):
        film = _film(story, one)
        if film is not None:
            films.append((one, *film))
    if not films:
        return
    page.head("Films")
    for one, film, indices in films[:VIDEOS]:
        page.figure(
            film,
            f"film_{one.condition.label}",
            _csv(one, indices),
            f"`{one.condition.label}`, {_words(one.condition)}, {one.flown.name}: the last "
            f"{len(indices) / 10:.0f} s before its end ({one.flown.facts['outcome']}), in real time. Green: "
            "the expert's command, orange: the network's.",
        )
    if len(films) > VIDEOS:
        page.text(f"Films of {len(films) - VIDEOS} more checkpoints are not shown.")


def _film(story: _Story, one: _One) -> Optional[Tuple[bytes, List[int]]]:
    run = one.flown.run
    assert run is not None
    kept = story.evaluation.pictures(one.condition, one.flown)
    first = int(np.searchsorted(run.frames.stamp, run.frames.stamp[-1] - round(FILM_SECONDS * 1e9)))
    indices = [index for index in kept.indices if index >= first]
    if not indices:
        return None
    frames = run.frames
    titles = [
        f"{frames.stamp[i] / 1e9:.1f} s   {frames.progress[i]:.1f} m   nearest {frames.nearest[i]:.2f} m"
        for i in indices
    ]
    pictures = [story.annotated(one, i, title, 640) for i, title in zip(indices, titles)]
    return images.mp4([*pictures, *pictures[-1:] * 10]), indices


def _saliency(page: Page, story: _Story, checkpoints: Mapping[str, Path]) -> None:
    shown = []
    for entry in story.evaluation.configuration["checkpoints"]:
        label = entry["label"]
        flights = [one for one in story.ones() if one.condition.label == label]
        if not flights:
            continue
        if is_exported(checkpoints[label]):
            continue  # a program without accessible layers
        saliency = Saliency(checkpoint_file.load(checkpoints[label].resolve()))
        if saliency.layer:
            shown.append((label, saliency, _salient(story, flights)))
    if not shown:
        return
    page.head("Where the networks look")
    page.text(
        "Grad-CAM of the last convolution: bright parts of an image contribute much to the network's answer, "
        "dark parts little. It shows where the network looks, not why. A network without a state gets each "
        "image alone."
    )
    for label, saliency, picked in shown:
        pictures, rows = [], []
        for one, index in picked:
            rgb = story.image(one, index)
            heat, yaw = saliency.map(rgb)
            frame = one.flown.run.frames.frame(index)  # type: ignore[union-attr]
            title = f"{one.flown.name[:5]} {frame.stamp / 1e9:.1f} s"
            pictures.append(images.annotated(overlay(rgb, heat), frame.expert.yaw, yaw, title, 320, "net"))
            rows.append(f"{one.condition.name},{one.flown.name},{index},{frame.expert.yaw:.4f},{yaw:.4f}\n")
        page.figure(
            images.sheet(pictures, 3),
            f"saliency_{label}",
            "condition,run,frame,expert_yaw,learner_yaw\n" + "".join(rows),
            f"`{label}`, layer `{saliency.layer}`: images along its flights, the last before an early end "
            "among them. Green: the expert's command, orange: the network's.",
        )


def _salient(story: _Story, flights: Sequence[_One]) -> List[Tuple[_One, int]]:
    """Select images of a checkpoint's flights: half before early ends, half along the way."""
    ends = [one for one in story.failed() if one in flights][: SALIENT // 2]
    # Half a second before the end, when the network could still react.
    picked = [(one, max(0, len(one.flown.run) - 6)) for one in ends]  # type: ignore[arg-type]
    for one in flights:
        kept = story.evaluation.pictures(one.condition, one.flown)
        frames = one.flown.run.frames  # type: ignore[union-attr]
        early = [i for i in kept.indices if i < len(frames) - 10 * result.LAST_SECONDS] or kept.indices
        # Turns first: straight flight shows little.
        early.sort(key=lambda i: (-abs(float(frames.expert_yaw[i])), i))
        picked += [(one, i) for i in early[:2]]
    known = {_key(one): one for one in flights}
    once = [(known[key], i) for key, i in dict.fromkeys((_key(one), i) for one, i in picked)]
    kept_only = [(one, i) for one, i in once if i in story.evaluation.pictures(one.condition, one.flown)]
    return kept_only[:SALIENT]


def _key(one: _One) -> Tuple[str, int]:
    return one.condition.folder, one.flown.number


def _runs(page: Page, story: _Story) -> None:
    page.head("All runs")
    facts = [
        {**flown.facts, "name": f"{condition.label} {condition.name} {flown.number}"}
        for condition, flights in story.flights.items()
        for flown in flights
    ]
    page.table(runs_table(facts), "runs", "All flights; the last row summarises them.")


def _method(page: Page, story: _Story) -> None:
    page.head("On what")
    conf = story.evaluation.configuration
    rows = [{"what": name, "value": value} for name, value in environment()]
    rows[:0] = [
        {"what": f"checkpoint {entry['label']}", "value": f"{entry['path']}, SHA-256 {entry['sha256']}"}
        for entry in conf["checkpoints"]
    ]
    rows.insert(0, {"what": "seed", "value": str(conf["random_seed"])})
    if conf["session_flags"]:
        rows.insert(1, {"what": "further flags", "value": " ".join(conf["session_flags"])})
    columns = (Column("what", "what"), Column("value", "value", prose=True))
    page.table(Table(columns, rows), "environment", "Configuration, versions and machine.")
