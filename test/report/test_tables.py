"""Tables by numbers worked out by hand."""

from __future__ import annotations

import csv
import io

import numpy as np

from nav_pkg.learn.action import ActionSpace
from nav_pkg.report.tables import UNKNOWN, Column, Table, labels_table, runs_table, scores_table

from .conftest import facts, scores


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_total_counts_what_counts():
    table = runs_table(
        [
            facts(0, laps=1.0, nearest=0.6, imitation_loss=0.2, frames=300),
            facts(1, "collision", laps=0.5, nearest=0.4, imitation_loss=0.6, frames=100),
            facts(2, "sim_failure", laps=0.1, nearest=0.1, imitation_loss=9.0),
            facts(3, laps=1.0, nearest=0.8),
        ]
    )
    total = table.total
    assert total["outcome"] == "2 of 3 success"
    assert abs(total["laps"] - 2.5 / 3) < 1e-12
    assert total["nearest"] == 0.4
    # Over frames: (300 * 0.2 + 100 * 0.6) / 400.
    assert abs(total["imitation_loss"] - 0.3) < 1e-12
    # Wilson's interval of 2 of 3.
    assert total["reason"] == "success rate 67 % (95 % interval 21 to 94 %)"


def test_no_runs_and_only_failed_ones():
    assert runs_table([]).total is None
    assert "run" in runs_table([]).text()
    failed = runs_table([{"run": 0, "outcome": "sim_failure", "reason": "gzserver died"}])
    assert failed.total["outcome"] == "0 of 0 success"
    assert failed.total["reason"] == "no run counts"
    assert UNKNOWN in failed.text()
    assert "gzserver died" in failed.csv()


def test_the_same_values_in_text_page_and_csv():
    table = runs_table([facts(0, laps=0.123456), facts(1, "collision")])
    assert "0.12" in table.text() and "0.12" in table.html()
    first = rows_of(table.csv())[0]
    assert first["laps"] == "0.123456" and first["outcome"] == "success" and first["imitation_loss"] == ""
    widths = {len(line) for line in table.text().splitlines() if set(line) == {"-"}}
    assert len(widths) == 1


def test_a_page_shows_text_as_text():
    table = Table([Column("a", "A & B")], [{"a": "<script>"}])
    assert "<script>" not in table.html() and "&lt;script&gt;" in table.html() and "A &amp; B" in table.html()


def test_scores_by_class():
    table = scores_table({"test run": scores(0.8125)}, ["right", "straight", "left"])
    row = rows_of(table.csv())[0]
    assert row["accuracy"] == "0.8125" and row["recall_right"] == "" and row["recall_straight"] == "0.8125"
    line = table.text().splitlines()[2]
    assert "81.2 %" in line and "75.0 %" in line and "40.6 %" in line and "20.3 %" in line and UNKNOWN in line


def test_label_shares():
    yaw = [np.array([0.0, 1.0, 1.0, -1.0]), np.array([0.0, 0.0, 0.2, 0.0])]
    table = labels_table({"train": yaw, "test": []}, ActionSpace())
    train, test = table.rows
    assert train == {
        "part": "train",
        "runs": 2,
        "frames": 8,
        "right": 0.125,
        "straight": 0.625,
        "left": 0.25,
    }
    assert test["frames"] == 0 and test["left"] is None
