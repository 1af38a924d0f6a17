"""Models side by side: rows of what there is, of what is missing, and the page."""

from __future__ import annotations

import json

import pytest

from nav_pkg.cli import dag_report
from nav_pkg.core import DataError, UsageError
from nav_pkg.report import models


def trained(folder, seed, accuracy, episodes=0):
    folder.mkdir(parents=True)
    scores = {"accuracy": accuracy, "balanced_accuracy": accuracy / 2, "imitation_loss": 0.1}
    scores.update(majority_accuracy=0.75, loss=0.3, recall=[0.5], confusion=[[1]])
    lines = [
        {"episode": k, "updates": 10 * k, "train": scores, "val": scores} for k in range(1, episodes + 1)
    ]
    if lines:
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    flags = {"network": "tiny_net", "random_seed": seed, "learning_rate": 0.01}
    results = {"updates": 50, "val": scores, "test": scores, "config": {"flags": flags}}
    (folder / "results.json").write_text(json.dumps(results))


def places(folder, *names):
    return {name: folder / name for name in names}


def test_the_majority_baseline_stands_beside_accuracy(tmp_path):
    trained(tmp_path / "seed_1", 1, 0.8, episodes=3)
    table = models.write(tmp_path, "t", places(tmp_path, "seed_1"))
    keys = [column.key for column in table.columns]
    for part in ("val", "test"):
        assert keys[keys.index(f"{part}_accuracy") + 1] == f"{part}_majority_accuracy"
        assert table.rows[0][f"{part}_majority_accuracy"] == 0.75
    page = (tmp_path / "report.html").read_text()
    assert "75.0 %" in page and "<b>75.0 ± 0.0 %</b><span>majority baseline" in page
    assert (tmp_path / "report/curves.csv").read_text().splitlines()[1] == "seed_1,10,0.8,0.75"


def test_a_single_point_is_no_curve(tmp_path):
    trained(tmp_path / "seed_1", 1, 0.8, episodes=1)
    models.write(tmp_path, "t", places(tmp_path, "seed_1"))
    page = (tmp_path / "report.html").read_text()
    assert "<img" not in page and "without a curve: seed_1." in page
    assert not (tmp_path / "report/curves.csv").exists()
    trained(tmp_path / "seed_2", 2, 0.9, episodes=2)
    models.write(tmp_path, "t", places(tmp_path, "seed_1", "seed_2"))
    assert (tmp_path / "report.html").read_text().count("<img") == 1
    assert "seed_1" not in (tmp_path / "report/curves.csv").read_text()


def evaluation(folder, **checkpoints):
    folder.mkdir(parents=True, exist_ok=True)
    entries = {
        label: {"network": "tiny_net", "measures": {"success_rate": rate, "collision_free_distance": 80.0}}
        for label, rate in checkpoints.items()
    }
    (folder / "evaluation.json").write_text(json.dumps({"checkpoints": entries}))


def report(tmp_path, *words):
    assert dag_report.main(["--summary_dir", str(tmp_path / "log"), "-t", *words]) == 0
    tag = tmp_path / "log" / words[0]
    return {row["model"]: row for row in json.loads((tag / "report.json").read_text())["models"]}


def test_any_log_folders(tmp_path, capsys):
    """Names below the tag, names below --summary_dir, paths; trainings, evaluations and flights."""
    trained(tmp_path / "log/grid/seed_1", 1, 0.8)
    trained(tmp_path / "log/tiny", 2, 0.9)
    trained(tmp_path / "elsewhere/alex", 3, 0.7)
    evaluation(tmp_path / "log/robust", tiny=0.5, alex=0.25)
    (tmp_path / "log/flights").mkdir()
    run = {"run": 0, "outcome": "success", "progress": 100.0, "distance": 110.0}
    (tmp_path / "log/flights/runs.jsonl").write_text(json.dumps(run) + "\n")
    elsewhere = str(tmp_path / "elsewhere/alex")
    rows = report(tmp_path, "grid", "--models", "seed_1", "tiny", elsewhere, "robust", "flights", "nowhere")
    assert [rows[name].get("test_accuracy") for name in ("seed_1", "tiny", elsewhere)] == [0.8, 0.9, 0.7]
    assert rows["robust tiny"]["success_rate"] == 0.5 and rows["robust alex"]["success_rate"] == 0.25
    assert rows["flights"]["success_rate"] == 1.0
    assert "nowhere" in rows["nowhere"]["problem"]
    assert set(report(tmp_path, "grid")) == {"seed_1"}  # those below the tag, when none is named
    assert set(report(tmp_path, "robust")) == {"robust tiny", "robust alex"}
    report(tmp_path, "compare/new", "--models", "tiny", "grid/seed_1")
    assert "compare/new/report.html" in capsys.readouterr().out
    with pytest.raises(UsageError, match="tiny twice"):
        report(tmp_path, "grid", "--models", "tiny", "tiny")
    with pytest.raises(DataError, match="no such log folder"):
        report(tmp_path, "nothing")
    (tmp_path / "log/empty").mkdir()
    with pytest.raises(DataError, match="no training, evaluation or flights below"):
        report(tmp_path, "empty")
    (tmp_path / "log/robust/evaluation.json").write_text('{"checkpoints": [5]}')
    assert "checkpoints is [5]" in report(tmp_path, "grid", "--models", "tiny", "robust")["robust"]["problem"]


def test_rows_mean_and_page(tmp_path):
    trained(tmp_path / "seed_1", 1, 0.8)
    trained(tmp_path / "seed_2", 2, 0.9)
    (tmp_path / "seed_2" / "evaluation").mkdir()
    measures = {"success_rate": 0.5, "collision_free_distance": 80.0}
    flown = {"checkpoints": {"seed_2": {"network": "tiny_net", "measures": measures}}}
    (tmp_path / "seed_2" / "evaluation" / "evaluation.json").write_text(json.dumps(flown))
    table = models.write(tmp_path, "t", places(tmp_path, "seed_1", "seed_2", "seed_3"))
    first, second, third = table.rows
    assert (first["seed"], first["test_accuracy"], first["updates"]) == (1, 0.8, 50)
    assert (second["success_rate"], second["collision_free_distance"]) == (0.5, 80.0)
    assert third["problem"].endswith("seed_3/results.json: missing")
    assert abs(table.total["test_accuracy"] - 0.85) < 1e-12 and "seed" not in table.total
    assert models.mean_std_text(table.rows, "test_accuracy") == "85.0 ± 7.1 %"
    page = (tmp_path / "report.html").read_text()
    assert "Models of t" in page and (tmp_path / "report" / "models.csv").exists()
    assert len(json.loads((tmp_path / "report.json").read_text())["models"]) == 3


def test_nothing_is_known(tmp_path):
    with pytest.raises(DataError, match="no other model has results"):
        models.write(tmp_path, "t", places(tmp_path, "seed_1", "seed_2"))


def test_a_damaged_result_is_named(tmp_path):
    trained(tmp_path / "seed_1", 1, 0.8)
    (tmp_path / "seed_2").mkdir()
    (tmp_path / "seed_2" / "results.json").write_text("{")
    table = models.write(tmp_path, "t", places(tmp_path, "seed_1", "seed_2"))
    assert "seed_2/results.json: not JSON" in table.rows[1]["problem"]
    assert "problem" in [column.key for column in table.columns]
