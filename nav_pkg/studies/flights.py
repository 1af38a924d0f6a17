"""The report of a study of flights: whole laps, imitation loss, and their correlation with offline scores."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from nav_pkg import schemas
from nav_pkg.flight.measures import rank_correlation
from nav_pkg.reading import read_json
from nav_pkg.report import style
from nav_pkg.report.document import Data, Document, Figure, Head, Text
from nav_pkg.report.evaluation import RESULT, checkpoints_table
from nav_pkg.report.tables import Column, Table
from nav_pkg.studies.cell_logs import DONE
from nav_pkg.studies.runner import StudyFolder

ONLINE = {"whole": "whole laps", "online_loss": "imitation loss in flight"}
OFFLINE = {
    "accuracy": "test accuracy",
    "balanced_accuracy": "balanced test accuracy",
    "offline_loss": "test imitation loss",
}
RESAMPLES = 10_000
Row = Dict[str, Any]


def rows_of(folder: StudyFolder) -> List[Row]:
    """One row per finished cell: offline scores of its checkpoint, and measures over all its flights."""
    rows: List[Row] = []
    for cell in folder.cells:
        if folder.state(cell).state != DONE:
            continue
        evaluation = read_json(folder.log(cell) / RESULT, schemas.EVALUATION)
        measures = next(iter(evaluation["checkpoints"].values()))["measures"]
        rows.append(
            {
                **checkpoints_table(evaluation).rows[0],
                "what": cell.group or cell.name,
                "updates": next(iter(evaluation["checkpoints"].values())).get("updates"),
                "whole": measures["success_rate"],
                "low": measures["success_low"],
                "high": measures["success_high"],
            }
        )
    return rows


COLUMNS = (
    Column("what", "trained how"),
    Column("network", "network"),
    Column("updates", "gradient steps", 0),
    Column("accuracy", "test accuracy", 4),
    Column("balanced_accuracy", "balanced", 4),
    Column("offline_loss", "imitation loss, test", 4),
    Column("success", "whole laps"),
    Column("interval", "95 % interval (Wilson)"),
    Column("online_loss", "imitation loss in flight", 3),
    Column("collision_free_distance", "free of collision [m]", 1),
    *(Column(key, key, shown_in=()) for key in ("whole", "low", "high")),
)


def correlation_interval(
    first: Sequence[float], second: Sequence[float]
) -> Optional[Tuple[float, float, float]]:
    """Spearman's rank correlation and its 95 % percentile bootstrap interval over checkpoints.

    Returns:
        rho, low, high; None if rho is not defined.
    """
    rho = rank_correlation(list(first), list(second))["rho"]
    if rho is None:
        return None
    draw = np.random.default_rng(0)
    correlations = []
    for _ in range(RESAMPLES // 10):
        picked = draw.integers(0, len(first), len(first))
        again = rank_correlation([first[i] for i in picked], [second[i] for i in picked])["rho"]
        if again is not None:
            correlations.append(again)
    low, high = np.percentile(correlations, [2.5, 97.5])
    return rho, float(low), float(high)


def fill_flights(folder: StudyFolder, document: Document) -> None:
    """Add the results of the flights to the report."""
    rows = rows_of(folder)
    document.add(Head("Answer"))
    known = [row for row in rows if row["accuracy"] is not None and row["online_loss"] is not None]
    for offline, offline_name in OFFLINE.items():
        for online, online_name in ONLINE.items():
            correlation = correlation_interval(
                [row[offline] for row in known], [row[online] for row in known]
            )
            text = (
                "not defined"
                if correlation is None
                else "{:+.2f} (95 % interval {:+.2f} to {:+.2f})".format(*correlation)
            )
            line = f"{offline_name} and {online_name}: rank correlation {text} over {len(known)} networks"
            document.add(Text(line, item=True))
    document.add(Head("Flights"), Data(Table(COLUMNS, rows), "flights", "Ordered as flown."))
    if known:
        caption = "Scores on the test set against flights. Bars are 95 % Wilson intervals of whole laps."
        document.add(Figure(scatter(known), "offline_online", Table(COLUMNS, known).csv(), caption))


@style.styled
def scatter(rows: Sequence[Row]) -> Any:
    """Plot whole laps over test accuracy, and imitation loss in flight over test loss, by network."""
    figure, (left, right) = style.new_figure(9.0, 4.2, ncols=2)
    colours = (style.BLUE, style.ORANGE, style.GREEN, style.RED, style.PINK, style.SKY, style.INK)
    for number, network in enumerate(dict.fromkeys(row["network"] for row in rows)):
        network_rows = [row for row in rows if row["network"] == network]
        look = {"color": colours[number % len(colours)], "marker": "os^DvP*"[number % 7], "linestyle": "none"}
        accuracy = [100 * row["accuracy"] for row in network_rows]
        whole = np.array([100 * row["whole"] for row in network_rows])
        bars = np.abs(np.array([[100 * row["low"], 100 * row["high"]] for row in network_rows]).T - whole)
        left.errorbar(accuracy, whole, yerr=bars, capsize=2, label=network, **look)
        right.plot(
            [row["offline_loss"] for row in network_rows],
            [row["online_loss"] for row in network_rows],
            label=network,
            **look,
        )
    left.set_xlabel("test accuracy [%]")
    left.set_ylabel("whole laps [%]")
    right.set_xlabel("imitation loss, test set")
    right.set_ylabel("imitation loss, in flight")
    left.legend()
    return figure
