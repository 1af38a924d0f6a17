"""The report of a study of trainings: scores, curves, paired comparisons."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

import numpy as np

from nav_pkg.report import combine
from nav_pkg.report.curves import read_results
from nav_pkg.report.document import Data, Document, Figure, Head, Text
from nav_pkg.report.intervals import bootstrap_mean
from nav_pkg.report.tables import Column, Table
from nav_pkg.report.trainings import Training
from nav_pkg.studies.cell_logs import DONE
from nav_pkg.studies.runner import StudyFolder, slug
from nav_pkg.studies.study import Cell, Study

TAG = "Loss_val_accuracy"
SHOWN = ("val_accuracy", "val_balanced_accuracy", "test_accuracy", "test_imitation_loss")
COMPARED = ("val_accuracy", "val_balanced_accuracy", "test_accuracy")
MOST_BEST = 9
"""Most curves in the figure of all choices at their best labels of the tuned axes."""
MOST_CURVES = 8
"""Most groups in one figure; if there are more, each choice along the first axis gets its own figure."""


@dataclass(frozen=True)
class Comparison:
    """A comparison of a choice with the first choice of its axis, at one setting of the other axes.

    Attributes:
        axis: the axis.
        label: the choice.
        first: the first choice.
        setting: the choices along the other axes, as text.
        tuned: the best labels of the choice along the tuned axes, as text.
        pairs: by seed, the training of the choice and the training of the first choice.
    """

    axis: str
    label: str
    first: str
    setting: str
    tuned: str
    pairs: Dict[Any, Tuple[Training, Training]]

    def differences(self, metric: str) -> Dict[Any, float]:
        """By seed, the score of the choice minus the score of the first choice, where both are known."""
        values = {seed: [training.metric(metric) for training in pair] for seed, pair in self.pairs.items()}
        return {
            seed: score - first_score
            for seed, (score, first_score) in values.items()
            if None not in (score, first_score)
        }


def _points(seeds: Dict[Any, List[float]]) -> Tuple[str, str]:
    """The mean over seeds in percentage points, and its interval as ` (low to high)`; "" for one seed.

    The seed is the unit of resampling: the differences of a seed are averaged first.
    """
    mean, low, high, count = bootstrap_mean([float(np.mean(each)) for each in seeds.values()])
    return f"{100 * mean:+.1f}", "" if count == 1 else f" ({100 * low:+.1f} to {100 * high:+.1f})"


def _settings(members: Sequence[Comparison], metric: str) -> str:
    """A text such as ` better in 2 of 3 settings`; empty for one setting."""
    if len(members) == 1:
        return ""
    signs = [np.mean(list(each.differences(metric).values() or [0])) > 0 for each in members]
    return f" better in {sum(signs)} of {len(members)} settings"


def _after(members: Sequence[Comparison]) -> str:
    """A text such as ` after 1,000 gradient steps`; empty if the trainings differ in their number."""
    steps = {
        training.metric("updates") for each in members for pair in each.pairs.values() for training in pair
    }
    return f" after {steps.pop():,.0f} gradient steps" if len(steps) == 1 and None not in steps else ""


class Trainings:
    """The results of a study of trainings so far.

    Args:
        folder: the folder of the study.
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
        """The cells grouped by their choices; cells of a group differ only in their seed."""
        groups: Dict[str, List[Tuple[Cell, Optional[Training]]]] = {}
        for cell, training in self.cells:
            groups.setdefault(cell.group or self.study.name, []).append((cell, training))
        return groups

    def table(self) -> Table:
        """One row per group: choices, seeds, gradient steps, scores (mean and deviation over seeds)."""
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

    @functools.cached_property
    def comparisons(self) -> List[Comparison]:
        """Compare each choice along an axis with the first one, in each setting of the other axes.

        Along the study's `tuned` axes each choice uses its best label, by mean validation accuracy.
        """
        comparisons = []
        for axis, choices in self.study.grid.items():
            used = {cell.choices[axis] for cell, _ in self.cells}
            labels = [label for label in choices if label in used]
            first = self._best(axis, labels[0])
            for label in labels[1:]:
                for setting, (tuned, trainings) in self._best(axis, label).items():
                    against = first.get(setting, ("", {}))[1]
                    seeds = [seed for seed in trainings if seed in against]
                    if seeds:
                        pairs = {seed: (trainings[seed], against[seed]) for seed in seeds}
                        comparisons.append(Comparison(axis, label, labels[0], setting, tuned, pairs))
        return comparisons

    def _best(self, axis: str, label: str) -> Dict[str, Tuple[str, Dict[Any, Training]]]:
        """By setting, the best labels of a choice along the tuned axes, and its trainings there by seed."""
        tuned = [name for name in self.study.tuned if axis not in self.study.tuned]
        groups: Dict[Tuple[str, str], Dict[Any, Training]] = {}
        for cell, training in self.cells:
            if cell.choices[axis] == label and training:
                rest = {name: choice for name, choice in cell.choices.items() if name != axis}
                best = ", ".join(rest.pop(name) for name in tuned)
                groups.setdefault((", ".join(rest.values()), best), {})[cell.seed] = training

        def accuracy(trainings: Dict[Any, Training]) -> float:
            return float(np.mean([training.metric(SHOWN[0]) or 0.0 for training in trainings.values()]))

        best_trainings: Dict[str, Tuple[str, Dict[Any, Training]]] = {}
        for (setting, best), trainings in groups.items():
            if setting not in best_trainings or accuracy(trainings) > accuracy(best_trainings[setting][1]):
                best_trainings[setting] = (best, trainings)
        return best_trainings

    def conclusions(self) -> Dict[str, List[str]]:
        """Average the comparisons of each choice over settings, with the seed as the unit.

        Returns:
            One line per choice, grouped by a heading line that names the comparison; choices without scores
            are left out.
        """
        compared: Dict[Tuple[str, str], List[Comparison]] = {}
        for each in self.comparisons:
            compared.setdefault((each.axis, each.label), []).append(each)
        lines: Dict[str, List[str]] = {}
        for members in compared.values():
            scores, counts = [], set()
            for metric in COMPARED:
                seeds: Dict[Any, List[float]] = {}
                for each in members:
                    for seed, value in each.differences(metric).items():
                        seeds.setdefault(seed, []).append(value)
                if seeds:
                    points, interval = _points(seeds)
                    counts.add(len(seeds))
                    better = _settings(members, metric)
                    scores.append(f"{metric.replace('_', ' ')} {points}{interval}{better}")
            if scores:
                line = f"`{members[0].label}`: {', '.join(scores)}"
                lines.setdefault(self._compared(members, counts), []).append(line)
        return lines

    def _compared(self, members: Sequence[Comparison], counts: Set[int]) -> str:
        """The heading line of an axis: what is compared, and how."""
        axis, first = members[0].axis, members[0].first
        tuned = " and ".join(name for name in self.study.tuned if axis not in self.study.tuned)
        best = f", each at its best {tuned}" if tuned else ""
        over = " to ".join(map(str, sorted(counts))) + " seeds"
        how = "one seed, so no intervals" if counts == {1} else f"mean and 95 % interval over {over}"
        return f"{axis}, against `{first}`{best}{_after(members)}, in points ({how}):"

    def collapsed(self) -> List[Tuple[str, int, int]]:
        """Groups with trainings that answer all validation frames with one class: name, how many, of all."""
        collapsed = []
        for name, members in self.groups().items():
            recalls = [
                (training.results.get("val") or {}).get("recall") for _, training in members if training
            ]
            count = sum(1 for recall in recalls if recall and len([each for each in recall if each]) == 1)
            if count:
                collapsed.append((name, count, len(members)))
        return collapsed

    def comparison_table(self) -> Table:
        """One row per comparison: choice, setting, best labels of tuned axes, differences to the first."""
        rows = []
        for each in self.comparisons:
            row = {"axis": each.axis, "label": each.label, "first": each.first, "setting": each.setting}
            row["tuned"] = each.tuned or None
            for metric in COMPARED:
                differences = each.differences(metric)
                if differences:
                    points, interval = _points({seed: [value] for seed, value in differences.items()})
                    row[metric] = points + interval
            rows.append(row)
        columns = [Column("axis", "axis"), Column("label", "choice"), Column("first", "against")]
        columns += [Column("setting", "setting")] if any(row["setting"] for row in rows) else []
        if self.study.tuned:
            columns.append(Column("tuned", f"best {' and '.join(self.study.tuned)}"))
        names = [Column(metric, f"{metric.replace('_', ' ')} [points]") for metric in COMPARED]
        return Table([*columns, *names], rows)

    def figures(self) -> List[Tuple[str, str, List[combine.Group]]]:
        """The figures: name, title and curves of each."""
        finished = {
            name: [(cell, training) for cell, training in members if training]
            for name, members in self.groups().items()
        }
        finished = {name: members for name, members in finished.items() if members}
        folders = {name: [training.folder for _, training in members] for name, members in finished.items()}
        cells = [members[0][0] for members in finished.values()]
        groups = list(zip(cells, combine.read_groups(folders, TAG)))
        if len(groups) <= MOST_CURVES or len(self.study.grid) < 2:
            return [(self.study.name, self.study.title, [group for _, group in groups])]
        axis = next(iter(self.study.grid))
        figures = self._best_figure(groups, axis)
        for label in dict.fromkeys(cell.choices[axis] for cell, _ in groups):
            curve_groups = [
                combine.Group(", ".join(list(cell.choices.values())[1:]), group.folders, group.curves)
                for cell, group in groups
                if cell.choices[axis] == label
            ]
            figures.append((f"{self.study.name}_{slug(label)}", f"{axis}: {label}", curve_groups))
        return figures

    def _best_figure(
        self, groups: Sequence[Tuple[Cell, combine.Group]], axis: str
    ) -> List[Tuple[str, str, List[combine.Group]]]:
        """A figure of all choices at their best labels of the tuned axes; none for too few or too many."""
        best = [
            (label, setting, tuned)
            for label in (self.study.grid[axis] if self.study.tuned and axis not in self.study.tuned else ())
            for setting, (tuned, _) in self._best(axis, label).items()
        ]
        if not 2 <= len(best) <= MOST_BEST:
            return []
        curves = []
        for cell, group in groups:
            rest = {name: choice for name, choice in cell.choices.items() if name != axis}
            tuned = ", ".join(rest.pop(name) for name in self.study.tuned)
            if (cell.choices[axis], ", ".join(rest.values()), tuned) in best:
                curves.append(combine.Group(cell.group, group.folders, group.curves))
        title = f"{self.study.title}: each at its best {' and '.join(self.study.tuned)}"
        return [(f"{self.study.name}_best", title, curves)]

    def fill(self, document: Document) -> None:
        """Add the results of the trainings to the report."""
        document.add(Head("Answer"))
        conclusions = self.conclusions()
        if not conclusions:
            document.add(Text("Too few cells are done to compare any."))
        for compared, lines in conclusions.items():
            document.add(Text(compared), *(Text(line, item=True) for line in lines))
        collapsed = self.collapsed()
        if collapsed:
            listed = "; ".join(f"{name} ({count} of {total} seeds)" for name, count, total in collapsed)
            document.add(
                Text(f"After their last step these answer every frame with the same class: {listed}.")
            )
        comparisons = self.comparison_table()
        if len(comparisons.rows) > len(self.study.grid) or self.study.tuned and comparisons.rows:
            caption = "Paired by seed; 95 % bootstrap intervals of the mean over seeds, none for one seed."
            document.add(Head("Comparisons"), Data(comparisons, "comparisons", caption))
        caption = "Mean and sample standard deviation over seeds."
        document.add(Head("Scores"), Data(self.table(), "scores", caption))
        document.add(Head("Curves"))
        for name, title, groups in self.figures():
            rows = [row for group in groups for row in combine.drawn_points(group)]
            caption = "Validation accuracy: mean over seeds, and a band of one standard deviation."
            figure = combine.combined_figure(rows, TAG, title)
            document.add(Figure(figure, name, combine.combined_csv(rows), caption))
