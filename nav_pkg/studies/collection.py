"""The report of a study of collections: outcomes, frames, distribution of the labels."""

from __future__ import annotations

from typing import Any, Dict, List

from nav_pkg.flight.metrics import summary
from nav_pkg.flight.runlog import RunLog
from nav_pkg.report.document import Data, Document, Head, Text
from nav_pkg.report.tables import Column, Table
from nav_pkg.studies.runner import StudyFolder

COLUMNS = (
    Column("what", "session"),
    Column("runs", "runs", 0),
    Column("outcomes", "outcomes"),
    Column("frames", "frames", 0),
    Column("distance", "distance a run [m]", 1),
    Column("duration", "duration a run [s]", 1),
    Column("labels", "right / straight / left"),
)


def fill_collection(folder: StudyFolder, document: Document) -> None:
    """Add the recorded sessions to the report."""
    rows: List[Dict[str, Any]] = []
    for cell in folder.cells:
        log = folder.log(cell)
        if not (log / "runs.jsonl").exists():
            continue
        runs = list(RunLog(log).finished().values())
        measures = summary(runs)
        outcomes: Dict[str, int] = {}
        for run in runs:
            outcomes[run["outcome"]] = outcomes.get(run["outcome"], 0) + 1
        shares = measures["label_shares"]
        rows.append(
            {
                "what": cell.name or folder.study.name,
                "runs": len(runs),
                "outcomes": ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())),
                "frames": measures["frames"],
                "distance": measures["distance"],
                "duration": measures["duration"],
                "labels": " / ".join(f"{100 * shares[name]:.1f} %" for name in ("right", "straight", "left"))
                if shares
                else None,
            }
        )
    document.add(Head("Answer"))
    for row in rows:
        document.add(Text(f"{row['what']}: {row['outcomes']}; {row['frames']} frames", item=True))
    document.add(Head("Sessions"), Data(Table(COLUMNS, rows), "sessions"))
