"""The page of `make demo`: collection, training and the network's flights, with all numbers.

All content comes from the output folder: datasets, run logs, the training's log folder, and the record of
the steps (their command lines and measurements).
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from nav_pkg.data.reader import Dataset, Run
from nav_pkg.flight.metrics import summary
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.methods.metrics import majority_class
from nav_pkg.report import curves, flights, floorplan, images
from nav_pkg.report.environment import environment
from nav_pkg.report.page import Page
from nav_pkg.report.tables import (
    UNKNOWN,
    Column,
    Table,
    labels_table,
    rate_text,
    runs_table,
    scores_table,
)
from nav_pkg.world import load_plan


@dataclass
class DemoStep:
    """An executed command.

    Attributes:
        title: what it does, in a few words.
        command: its command line.
        wall: duration, wall seconds.
        simulated: simulated seconds that were measured during its flights; 0 without flights.
        watched: wall seconds of that measurement.
    """

    title: str
    command: str
    wall: float = 0.0
    simulated: float = 0.0
    watched: float = 0.0

    @property
    def ratio(self) -> Optional[float]:
        """Simulated time over wall time in flight; None without flights."""
        return self.simulated / self.watched if self.watched > 0 else None


@dataclass
class Demo:
    """Inputs of the demo's page.

    Attributes:
        folder: the output folder.
        steps: in order.
        collections: names of the recorded datasets, each with its special settings.
        clean: name of the cleaned dataset.
        flights: name of the dataset of the network's flights.
        training: log tag of the training.
        notes: sentences about deviations from the plan.
        world: name or plan file of the world; empty: that of the flights.
    """

    folder: Path
    steps: List[DemoStep]
    collections: Mapping[str, str]
    clean: str
    flights: str
    training: str
    notes: List[str] = field(default_factory=list)
    world: str = ""

    @property
    def data(self) -> Path:
        """The folder of its datasets."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """The folder of its logs."""
        return self.folder / "log"


class DemoData:
    """All data that a demo has written, read once.

    Raises:
        DataError: a part is missing or damaged.
    """

    def __init__(self, demo: Demo):
        self.demo = demo
        self.collected: Dict[str, List[Run]] = {
            name: Dataset(demo.data / name).require_runs() for name in demo.collections
        }
        clean = Dataset(demo.data / demo.clean)
        self.parts = clean.splits()
        self.metrics = curves.read_metrics(demo.log / demo.training)
        self.results = curves.read_results(demo.log / demo.training)
        self.flown = Dataset(demo.data / demo.flights).require_runs()
        self.space, self.network = _checkpoint(demo.log / demo.training)
        self.classes = self.space.class_names()
        self.scores = {part: self.results[part] for part in ("val", "test") if self.results.get(part)}
        self.labels = {part: [run.frames.expert_yaw for run in runs] for part, runs in self.parts.items()}
        self.majority = majority_class(self.space, np.concatenate(self.labels["train"]))
        self.in_flight = flights.agreement(self.flown, self.space, self.majority)

    # Tables of the terminal and the page.

    def flights_table(self) -> Table:
        """Table of the network's flights."""
        return runs_table([run.facts for run in self.flown])

    def collection_table(self) -> Table:
        """Table of the expert's flights, of all collections."""
        facts = []
        for name, runs in self.collected.items():
            short = name.rsplit("/", 1)[-1]
            facts += [{**run.facts, "name": f"{short}/{run.name}"} for run in runs]
        table = runs_table(facts)
        columns = [c for c in table.columns if c.key != "imitation_loss"]
        return Table(columns, table.rows, table.total)

    def training_table(self) -> Table:
        """Table of the network's scores on recorded frames and on frames of its own flights."""
        names = {"val": "validation run", "test": "test run"}
        rows = {names[part]: scores for part, scores in self.scores.items()}
        if self.in_flight:
            rows["its own flights"] = self.in_flight
        return scores_table(rows, self.classes)

    def speed_table(self) -> Table:
        """Table of the steps' durations and speeds."""
        columns = (
            Column("step", "step"),
            Column("wall", "wall time [s]", 0),
            Column("frames_per_second", "frames/s in flight", 1),
            Column("ratio", "simulated : wall", 1),
        )
        rows = [
            {
                "step": step.title,
                "wall": step.wall,
                "frames_per_second": None if step.ratio is None else 10 * step.ratio,
                "ratio": step.ratio,
            }
            for step in self.demo.steps
        ]
        total = {"step": "all", "wall": sum(step.wall for step in self.demo.steps)}
        return Table(columns, rows, total)

    def sentence(self) -> str:
        """A sentence that summarises the network's flights."""
        measured = summary([run.facts for run in self.flown])
        laps = [f"{run.facts.get('laps') or 0:.2f}" for run in self.flown]
        many = ", ".join(laps[:-1]) + " and " + laps[-1] if len(laps) > 1 else laps[0]
        return (
            f"The trained {self.network} flew {many} laps of the route; {measured['successes']} of "
            f"{measured['counted']} flights were a whole lap; {rate_text(measured)}."
        )


