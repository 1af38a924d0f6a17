"""The report of a study: commands, results and cells, as Markdown, HTML and PDF.

The report is computed from the log folders, in the order of the study. Two reports on the same results differ
only in their times.
"""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

from nav_pkg.core import DataError, NavError
from nav_pkg.reading import read_text
from nav_pkg.report.document import Block, Commands, Data, Document, Head, Link, Text
from nav_pkg.report.tables import Column, Table
from nav_pkg.studies.cell_logs import DONE
from nav_pkg.studies.collection import fill_collection
from nav_pkg.studies.details import fill_details
from nav_pkg.studies.flights import fill_flights
from nav_pkg.studies.runner import StudyFolder
from nav_pkg.studies.status import counts_text
from nav_pkg.studies.study import Cell, Study, in_order
from nav_pkg.studies.trainings import Trainings

FILL: Dict[str, Callable[[StudyFolder, Document], None]] = {
    "main.py": lambda folder, document: Trainings(folder).fill(document),
    "evaluate.py": fill_flights,
    "run_script.py": fill_collection,
    "network_details.py": fill_details,
}
"""By command, the function that adds its results to the report."""


def report(folder: StudyFolder) -> Document:
    """Make the report of a study at a scale.

    Raises:
        DataError: no cell is done.
    """
    study = folder.study
    if not any(folder.state(cell).state == DONE for cell in folder.cells):
        raise DataError(f"{folder.folder}: no cell is done: study.py run {study.name} --scale {folder.scale}")
    document = Document(study.title, study.question)
    command = f"python scripts/study.py run {study.name} --scale {folder.scale}"
    document.add(
        Commands([command, command.replace(" run ", " report ")]),
        Text(counts_text(folder, folder.states()) + "."),
    )
    used = [seconds for seconds in map(folder.used, folder.cells) if seconds is not None]
    if used:
        hours = f"{sum(used) / 3600:.2f} core hours"
        document.add(Text(f"Time of {len(used)} cells: {hours}, without commands that were killed."))
    differing = differences(folder)
    if differing:
        document.add(Text("Differs from the full study: " + "; ".join(differing) + "."))
    FILL[study.command](folder, document)
    if study.notes:
        document.add(Head("Remarks"), *map(Text, study.notes.strip().split("\n\n")))
    if study.published:
        document.add(Head("What the published page says"), *map(Text, study.published.strip().split("\n\n")))
    document.add(Head("Cells"), Data(cells(folder), "cells", f"Log folders lie below {folder.tag}/cells."))
    return document


def differences(folder: StudyFolder) -> List[str]:
    """The differences of this scale from the full study, as text."""
    study = folder.study
    if folder.scale == "full" or "full" not in study.scales or study.checkpoints:
        return []
    full = study.cells("full")
    lines = []
    for axis in study.grid:
        run_labels, full_labels = (
            {cell.choices[axis]: None for cell in each} for each in (folder.cells, full)
        )
        for text, labels in (
            ("left out", [label for label in full_labels if label not in run_labels]),
            ("added", [label for label in run_labels if label not in full_labels]),
        ):
            if labels:
                lines.append(f"{axis}: {', '.join(labels)} {text}")
    seeds, others = ([*dict.fromkeys(cell.seed for cell in each)] for each in (folder.cells, full))
    if seeds != others:
        lines.append(f"seeds {', '.join(map(str, seeds))} instead of {', '.join(map(str, others))}")
    of_choices = {tuple(cell.choices.items()): cell.flags for cell in full}
    usual = full[0].flags
    changed: Dict[str, Dict[str, List[Cell]]] = {}
    for cell in folder.cells:
        flags = of_choices.get(tuple(cell.choices.items()), usual)
        for key in dict.fromkeys([*cell.flags, *flags]):
            now, before = cell.flags.get(key, "unset"), flags.get(key, "unset")
            if now != before and key not in ("random_seed", *_chosen(study)):
                how = f"{now} instead of {before}"
                changed.setdefault(key, {}).setdefault(how, []).append(cell)
    for key, ways in changed.items():
        parts = [
            how if len(cells) == len(folder.cells) else f"{how} ({_subset_text(cells, folder.cells)})"
            for how, cells in ways.items()
        ]
        lines.append(f"`{key}` {', '.join(parts)}")
    return lines


