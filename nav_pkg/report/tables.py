"""Tables: rows of plain values that can be printed as text, put on a page and saved as CSV."""

from __future__ import annotations

import csv
import html
import io
import math
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from nav_pkg.flight.metrics import summary
from nav_pkg.learn.action import ActionSpace
from nav_pkg.report.style import outcome_colour

UNKNOWN = "–"
"""Text for an unknown value."""


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: of the rows' values.
        title: its heading, with the unit.
        digits: decimals of numbers; None for text and whole numbers.
        percent: the numbers are shares, shown in percent.
        shown_in: shown in `text` (a terminal) or on a `page`; the CSV has all columns.
        wraps: sentences, which may wrap.
    """

    key: str
    title: str
    digits: Optional[int] = None
    percent: bool = False
    shown_in: Tuple[str, ...] = ("text", "page")
    wraps: bool = False

    def show(self, value: Any) -> str:
        """Format a value as text; a dash if it is unknown."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return UNKNOWN
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return str(value)
        if self.percent:
            return f"{100 * value:.{self.digits or 0}f} %"
        return str(value) if self.digits is None else f"{value:.{self.digits}f}"

    @property
    def numeric(self) -> bool:
        """Whether the column is right-aligned."""
        return self.digits is not None


@dataclass
class Table:
    """A table.

    Attributes:
        columns: in order.
        rows: values by column key; a missing one is shown as a dash.
        total: a last row that summarises the others; None for none.
    """

    columns: Sequence[Column]
    rows: List[Dict[str, Any]]
    total: Optional[Dict[str, Any]] = field(default=None)

    def _rows_and_total(self) -> List[Dict[str, Any]]:
        return self.rows + ([self.total] if self.total else [])

    def _shown(self, shown_in: str) -> List[Column]:
        return [c for c in self.columns if shown_in in c.shown_in]

    def text(self) -> str:
        """The table for a terminal: aligned columns, a rule below the heading and above the total."""
        columns = self._shown("text")
        lines = [[c.title for c in columns]]
        lines += [[c.show(row.get(c.key)) for c in columns] for row in self._rows_and_total()]
        widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
        out = [
            "  ".join(
                cell.rjust(width) if c.numeric else cell.ljust(width)
                for cell, width, c in zip(line, widths, columns)
            ).rstrip()
            for line in lines
        ]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        out.insert(1, rule)
        if self.total:
            out.insert(len(out) - 1, rule)
        return "\n".join(out)

    def html(self) -> str:
        """The table for a page: an element that scrolls sideways if it is wider than the screen."""
        head = "".join(f"<th{_side(c)}>{html.escape(c.title)}</th>" for c in self._shown("page"))
        body = "".join(self._row(row) for row in self.rows)
        foot = f"<tfoot>{self._row(self.total)}</tfoot>" if self.total else ""
        inner = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>{foot}"
        return f'<div class="wide"><table>{inner}</table></div>'

    def _row(self, row: Mapping[str, Any]) -> str:
        cells = []
        for column in self._shown("page"):
            text = html.escape(column.show(row.get(column.key)))
            if column.key == "outcome" and row.get("outcome") and row is not self.total:
                text = f'<span class="dot" style="background:{outcome_colour(text)}"></span>{text}'
            cells.append(f"<td{_side(column)}>{text}</td>")
        return f"<tr>{''.join(cells)}</tr>"

    def markdown(self) -> str:
        """The table as Markdown, with the columns of `text`."""
        columns = self._shown("text")
        lines = [[column.title for column in columns], [_rule(column) for column in columns]]
        lines += [
            [_cell(column.show(row.get(column.key))) for column in columns] for row in self._rows_and_total()
        ]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def latex(self) -> str:
        """The table as a LaTeX tabular (package booktabs), with the columns of `text`."""
        columns = self._shown("text")
        rows = [
            [_latex(column.show(row.get(column.key))) for column in columns] for row in self._rows_and_total()
        ]
        head = " & ".join(_latex(column.title) for column in columns)
        lines = [f"{' & '.join(row)} \\\\" for row in rows]
        sides = "".join("r" if column.numeric else "l" for column in columns)
        begin = [f"\\begin{{tabular}}{{{sides}}}", "\\toprule", f"{head} \\\\", "\\midrule"]
        return "\n".join([*begin, *lines, "\\bottomrule", "\\end{tabular}"])

    def csv(self) -> str:
        """All columns as CSV with unrounded values, by key; empty for unknown values."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([c.key for c in self.columns])
        for row in self._rows_and_total():
            writer.writerow(["" if row.get(c.key) is None else row[c.key] for c in self.columns])
        return out.getvalue()


def _rule(column: Column) -> str:
    return "--:" if column.numeric else "---"


def _cell(text: str) -> str:
    """Escape text for a cell of a Markdown table."""
    return html.escape(text, quote=False).replace("|", "\\|").replace("\n", " ")


_LATEX = {character: f"\\{character}" for character in "&%$#_{}"}
_LATEX.update({"~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "\\": "\\textbackslash{}"})
_LATEX.update({"<": "\\textless{}", ">": "\\textgreater{}", "±": "$\\pm$", UNKNOWN: "--"})


def _latex(text: str) -> str:
    """Escape text for a LaTeX table."""
    return "".join(_LATEX.get(character, character) for character in text)


def _side(column: Column) -> str:
    return ' class="n"' if column.numeric else ' class="p"' if column.wraps else ""


RUN_COLUMNS = (
    Column("name", "run"),
    Column("outcome", "outcome"),
    Column("progress", "progress [m]", 1),
    Column("laps", "laps", 2),
    Column("distance", "distance [m]", 1),
    Column("duration", "duration [s]", 1),
    Column("mean_speed", "speed [m/s]", 2),
    Column("nearest", "nearest [m]", 2),
    Column("imitation_loss", "imitation loss", 3),
    Column("reason", "why it ended", shown_in=()),
)
"""Columns of a run's description; the imitation loss is in (rad/s)^2, per frame."""


