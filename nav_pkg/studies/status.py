"""Progress of a study: a table of its cells, and counts."""

from __future__ import annotations

import sys
import time
from collections import Counter

from nav_pkg.report.tables import Column, Table
from nav_pkg.studies import study as studies
from nav_pkg.studies.cell_logs import DONE, FAILED, LEFT, RUNNING, UNAVAILABLE, CellLogs

STATES = (RUNNING, FAILED, LEFT, UNAVAILABLE)
"""All states of a cell except done."""
WATCHED = 2.0
"""Seconds between two polls of a study."""
COLUMNS = (
    Column("cell", "cell"),
    Column("group", "what"),
    Column("state", "state"),
    Column("progress", "progress"),
    Column("error", "last error line", wraps=True),
)


def status_table(logs: CellLogs) -> Table:
    """One row per cell: its state and progress, and the last error line of failed cells."""
    rows = []
    for cell in logs.cells:
        state = logs.state(cell)
        rows.append(
            {
                "cell": cell.digest,
                "group": cell.name or logs.tag,
                "state": state.state,
                "progress": state.progress,
                "error": state.error or None,
            }
        )
    columns = [column for column in COLUMNS if column.key != "error" or any(row["error"] for row in rows)]
    return Table(columns, rows)


def counts_text(logs: CellLogs) -> str:
    """The counts as text, e.g. `studies/tinyv2/small: 12 of 20 cells done, 2 running, 6 left`."""
    counts = Counter(logs.state(cell).state for cell in logs.cells)
    others = "".join(f", {counts[state]} {state}" for state in STATES if counts[state])
    return f"{logs.tag}: {counts[DONE]} of {len(logs.cells)} cells done{others}"


def print_status(logs: CellLogs, watch: bool) -> None:
    """Print the progress of a study; with `watch`, print each change until no cell is running."""
    before = ""
    while True:
        counts = counts_text(logs)
        text = f"{status_table(logs).text()}\n{counts}"
        if text != before:
            print("\033[H\033[J" * (watch and sys.stdout.isatty()) + text, flush=True)
        before = text
        if not watch or f" {RUNNING}" not in counts:
            return
        time.sleep(WATCHED)


def print_studies() -> None:
    """Print the studies that there are, with their numbers of cells."""
    for name in studies.in_order():
        study = studies.load(name)
        sizes = ", ".join(f"{len(study.cells(scale))} {scale}" for scale in study.scales)
        print(f"{study.name}: {study.title} (cells: {'chosen when run' if study.checkpoints else sizes})")
