"""The log folders of a study's cells, and the states that follow from them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence

from nav_pkg.core import MISSING_WEIGHTS, DataError
from nav_pkg.data import files
from nav_pkg.fields import an_object, number, one_of, table, whole
from nav_pkg.reading import read_json
from nav_pkg.schemas import LINE
from nav_pkg.studies.commands import COMMANDS
from nav_pkg.studies.study import FIELDS_OF_FLAGS, Cell

DONE, RUNNING, FAILED, LEFT = "done", "running", "failed", "left"
UNAVAILABLE = "weights not available here"
"""State of a cell whose ImageNet weights are not on this machine; the next run tries it again."""
STUDY_FILE = "study.json"
TAIL = 100_000
"""Bytes at the end of a command's output that are searched for its last error line."""
_CELL = {
    "choices": table(LINE).required,
    "seed": whole(),
    "command": one_of(COMMANDS).required,
    "flags": an_object(FIELDS_OF_FLAGS).required,
}
STUDY = {"cells": table(an_object(_CELL)).required}
"""Fields of study.json."""
_USED = {"core_seconds": number(0, 1e12).required}


@dataclass(frozen=True)
class CellState:
    """The state of a cell.

    Attributes:
        state: done, running, failed, left, or "weights not available here".
        progress: the progress as text.
        error: if the cell failed, the last error line and the exit code.
    """

    state: str
    progress: str = ""
    error: str = ""


class CellLogs:
    """The log folders of a study's cells.

    Args:
        folder: folder of the study at a scale.
        tag: its path below the folder of all logs.
        cells: the cells.
    """

    def __init__(self, folder: Path, tag: str, cells: Sequence[Cell] = ()):
        self.folder, self.tag, self.cells = folder, tag, list(cells)

    def log(self, cell: Cell) -> Path:
        """The log folder of a cell."""
        return self.folder / "cells" / cell.digest

    def output(self, cell: Cell) -> Path:
        """The file for the output of a cell's command."""
        return self.folder / "out" / f"{cell.digest}.txt"

    def _failed(self, cell: Cell) -> Path:
        return self.folder / "failed" / f"{cell.digest}.json"

    def state(self, cell: Cell) -> CellState:
        """The state of a cell; a cell whose files cannot be read is failed."""
        try:
            return self._state(cell)
        except (DataError, OSError) as error:
            return CellState(FAILED, "", str(error))

    def states(self) -> List[CellState]:
        """The states of all cells, in order."""
        return [self.state(cell) for cell in self.cells]

    def _state(self, cell: Cell) -> CellState:
        log, command = self.log(cell), COMMANDS[cell.command]
        if log.is_symlink():
            raise DataError(f"{log}: is a link, not a log folder")
        if command.done(log, cell.flags):
            return CellState(DONE, command.progress(log))
        if files.is_locked(log):
            return CellState(RUNNING, command.progress(log))
        if self._failed(cell).exists():
            failure = read_json(self._failed(cell))
            error = f"{failure.get('error')} ({failure.get('code')})"
            state = UNAVAILABLE if MISSING_WEIGHTS in error else FAILED
            return CellState(state, command.progress(log), error)
        return CellState(LEFT, command.progress(log))

    def note_failure(self, cell: Cell, code: int) -> str:
        """Record the failure of a cell's command.

        Returns:
            Its last error line.
        """
        with open(self.output(cell), "rb") as output:
            output.seek(max(0, output.seek(0, os.SEEK_END) - TAIL))
            text = output.read().decode("utf-8", "replace")
        lines = text.strip().splitlines() or [f"exit code {code}"]
        error = next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1])
        files.atomic_write(self._failed(cell), files.to_json({"code": code, "error": error}), "--summary_dir")
        return error

    def add_used(self, cell: Cell, seconds: float) -> None:
        """Add core seconds to the processor time of a cell's commands."""
        total = (self.used(cell) or 0.0) + seconds
        files.atomic_write(
            self._used(cell), files.to_json({"core_seconds": round(total, 1)}), "--summary_dir"
        )

    def used(self, cell: Cell) -> Optional[float]:
        """Processor time of a cell's commands and their child processes, core seconds; None if unknown.

        A damaged file also gives None: the value is only a remark in the report, no result depends on it.
        """
        try:
            return read_json(self._used(cell), _USED)["core_seconds"]
        except DataError:
            return None

    def _used(self, cell: Cell) -> Path:
        return self.folder / "used" / f"{cell.digest}.json"

    def forget_failure(self, cell: Cell) -> None:
        """Delete the record of a cell's failure, before the cell is tried again."""
        self._failed(cell).unlink(missing_ok=True)


def recorded(folder: Path, tag: str) -> CellLogs:
    """The cells of the last run of a study, even if its definition has changed.

    Args:
        folder: folder of the study at a scale.
        tag: its path below the folder of all logs.

    Raises:
        DataError: its study.json cannot be read.
    """
    return CellLogs(folder, tag, recorded_cells(folder))


def recorded_cells(folder: Path) -> List[Cell]:
    """The cells in the study.json of a folder.

    Raises:
        DataError: it cannot be read.
    """
    cells = read_json(folder / STUDY_FILE, STUDY)["cells"].values()
    return [Cell(each["choices"], each.get("seed"), each["flags"], each["command"]) for each in cells]
