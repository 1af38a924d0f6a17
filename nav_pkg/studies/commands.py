"""The commands that cells run, with their completion test and their progress."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Mapping

from nav_pkg import schemas
from nav_pkg.core import DataError
from nav_pkg.flight.runlog import RunLog
from nav_pkg.reading import open_regular, read_json
from nav_pkg.report.curves import METRICS_FILE, RESULTS_FILE
from nav_pkg.report.evaluation import RESULT as EVALUATION_FILE

DETAILS_FILE = "details.json"
Flags = Mapping[str, Any]


@dataclass(frozen=True)
class Command:
    """A script of scripts/ that a cell can run.

    Attributes:
        done: returns whether a log folder holds the complete result, given the cell's flags.
        progress: returns the progress of a log folder as text.
        alone: the command measures time, so cells must not run in parallel.
    """

    done: Callable[[Path, Flags], bool]
    progress: Callable[[Path], str]
    alone: bool = False


def _lines(path: Path) -> int:
    try:
        with open_regular(path, follow=False) as file:
            return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))
    except (DataError, OSError):
        return 0


def _runs(folder: Path) -> int:
    return len(RunLog(folder).finished()) if (folder / "runs.jsonl").exists() else 0


def _evaluated(folder: Path, flags: Flags) -> bool:
    file = folder / EVALUATION_FILE
    if not file.exists():
        return False
    try:
        conditions = read_json(file, schemas.EVALUATION)["conditions"]
    except DataError:
        return False
    return all(len(condition["runs"]) >= int(flags.get("number_of_runs") or 3) for condition in conditions)


def _flights(folder: Path) -> str:
    return f"{sum(_runs(file.parent) for file in folder.rglob('runs.jsonl'))} flights"


COMMANDS: Dict[str, Command] = {
    "main.py": Command(
        lambda folder, flags: (folder / RESULTS_FILE).exists(),
        lambda folder: f"{_lines(folder / METRICS_FILE)} episodes",
    ),
    "evaluate.py": Command(_evaluated, _flights),
    "run_script.py": Command(
        lambda folder, flags: _runs(folder) >= int(flags.get("number_of_runs") or 1), _flights
    ),
    "network_details.py": Command(
        lambda folder, flags: (folder / DETAILS_FILE).exists(), lambda folder: "", alone=True
    ),
}