def runs_table(runs: Sequence[Mapping[str, Any]]) -> Table:
    """Make one row per run from its description (`Flight.facts`); the last row summarises all runs.

    Means are over the runs that count (neither aborted nor failed by the simulator). The nearest obstacle is
    the minimum over these runs, the imitation loss the mean over frames.
    """
    rows = [{c.key: run.get(c.key) for c in RUN_COLUMNS} for run in runs]
    for row, run in zip(rows, runs):
        row["name"] = run.get("name") or f"{run.get('run', '')}"
    total = None
    if runs:
        measured = summary(runs)
        total = {c.key: measured.get(c.key) for c in RUN_COLUMNS}
        total["name"] = f"all {measured['counted']}"
        total["outcome"] = f"{measured['successes']} of {measured['counted']} success"
        total["reason"] = rate_text(measured)
    return Table(RUN_COLUMNS, rows, total)


def rate_text(measured: Mapping[str, Any]) -> str:
    """Format a summary's success rate: `success rate 67 % (95 % interval 21 to 94 %)`."""
    if not measured["counted"]:
        return "no run counts"
    return (
        f"success rate {100 * measured['success_rate']:.0f} % "
        f"(95 % interval {100 * measured['success_low']:.0f} to {100 * measured['success_high']:.0f} %)"
    )


def scores_table(scores: Mapping[str, Mapping[str, Any]], classes: Sequence[str]) -> Table:
    """Make one row per part of the dataset (or per set of flights): a network's scores on labelled frames.

    Args:
        scores: row name -> scores, from `nav_pkg.learn.methods.metrics.scores`.
        classes: names of the classes, in the order of `recall`.
    """
    columns: Tuple[Column, ...] = (
        Column("part", "frames of"),
        Column("frames", "frames", 0),
        Column("accuracy", "accuracy", 1, percent=True),
        Column("majority_accuracy", "majority baseline", 1, percent=True),
        Column("balanced_accuracy", "balanced accuracy", 1, percent=True),
        *(Column(f"recall_{name}", f"recall {name}", 1, percent=True) for name in classes),
        Column("imitation_loss", "imitation loss", 3),
        Column("loss", "loss", 3, shown_in=("page",)),
    )
    rows = []
    for part, values in scores.items():
        recall = {f"recall_{name}": value for name, value in zip(classes, values.get("recall", []))}
        rows.append({"part": part, **values, **recall})
    return Table(columns, rows)


def labels_table(parts: Mapping[str, Sequence[np.ndarray]], space: ActionSpace) -> Table:
    """Make one row per part with the share of each class among its labels.

    Args:
        parts: name -> the expert's yaw rates of each run, float (frames,), rad/s.
        space: defines the classes.
    """
    names = space.class_names()
    columns = (
        Column("part", "part"),
        Column("runs", "runs", 0),
        Column("frames", "frames", 0),
        *(Column(name, name, 1, percent=True) for name in names),
    )
    rows = []
    for part, runs in parts.items():
        yaw = np.concatenate(list(runs)) if len(runs) else np.empty(0)
        counts = np.bincount(space.classes(yaw), minlength=space.quantity) if len(yaw) else [0] * len(names)
        shares = {name: int(n) / len(yaw) if len(yaw) else None for name, n in zip(names, counts)}
        rows.append({"part": part, "runs": len(runs), "frames": len(yaw), **shares})
    return Table(columns, rows)
