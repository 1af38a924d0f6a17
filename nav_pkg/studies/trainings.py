"""The report of a study of trainings: scores, curves, paired comparisons."""

from __future__ import annotations

import itertools
import re
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from nav_pkg.report import combine
from nav_pkg.report.curves import read_results
from nav_pkg.report.document import Data, Document, Figure, Head, Text
from nav_pkg.report.intervals import bootstrap_mean
from nav_pkg.report.tables import Column, Table
from nav_pkg.report.trainings import Training
from nav_pkg.studies.runner import DONE, StudyFolder
from nav_pkg.studies.study import Cell, Study

TAG = "Loss_val_accuracy"
SHOWN = ("val_accuracy", "val_balanced_accuracy", "test_accuracy", "test_imitation_loss")
COMPARED = ("val_accuracy", "test_accuracy")
MOST_CURVES = 8
"""Groups in one figure; of more there is a figure for each choice along the first axis."""


class Trainings:
    """What a study has found so far.

    Args:
        folder: the study's folder.
    """

    def __init__(self, folder: StudyFolder):
        self.folder = folder
        self.study: Study = folder.study
        self.cells: List[Tuple[Cell, Optional[Training]]] = []
        for cell in folder.cells:
            training = None
            if folder.state(cell).state == DONE:
                training = Training(folder.log(cell), cell.seed, read_results(folder.log(cell)))
            self.cells.append((cell, training))

    def groups(self) -> Dict[str, List[Tuple[Cell, Optional[Training]]]]:
        """The cells that differ in their seed alone, by their choices."""
        found: Dict[str, List[Tuple[Cell, Optional[Training]]]] = {}
        for cell, training in self.cells:
            found.setdefault(cell.group or self.study.name, []).append((cell, training))
        return found

    def table(self) -> Table:
        """One row a group: its choices, seeds, gradient steps and scores (mean and deviation over seeds)."""
        rows = []
        for members in self.groups().values():
            done = [training for _, training in members if training]
            row: Dict[str, Any] = dict(members[0][0].choices)
            row.update(seeds=f"{len(done)} of {len(members)}")
            row["updates"] = max((training.metric("updates") or 0 for training in done), default=None)
            for metric in SHOWN:
                values = [
                    value for value in (training.metric(metric) for training in done) if value is not None
                ]
                row[metric] = combine.mean_std(values) if values else None
            rows.append(row)
        columns = [Column(axis, axis) for axis in self.study.grid]
        columns += [Column("seeds", "seeds"), Column("updates", "gradient steps", 0)]
        return Table(columns + [Column(metric, metric.replace("_", " ")) for metric in SHOWN], rows)

    def conclusions(self) -> List[str]:
        """How each choice along an axis differs from the first, paired by the other choices and the seed."""
        said = []
        for axis, choices in self.study.grid.items():
            present = [
                label for label in choices if any(cell.choices[axis] == label for cell, _ in self.cells)
            ]
            for label, metric in itertools.product(present[1:], COMPARED):
                differences = self.differences(axis, present[0], label, metric)
                if not differences:
                    continue
                # the seed is the unit: pairs of one seed share its weights and order
                mean, low, high, count = bootstrap_mean(
                    [float(np.mean(each)) for each in differences.values()]
                )
                pairs = sum(map(len, differences.values()))
                interval = (
                    "one seed, so no interval"
                    if count == 1
                    else f"95 % interval {100 * low:+.1f} to {100 * high:+.1f} over {count} seeds"
                )
                said.append(
                    f"{axis}: `{label}` against `{present[0]}`: {100 * mean:+.1f} points of "
                    f"{metric.replace('_', ' ')} ({interval}; {pairs} {'pair' if pairs == 1 else 'pairs'})"
                )
        return said

    def differences(self, axis: str, one: str, other: str, metric: str) -> Dict[Any, List[float]]:
        """A score of one choice minus that of another, for all else alike, by seed."""

        def key(cell: Cell) -> Tuple[Any, ...]:
            return tuple(label for name, label in cell.choices.items() if name != axis) + (cell.seed,)

        values: Dict[str, Dict[Tuple[Any, ...], float]] = {one: {}, other: {}}
        for cell, training in self.cells:
            value = training.metric(metric) if training else None
            if cell.choices[axis] in values and value is not None:
                values[cell.choices[axis]][key(cell)] = value
        found: Dict[Any, List[float]] = {}
        for pair, value in values[one].items():
            if pair in values[other]:
                found.setdefault(pair[-1], []).append(values[other][pair] - value)
        return found

    def figures(self) -> List[Tuple[str, str, List[combine.Group]]]:
        """Name, title and curves of each figure."""
        there = {
            name: [(cell, training) for cell, training in members if training]
            for name, members in self.groups().items()
        }
        there = {name: members for name, members in there.items() if members}
        folders = {name: [training.folder for _, training in members] for name, members in there.items()}
        cells = [members[0][0] for members in there.values()]
        groups = list(zip(cells, combine.read_groups(folders, TAG)))
        if len(groups) <= MOST_CURVES or len(self.study.grid) < 2:
            return [(self.study.name, self.study.title, [group for _, group in groups])]
        axis = next(iter(self.study.grid))
        made = []
        for label in dict.fromkeys(cell.choices[axis] for cell, _ in groups):
            mine = [
                combine.Group(", ".join(list(cell.choices.values())[1:]), group.folders, group.curves)
                for cell, group in groups
                if cell.choices[axis] == label
            ]
            made.append((f"{self.study.name}_{_slug(label)}", f"{axis}: {label}", mine))
        return made

    def fill(self, document: Document) -> None:
        """Add what the trainings have shown."""
        document.add(Head("Answer"))
        lines = self.conclusions() or ["Too few cells are done to compare any."]
        document.add(*(Text(line, item=True) for line in lines))
        caption = "Mean and sample standard deviation over seeds."
        document.add(Head("Scores"), Data(self.table(), "scores", caption), Head("Curves"))
        for name, title, groups in self.figures():
            rows = [row for group in groups for row in combine.drawn(group)]
            caption = "Validation accuracy: mean over seeds, and a band of one standard deviation."
            figure = combine.combined_figure(rows, TAG, title)
            document.add(Figure(figure, name, combine.combined_csv(rows), caption))


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("_.")
