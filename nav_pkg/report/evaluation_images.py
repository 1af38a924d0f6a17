"""The images on the page of an evaluation: ends of flights, films, saliency maps."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from nav_pkg.core import Outcome
from nav_pkg.flight.conditions import Condition
from nav_pkg.learn.checkpoints import checkpoint as checkpoint_file
from nav_pkg.learn.deployment.exported import is_exported
from nav_pkg.learn.deployment.perturbation import Perturbation
from nav_pkg.report import images
from nav_pkg.report.evaluation import LAST_SECONDS, Evaluation, FlownRun
from nav_pkg.report.page import Page
from nav_pkg.report.saliency import Saliency, overlay

MAX_STRIPS, MAX_FILMS, MAX_SALIENCY = 12, 4, 6
"""Maximum numbers on a page: ends of flights, films, saliency maps per checkpoint."""
FILM_SECONDS = 8.0
BEFORE_END = (2.5, 2.0, 1.5, 1.0, 0.5, 0.0)
"""Seconds before the end of a flight of the images in a strip."""


class Flight(NamedTuple):
    """A flight and its condition."""

    condition: Condition
    flown: FlownRun


class PageData:
    """All data of a page, read once."""

    def __init__(self, evaluation: Evaluation, result: Mapping[str, Any]):
        self.evaluation, self.result = evaluation, result
        wanted = evaluation.configuration["number_of_runs"]
        self.flights = {
            condition: [flown for flown in evaluation.flown(condition) if flown.number < wanted]
            for condition in evaluation.conditions
        }

    def flights_with_frames(self) -> Iterator[Flight]:
        """All flights with frames."""
        for condition, flights in self.flights.items():
            for flown in flights:
                if flown.run is not None and len(flown.run):
                    yield Flight(condition, flown)

    def failed(self) -> List[Flight]:
        """The flights that failed: first the first one of each condition, then the second ones, and so on."""
        by_condition: Dict[Condition, List[Flight]] = {}
        for flight in self.flights_with_frames():
            outcome = Outcome(flight.flown.facts["outcome"])
            if outcome.counts and outcome not in (Outcome.SUCCESS, Outcome.TIMEOUT):
                by_condition.setdefault(flight.condition, []).append(flight)
        most = max(map(len, by_condition.values()), default=0)
        return [
            flights_with_frames[i]
            for i in range(most)
            for flights_with_frames in by_condition.values()
            if i < len(flights_with_frames)
        ]

    def image(self, flight: Flight, index: int) -> np.ndarray:
        """A stored image as the network saw it (noise: another sample of the same strength)."""
        rgb = self.evaluation.pictures(flight.condition, flight.flown).rgb(index)
        perturbation = Perturbation.parse(flight.condition.perturbation)
        perturbation.reset(self.evaluation.configuration["random_seed"], flight.flown.number)
        return perturbation.apply(rgb)

    def annotated(self, flight: Flight, index: int, title: str, width: int = 320) -> Any:
        """A stored image with the expert's and the network's command drawn in."""
        frames = flight.flown.run.frames  # type: ignore[union-attr]
        return images.annotated(
            self.image(flight, index),
            float(frames.expert_yaw[index]),
            float(frames.learner_yaw[index]),
            title,
            width,
            second="net",
        )


def condition_text(condition: Condition) -> str:
    """The condition for a title: world, direction, delay and perturbation."""
    perturbed = "" if condition.perturbation == "none" else f", {condition.perturbation}"
    return f"{condition.world}, {condition.direction}, delay {condition.control_delay:g} s{perturbed}"


def add_ends(page: Page, data: PageData) -> None:
    """Add the last images of the flights that ended early."""
    failed = data.failed()
    if not failed:
        return
    page.head("How flights ended")
    shown = failed[:MAX_STRIPS]
    for flight in shown:
        run = flight.flown.run
        assert run is not None
        stamps, pictures, picked = run.frames.stamp, [], []
        kept = data.evaluation.pictures(flight.condition, flight.flown)
        for before in BEFORE_END:
            index = max(0, int(np.searchsorted(stamps, stamps[-1] - round(before * 1e9))))
            if index in kept and index not in picked:
                picked.append(index)
                pictures.append(data.annotated(flight, index, f"{(stamps[index] - stamps[-1]) / 1e9:+.1f} s"))
        if not pictures:
            continue
        page.figure(
            images.contact_sheet(pictures, 3),
            f"end_{flight.condition.label}_{flight.condition.name}_{run.name}",
            _csv(flight, picked),
            f"`{flight.condition.label}`, {condition_text(flight.condition)}, {run.name}: {run.outcome} "
            f"({run.facts.get('reason', '')}). Green: the expert's command, orange: the network's; an arrow "
            "leans 45° at 1 rad/s.",
        )
    if len(failed) > len(shown):
        page.text(f"{len(failed) - len(shown)} more flights ended early and are not shown.")


def _csv(flight: Flight, indices: Sequence[int]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["run", "frame", "seconds", "expert_yaw", "learner_yaw", "progress"])
    for index in indices:
        frame = flight.flown.run.frames.frame(index)  # type: ignore[union-attr]
        net = "" if frame.learner is None else f"{frame.learner.yaw:.4f}"
        writer.writerow(
            [
                flight.flown.name,
                index,
                f"{frame.stamp / 1e9:.1f}",
                f"{frame.expert.yaw:.4f}",
                net,
                f"{frame.progress:.2f}",
            ]
        )
    return out.getvalue()


def add_films(page: Page, data: PageData) -> None:
    """Add the end of one flight per checkpoint: the first that failed, else the first."""
    chosen: Dict[str, Flight] = {}
    for flight in [*data.failed(), *data.flights_with_frames()]:
        chosen.setdefault(flight.condition.label, flight)
    films = []
    for flight in sorted(
        chosen.values(), key=lambda flight: list(data.result["checkpoints"]).index(flight.condition.label)
    ):
        film = _film(data, flight)
        if film is not None:
            films.append((flight, *film))
    if not films:
        return
    page.head("Films")
    for flight, film, indices in films[:MAX_FILMS]:
        page.figure(
            film,
            f"film_{flight.condition.label}",
            _csv(flight, indices),
            f"`{flight.condition.label}`, {condition_text(flight.condition)}, {flight.flown.name}: the "
            f"last {len(indices) / 10:.0f} s before its end ({flight.flown.facts['outcome']}), in real time. "
            "Green: the expert's command, orange: the network's.",
        )
    if len(films) > MAX_FILMS:
        page.text(f"Films of {len(films) - MAX_FILMS} more checkpoints are not shown.")


def _film(data: PageData, flight: Flight) -> Optional[Tuple[bytes, List[int]]]:
    run = flight.flown.run
    assert run is not None
    kept = data.evaluation.pictures(flight.condition, flight.flown)
    first = int(np.searchsorted(run.frames.stamp, run.frames.stamp[-1] - round(FILM_SECONDS * 1e9)))
    indices = [index for index in kept.indices if index >= first]
    if not indices:
        return None
    frames = run.frames
    titles = [
        f"{frames.stamp[i] / 1e9:.1f} s   {frames.progress[i]:.1f} m   nearest {frames.nearest[i]:.2f} m"
        for i in indices
    ]
    pictures = [data.annotated(flight, i, title, 640) for i, title in zip(indices, titles)]
    return images.mp4([*pictures, *pictures[-1:] * 10]), indices


def add_saliency(page: Page, data: PageData, checkpoints: Mapping[str, Path]) -> None:
    """Add saliency maps of the checkpoints; `checkpoints` maps labels to files. Exported files have none."""
    shown = []
    for entry in data.evaluation.configuration["checkpoints"]:
        label = entry["label"]
        flights = [flight for flight in data.flights_with_frames() if flight.condition.label == label]
        if not flights:
            continue
        if is_exported(checkpoints[label]):
            continue  # a program without accessible layers
        saliency = Saliency(checkpoint_file.load(checkpoints[label].resolve()))
        if saliency.layer:
            shown.append((label, saliency, _saliency_frames(data, flights)))
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
        for flight, index in picked:
            rgb = data.image(flight, index)
            heat, yaw = saliency.map(rgb)
            frame = flight.flown.run.frames.frame(index)  # type: ignore[union-attr]
            title = f"{flight.flown.name[:5]} {frame.stamp / 1e9:.1f} s"
            pictures.append(images.annotated(overlay(rgb, heat), frame.expert.yaw, yaw, title, 320, "net"))
            rows.append(
                f"{flight.condition.name},{flight.flown.name},{index},{frame.expert.yaw:.4f},{yaw:.4f}\n"
            )
        page.figure(
            images.contact_sheet(pictures, 3),
            f"saliency_{label}",
            "condition,run,frame,expert_yaw,learner_yaw\n" + "".join(rows),
            f"`{label}`, layer `{saliency.layer}`: images along its flights, the last before an early end "
            "among them. Green: the expert's command, orange: the network's.",
        )


def _saliency_frames(data: PageData, flights: Sequence[Flight]) -> List[Tuple[Flight, int]]:
    """Select images of a checkpoint's flights: half before early ends, half along the way."""
    ends = [flight for flight in data.failed() if flight in flights][: MAX_SALIENCY // 2]
    # Half a second before the end, when the network could still react.
    picked = [(flight, max(0, len(flight.flown.run) - 6)) for flight in ends]  # type: ignore[arg-type]
    for flight in flights:
        kept = data.evaluation.pictures(flight.condition, flight.flown)
        frames = flight.flown.run.frames  # type: ignore[union-attr]
        early = [i for i in kept.indices if i < len(frames) - 10 * LAST_SECONDS] or kept.indices
        # Turns first: straight flight shows little.
        early.sort(key=lambda i: (-abs(float(frames.expert_yaw[i])), i))
        picked += [(flight, i) for i in early[:2]]
    known = {_key(flight): flight for flight in flights}
    once = [(known[key], i) for key, i in dict.fromkeys((_key(flight), i) for flight, i in picked)]
    kept_only = [
        (flight, i) for flight, i in once if i in data.evaluation.pictures(flight.condition, flight.flown)
    ]
    return kept_only[:MAX_SALIENCY]


def _key(flight: Flight) -> Tuple[str, int]:
    return flight.condition.folder, flight.flown.number
