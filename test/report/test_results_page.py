"""Every row of docs/results.md names logs in docs/results, and follows from them."""

import csv
import hashlib
import json
import re
import statistics
from pathlib import Path

import pytest

from nav_pkg.flight.metrics import summary
from nav_pkg.report.curves import read_metrics, read_results

PAGE = Path(__file__).parents[2] / "docs" / "results.md"
EVIDENCE = PAGE.with_suffix("")


def rows():
    """The rows of all tables that name logs, as dictionaries."""
    named, header = [], []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("|") else []
        if cells and header and len(cells) == len(header):
            named.append(dict(zip(header, cells)))
        elif not cells:
            header = []
        elif not header:
            header = cells
    return [row for row in named if row.get("log", "").startswith("`")]


def spread(values, digits=3):
    """Mean and standard deviation over seeds, as the page writes them."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.fmean(values):.{digits}f} +- {statistics.stdev(values):.{digits}f}"


def learned(log):
    """What a row of a table of trainings has to say, by the header of its column."""
    folders = sorted((EVIDENCE / log).glob("seed_*"))
    runs = [read_results(folder) for folder in folders]
    for folder, run in zip(folders, runs):
        last = read_metrics(folder)[-1]
        assert (last["val"], last["updates"]) == (run["val"], run["updates"]), folder
        assert f"seed_{run['config']['flags']['random_seed']}" == folder.name
    recall = zip(*(run["val"]["recall"] for run in runs))
    cells = {
        "seeds": str(len(runs)),
        "gradient steps": f"{runs[0]['updates']:,}",
        "val recall": " / ".join(f"{statistics.fmean(shares):.2f}" for shares in recall),
        "train accuracy": f"{statistics.fmean(run['train']['accuracy'] for run in runs):.3f}",
    }
    columns = {"accuracy": "accuracy", "balanced": "balanced_accuracy", "imitation loss": "imitation_loss"}
    for part in ("val", "test"):
        for column, key in columns.items():
            cells[f"{part} {column}"] = spread([run[part][key] for run in runs])
    return cells


def flown(log, label):
    """What a row of flights has to say: of an evaluation's checkpoint, or of a session's evaluations."""
    if (EVIDENCE / log / "evaluation.json").exists():
        evaluation = json.loads((EVIDENCE / log / "evaluation.json").read_text())
        runs = [
            run
            for condition in evaluation["conditions"]
            if condition["checkpoint"] == label
            for run in condition["runs"]
        ]
    else:
        lines = (EVIDENCE / log / "runs.jsonl").read_text().splitlines()
        runs = [run for run in map(json.loads, lines) if run["evaluation"]]
    totals = summary(runs)
    return {
        "whole laps": f"{totals['successes']} of {totals['counted']}",
        "95 % interval": f"{100 * totals['success_low']:.0f} to {100 * totals['success_high']:.0f} %",
        "imitation loss": f"{totals['imitation_loss']:.3f}",
        "m flown": f"{totals['distance']:.0f}",
    }


def played(log, label):
    """What a row of images that were played back has to say: of a network's seeds, over all runs."""
    with open(EVIDENCE / f"{log}.csv") as file:
        lines = [line for line in csv.DictReader(file) if line["checkpoint"].startswith(f"{label}/seed_")]
    last = {line["checkpoint"]: line for line in lines}  # all runs together stand last
    columns = {
        "accuracy": "accuracy",
        "imitation loss": "loss",
        "accuracy where the label stays": "stays",
        "accuracy where it changes": "changes",
    }
    assert len(last) == 3
    return {name: spread([float(line[key]) for line in last.values()]) for name, key in columns.items()}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["log"].strip("`"))
def test_a_row_is_its_logs(row):
    log, _, label = row["log"].strip("`").partition(":")
    if log.startswith("playback/"):
        cells = played(log, label)
    else:
        cells = flown(log, label) if "whole laps" in row else learned(log)
    compared = [column for column in row if column in cells]
    assert len(compared) >= 3
    for column in compared:
        assert row[column].replace("*", "") == cells[column], column


def test_the_page_has_rows():
    assert len(rows()) >= 10


def test_the_sums_are_those_of_the_files():
    sums = dict(
        reversed(line.split("  ", 1)) for line in (EVIDENCE / "sha256sums.txt").read_text().splitlines()
    )
    files = [path for path in EVIDENCE.rglob("*") if path.is_file() and path.name != "sha256sums.txt"]
    assert {str(path.relative_to(EVIDENCE)) for path in files} == set(sums)
    for path in files:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sums[str(path.relative_to(EVIDENCE))], path
    assert not re.search(r'"/(home|root|tmp)/', "".join(path.read_text() for path in files))