def _checkpoint(folder: Path) -> Tuple[ActionSpace, str]:
    from nav_pkg.learn.checkpoints import checkpoint

    loaded = checkpoint.load(folder.resolve())
    return loaded.action_space, loaded.network


def write(data: DemoData) -> Path:
    """Write report.html and its data files into the demo's folder; return its path."""
    demo = data.demo
    first = data.flown[0]
    plan = load_plan(demo.world or first.world)
    page = Page(
        f"Learning to fly {plan.name}",
        f"An expert flew {plan.title[0].lower()}{plan.title[1:]} in Gazebo; {data.network} learned from the "
        "recorded camera images what the expert did, and flew by itself.",
    )
    _tiles(page, data)
    page.text(data.sentence())
    for note in demo.notes:
        page.text(note, note=True)
    _flights(page, data, plan)
    _training(page, data)
    _collection(page, data, plan)
    _method(page, data)
    return page.write(demo.folder / "report.html", "--output")


def _tiles(page: Page, data: DemoData) -> None:
    expert = summary([run.facts for runs in data.collected.values() for run in runs])
    flown = summary([run.facts for run in data.flown])
    part, scores = list(data.scores.items())[-1] if data.scores else ("val", data.metrics[-1]["val"])
    ratios = [step for step in data.demo.steps if step.ratio is not None]
    pace = sum(s.simulated for s in ratios) / sum(s.watched for s in ratios) if ratios else None
    page.tiles(
        [
            (f"{flown['successes']} of {flown['counted']}", "whole laps by the network"),
            (_number(flown["laps"], 2), "laps per flight of the network, mean"),
            (
                f"{100 * scores['accuracy']:.1f} %",
                f"accuracy on the {'test' if part == 'test' else 'validation'} run; always "
                f"{data.classes[data.majority]}: {100 * scores['majority_accuracy']:.1f} %",
            ),
            (f"{expert['successes']} of {expert['counted']}", "whole laps by the expert, recorded"),
            (f"{expert['frames']:,}", "frames recorded"),
            (f"{_number(pace, 1)} x", "real time, all flights"),
            (f"{sum(s.wall for s in data.demo.steps) / 60:.0f} min", "for all steps"),
        ]
    )


def _number(value: Optional[float], digits: int) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def _flights(page: Page, data: DemoData, plan: Any) -> None:
    page.head("The network flies")
    page.text(
        "Each flight starts at another place along the route, drawn from the seed. Only the network steers; "
        "its height is kept automatically. The expert also computes a command for every frame, which is not "
        "executed. Imitation loss is the mean squared difference of their turns, (rad/s)²."
    )
    page.table(data.flights_table(), "flights", "The flights; the last row summarises them.")
    paths = [floorplan.FlownPath.of_run(run) for run in data.flown]
    page.figure(
        floorplan.flights_figure(plan, paths),
        "flight_paths",
        floorplan.paths_csv(paths),
        "Flown paths seen from above. Numbered rings: where a flight starts; crosses: where it ends early; "
        "grey dashes: the route. Brown: doors, pink: posters, blue: window panels, ochre: radiators.",
    )
    ends = [run for run in data.flown if run.outcome != "success"]
    for run in ends:
        picked = flights.last_indices(run, 6, 3.0)
        pictures = [
            images.frame_picture(run, i, f"{(run.frames.stamp[i] - run.frames.stamp[-1]) / 1e9:+.1f} s")
            for i in picked
        ]
        page.figure(
            images.contact_sheet(pictures, 3),
            f"last_images_{run.name}",
            _frames_csv([(run, i) for i in picked]),
            f"The last seconds of {run.name}, which ended as {run.outcome} ({run.facts.get('reason', '')}). "
            "Green: the expert's command, orange: the executed one; an arrow leans 45° at 1 rad/s.",
        )
    titles = [
        f"{run.name}: last {min(30, run.frames.stamp[-1] / 1e9):.0f} s ({run.outcome})" for run in data.flown
    ]
    page.figure(
        flights.turns_figure(data.flown, "learner", 30, titles, last=True),
        "flight_turns",
        flights.turns_csv(data.flown, 30, last=True),
        "The network's turns and those that the expert would have made in its place; shaded where their "
        "classes differ.",
    )


