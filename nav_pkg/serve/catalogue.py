"""The list of datasets and logs, from a scan of their folders.

Every request scans the folders again. Facts of a log folder are cached until its main files change. Entries
that cannot be read are listed with their error.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from nav_pkg import schemas
from nav_pkg.core import DataError
from nav_pkg.data.format import DATASET_FILE
from nav_pkg.data.reader import DEEPEST_DATASET, Dataset, find_datasets
from nav_pkg.flight.runlog import RunLog
from nav_pkg.reading import read_json
from nav_pkg.report.curves import METRICS_FILE, RESULTS_FILE, read_results
from nav_pkg.studies.cell_logs import STUDY_FILE, recorded_cells

KINDS = ("training", "session", "evaluation", "study", "dag")
MARKS = {
    "evaluation.json": "evaluation",
    "evaluation_conf.json": "evaluation",
    "study.json": "study",
    "plan.json": "dag",
    "runs.jsonl": "session",  # before the files of a training: a session that learns in flight has both
    "state.json": "session",
    METRICS_FILE: "training",
    RESULTS_FILE: "training",
}
"""File name -> kind of its log folder; the first existing file decides."""
_CELL = re.compile(r"studies/(?P<name>[^/]+/[^/]+)/cells/(?P<digest>[^/]+)")
DEEPEST = 8
"""Maximum depth of the scan below the folder of all logs."""


@dataclass(frozen=True)
class Entry:
    """An item in the folder of all logs.

    Attributes:
        kind: one of `KINDS`.
        tag: its path below the folder of all logs.
        changed: Unix time of the last change of its main file.
        summary: its values in a list, by column.
        error: the reason if it cannot be read.
        cell: if it belongs to a cell of a study: the study, its scale and the cell's choices.
    """

    kind: str
    tag: str
    changed: float
    summary: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    cell: str = ""

    @property
    def title(self) -> str:
        """Its cell of a study, else its tag."""
        return self.cell or self.tag


class Catalogue:
    """Finds datasets and logs.

    Args:
        data_root: the folder of all datasets.
        summary_dir: the folder of all logs.
    """

    def __init__(self, data_root: Path, summary_dir: Path):
        self.data_root, self.summary_dir = data_root, summary_dir
        self._known: Dict[str, Tuple[Any, Entry]] = {}
        self._studies: Dict[str, Tuple[Any, Dict[str, str]]] = {}

    def datasets(self) -> List[str]:
        """Names of all datasets, without names that a page cannot show."""
        names = [path.relative_to(self.data_root).as_posix() for path in find_datasets(self.data_root)]
        return [name for name in names if name.isprintable()]

    def dataset(self, name: str) -> Dataset:
        """Find a dataset by name.

        Raises:
            DataError: no such dataset below the data root.
        """
        path = self.data_root
        for part in _parts(name, DEEPEST_DATASET, "dataset"):
            if path != self.data_root and os.path.lexists(path / DATASET_FILE):
                raise DataError(f"{name}: no such dataset")  # a folder inside a dataset belongs to it
            path = path / part
        if not os.path.lexists(path / DATASET_FILE):
            raise DataError(f"{name}: no such dataset")
        return Dataset(path, check=False)

    def entries(self, kind: str = "") -> List[Entry]:
        """Scan the folder of all logs; the latest entry first.

        Args:
            kind: one of `KINDS`; empty for all.
        """
        entries = [
            self._entry(tag, mark)
            for tag, mark in self._walk(self.summary_dir, DEEPEST)
            if kind in ("", MARKS[mark])
        ]
        return sorted(entries, key=lambda entry: (-entry.changed, entry.tag))

    def entry(self, kind: str, tag: str) -> Entry:
        """Find an entry by kind and tag.

        Raises:
            DataError: no such entry.
        """
        missing = DataError(f"{tag}: no such {kind}")
        folder = self.summary_dir
        for part in _parts(tag, DEEPEST, kind):
            if folder != self.summary_dir and _closed(_mark(folder)):
                raise missing  # its subfolders belong to it
            folder = folder / part
            if os.path.islink(folder):
                raise missing
        mark = _mark(folder)
        if mark is None or MARKS[mark] != kind:
            raise missing
        return self._entry(tag, mark)

    def folder(self, entry: Entry) -> Path:
        """The log folder of an entry."""
        return self.summary_dir / entry.tag

    def _walk(self, folder: Path, depth: int) -> Iterator[Tuple[str, str]]:
        """Tags of log folders, each with the file that determines its kind; links are not followed."""
        try:
            with os.scandir(folder) as scan:
                entries = {entry.name: entry for entry in scan}
        except OSError:
            return
        mark = next((mark for mark in MARKS if mark in entries), None)
        if mark and folder != self.summary_dir:
            tag = folder.relative_to(self.summary_dir).as_posix()
            if tag.isprintable():  # a page cannot show other tags
                yield tag, mark
            if _closed(mark):
                return  # its subfolders belong to it
        for name in sorted(entries):
            if depth and not name.startswith(".") and entries[name].is_dir(follow_symlinks=False):
                yield from self._walk(folder / name, depth - 1)

    def _entry(self, tag: str, mark: str) -> Entry:
        """Create an entry; read its files only if they have changed."""
        path = self.summary_dir / tag / mark
        kind = MARKS[mark]
        stats = [_stat(path.with_name(name)) for name in (mark, RESULTS_FILE, "evaluation.json")]
        stat = stats[0]
        if stat is None:
            return Entry(kind, tag, 0.0)
        version = tuple((each.st_mtime_ns, each.st_size) if each else None for each in stats)
        known = self._known.get(str(path))
        if known and known[0] == version:
            return replace(known[1], cell=self._cell(tag))
        try:
            entry = Entry(kind, tag, stat.st_mtime, _summary(kind, path.parent))
        except (DataError, KeyError, TypeError) as error:  # the files have another content
            entry = Entry(kind, tag, stat.st_mtime, error=str(error))
        self._known[str(path)] = (version, entry)
        return replace(entry, cell=self._cell(tag))

    def _cell(self, tag: str) -> str:
        """The cell of a study that a log folder belongs to, as text; empty for none."""
        match = _CELL.fullmatch(tag)
        if not match:
            return ""
        study = f"studies/{match['name']}"
        stat = _stat(self.summary_dir / study / STUDY_FILE)
        version = stat and (stat.st_mtime_ns, stat.st_size)
        if study not in self._studies or self._studies[study][0] != version:
            try:
                cells = recorded_cells(self.summary_dir / study)
            except DataError:
                cells = []
            self._studies[study] = (version, {cell.digest: cell.name for cell in cells})
        choices = self._studies[study][1].get(match["digest"])
        return f"{match['name']}: {choices}" if choices else ""


def _parts(name: str, deepest: int, kind: str) -> List[str]:
    """Split a name into folders below the root.

    Raises:
        DataError: a list would not show a folder of this name.
    """
    parts = name.split("/")
    if len(parts) > deepest or not name.isprintable() or any(not p or p.startswith(".") for p in parts):
        raise DataError(f"{name}: no such {kind}")
    return parts


def _mark(folder: Path) -> Optional[str]:
    """The file that determines the kind of a log folder."""
    return next((mark for mark in MARKS if os.path.lexists(folder / mark)), None)


def _closed(mark: Optional[str]) -> bool:
    """Whether the subfolders of a log folder belong to it."""
    return mark is not None and MARKS[mark] in ("training", "session")


def _stat(path: Path) -> Optional[os.stat_result]:
    try:
        return path.stat()
    except OSError:
        return None


def _summary(kind: str, folder: Path) -> Dict[str, Any]:
    if kind == "training" and (folder / RESULTS_FILE).exists():
        results = read_results(folder)
        flags = (results.get("config") or {}).get("flags") or {}
        metadata = {key: flags.get(key) for key in ("network", "dataset", "random_seed")}
        for part in ("val", "test"):
            metadata[f"{part}_accuracy"] = (results.get(part) or {}).get("accuracy")
        return {**metadata, "updates": results.get("updates"), "state": "ended"}
    if kind == "training":
        return {"state": "not ended"}
    if kind == "session":
        runs = list(RunLog(folder).finished().values())
        outcomes: Dict[str, int] = {}
        for run in runs:
            outcomes[run["outcome"]] = outcomes.get(run["outcome"], 0) + 1
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        return {"runs": len(runs), "outcomes": counts}
    if kind == "evaluation" and (folder / "evaluation.json").exists():
        evaluation = read_json(folder / "evaluation.json", schemas.EVALUATION)
        rows = [
            f"{label}: {entry['measures']['successes']} of {entry['measures']['counted']}"
            for label, entry in evaluation["checkpoints"].items()
        ]
        return {"whole laps": "; ".join(rows)}
    return {}


def live(folder: Path) -> Optional[Dict[str, Any]]:
    """The heartbeat of a running session: state, run, progress, lap, place; None if it does not run."""
    file = folder / "state.json"
    if not file.exists():
        return None
    try:
        state = read_json(file, schemas.HEARTBEAT)
    except DataError:
        return None
    return state if _runs(state.get("pid")) else None  # also between two runs


def _runs(pid: Any) -> bool:
    return isinstance(pid, int) and pid > 0 and os.path.exists(f"/proc/{pid}")