def _chosen(study: Study) -> List[str]:
    """The flags that the grid varies; the lines about its axes cover them."""
    return [key for choices in study.grid.values() for flags in choices.values() for key in flags]


def _subset_text(some: Sequence[Cell], cells: Sequence[Cell]) -> str:
    """Describe a subset of the cells: by labels along one axis if these suffice, else by all choices."""
    groups = {cell.group for cell in some}
    for axis in some[0].choices:
        labels = dict.fromkeys(cell.choices[axis] for cell in some)
        if {cell.group for cell in cells if cell.choices[axis] in labels} == groups:
            return ", ".join(labels)
    return "; ".join(dict.fromkeys(cell.group for cell in some))


def cells(folder: StudyFolder) -> Table:
    """One row per cell: log folder, choices, seed and state."""
    rows: List[Dict[str, Any]] = []
    home = os.path.expanduser("~/")
    for cell in folder.cells:
        state = folder.state(cell)
        used = folder.used(cell)
        error = state.error.replace(home, "~/") if home != "/" else state.error  # pages are published
        row = {"cell": cell.digest, "seed": cell.seed, "state": state.state, "error": error or None}
        row["hours"] = used / 3600 if used is not None else None
        rows.append({**row, **cell.choices})
    axes = dict.fromkeys(axis for cell in folder.cells for axis in cell.choices)
    columns = [Column("cell", "log folder"), *(Column(axis, axis) for axis in axes)]
    columns += [Column("seed", "seed"), Column("state", "state"), Column("hours", "core hours", 3)]
    if any(row["error"] for row in rows):
        columns.append(Column("error", "last error line", wraps=True))
    return Table(columns, rows)


def write_index(names: Sequence[str], output: Path) -> Path:
    """Write `index.md`, `index.html` and `index.pdf`: question, progress and answer of each page in a folder.

    The pages themselves are the source, so the index also covers studies whose logs are on another machine.

    Args:
        names: the studies, in the order of the index.
        output: the folder with their pages `<name>.md`.

    Raises:
        DataError: a page cannot be read, or the index cannot be written.
    """
    document = Document(
        "Reproduced results", "Each section of the published page, run again, and what it showed."
    )
    for name in names:
        document.add(*_summary_of_page(read_text(output / f"{name}.md")))
        document.add(Link("Tables, curves and cells", f"{name}.md", f"{name}.html"))
    return document.write(output, "index")


def _summary_of_page(page: str) -> List[Block]:
    """Title, question, progress and answer of a page in Markdown."""
    lines = [line for line in page.split("\n") if line] + ["", ""]
    begin = lines.index("## Answer") + 1 if "## Answer" in lines else len(lines)
    answer = list(itertools.takewhile(lambda line: not line.startswith("## "), lines[begin:]))
    progress = next((line for line in lines if line.startswith("studies/")), "")
    return [
        Head(lines[0].lstrip("# ")),
        Text(" ".join(itertools.takewhile(lambda line: not line.startswith("```"), lines[1:]))),
        *(Text(line[2:] if line.startswith("- ") else line, line.startswith("- ")) for line in answer),
        Text(progress),
    ]


def write_reports(folders: Sequence[StudyFolder], alone: bool, output: Path) -> int:
    """Write the reports and the index of all reports in the folder; print the paths.

    Args:
        folders: the studies.
        alone: the user requested a single study: raise its error.
        output: folder for the reports.

    Returns:
        The exit code: 0, or that of the last study whose report failed.

    Raises:
        NavError: with `alone`, the report of the study failed.
    """
    code = 0
    for folder in folders:
        try:
            print(report(folder).write(output, folder.study.name))
        except NavError as error:
            if alone:
                raise
            print(f"error: {folder.study.name}: {error}", file=sys.stderr)
            code = error.code
    names = dict.fromkeys([*in_order(), *(folder.study.name for folder in folders)])
    pages = [name for name in names if (output / f"{name}.md").is_file()]
    if len(pages) > 1:
        print(write_index(pages, output))
    return code