def _training(page: Page, data: DemoData) -> None:
    page.head("What it learned")
    last = data.metrics[-1]
    page.text(
        f"{data.network} was trained for {last['updates']} gradient steps. The majority baseline is the "
        f"accuracy of answering `{data.classes[data.majority]}` always: accuracy means little without it. "
        "Recall is the share of a class's frames that the network got right; balanced accuracy is the mean "
        "of the recalls. The last row compares the two in the network's own flights."
    )
    page.table(data.training_table(), "scores", "Answers to frames with known labels.")
    if len(data.metrics) > 1:
        page.figure(
            curves.curves_figure(data.metrics),
            "learning_curves",
            curves.curves_csv(data.metrics),
            "Learning curves. Training values are of each batch just before its gradient step, averaged over "
            "an episode of up to 100 steps (with `--normalized_output` the classes are balanced there); "
            "validation is over the whole validation run as it was flown.",
        )
    matrices = {
        {"val": "validation run", "test": "test run"}[part]: scores["confusion"]
        for part, scores in data.scores.items()
        if "confusion" in scores
    }
    if data.in_flight:
        matrices["its own flights"] = data.in_flight["confusion"]
    if matrices:
        page.figure(
            curves.confusion_figure(matrices, data.classes),
            "confusion",
            curves.confusion_csv(matrices, data.classes),
            "Which class was taken for which: frames, and their share of the row.",
        )


def _collection(page: Page, data: DemoData, plan: Any) -> None:
    page.head("Training data")
    kinds = "; ".join(
        f"`{name}`: {purpose} ({len(data.collected[name])} runs)"
        for name, purpose in data.demo.collections.items()
    )
    page.text(
        f"The expert flew {sum(map(len, data.collected.values()))} runs: {kinds}. Noise moves the robot, "
        "never the label, which is always the expert's command in that frame. So the recordings contain "
        "recoveries that an undisturbed expert never shows."
    )
    page.table(data.collection_table(), "collection", "The expert's runs.")
    page.table(
        labels_table(data.labels, data.space),
        "labels",
        "The cleaned dataset, split by whole runs; shares of the expert's turns by class.",
    )
    paths = [
        floorplan.FlownPath(run.name, f"{name}: {run.name}", floorplan.FlownPath.of_run(run).xy, run.outcome)
        for name, runs in data.collected.items()
        for run in runs
    ]
    page.figure(
        floorplan.flights_figure(plan, paths),
        "collection_paths",
        floorplan.paths_csv(paths),
        "The expert's paths.",
    )
    pictures, shown = [], []
    everything = [run for runs in data.collected.values() for run in runs]
    for run in (everything[0], everything[-1]):
        for i in images.sample_indices(run, 6):
            pictures.append(images.frame_picture(run, i))
            shown.append((run, i))
    page.figure(
        images.contact_sheet(pictures, 3),
        "samples",
        _frames_csv(shown),
        "Recorded camera images with the expert's command (green, the label) and the executed one (orange, "
        "with noise where there was any).",
    )
    noisy = everything[-1]
    page.figure(
        flights.turns_figure([noisy], "applied", 40, [f"{noisy.name}, from the middle of the run"]),
        "executed_turns",
        flights.turns_csv([noisy], 40),
        "The label and what was executed, over forty seconds of a run with noise.",
    )


def _method(page: Page, data: DemoData) -> None:
    page.head("Commands")
    page.text(
        "The demo ran these commands in this order, in the package's folder in a shell with "
        "`source env.sh`. The simulation is in lock-step: simulated time waits for every answer, so that a "
        "flight does not depend on how fast the machine is; a slow one only takes longer."
    )
    page.commands([step.command for step in data.demo.steps])
    page.table(
        data.speed_table(),
        "speed",
        "Wall times include the start of ROS and Gazebo; frames per second and the ratio of simulated to "
        "wall time are measured while flying, from the supervisor's heartbeat.",
    )
    page.head("On what")
    columns = (Column("what", "what"), Column("value", "value", wraps=True))
    rows = [{"what": name, "value": value} for name, value in environment()]
    page.table(Table(columns, rows), "environment", "Versions and machine.")


def _frames_csv(frames: Sequence[Tuple[Run, int]]) -> str:
    """The shown frames as CSV: run, frame, seconds, commands, progress, file."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["run", "frame", "seconds", "expert_yaw", "applied_yaw", "progress", "file"])
    for run, i in frames:
        frame = run.frames.frame(i)
        writer.writerow(
            [
                run.name,
                i,
                f"{frame.stamp / 1e9:.1f}",
                f"{frame.expert.yaw:.4f}",
                f"{frame.applied.yaw:.4f}",
                f"{frame.progress:.2f}",
                run.frames.rgb[i],
            ]
        )
    return out.getvalue()
