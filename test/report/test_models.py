"""Models side by side: rows of what there is, of what is missing, and the page."""

from __future__ import annotations

import json

import pytest

from nav_pkg.core import DataError
from nav_pkg.report import models


def trained(folder, seed, accuracy):
    folder.mkdir(parents=True)
    scores = {"accuracy": accuracy, "balanced_accuracy": accuracy / 2, "imitation_loss": 0.1}
    flags = {"network": "tiny_net", "random_seed": seed, "learning_rate": 0.01}
    results = {"updates": 50, "val": scores, "test": scores, "config": {"flags": flags}}
    (folder / "results.json").write_text(json.dumps(results))


def test_rows_mean_and_page(tmp_path):
    trained(tmp_path / "seed_1", 1, 0.8)
    trained(tmp_path / "seed_2", 2, 0.9)
    (tmp_path / "seed_2" / "evaluation").mkdir()
    measures = {"success_rate": 0.5, "collision_free_distance": 80.0}
    made = {"checkpoints": {"seed_2": {"network": "tiny_net", "measures": measures}}}
    (tmp_path / "seed_2" / "evaluation" / "evaluation.json").write_text(json.dumps(made))
    table = models.write(tmp_path, "t", ["seed_1", "seed_2", "seed_3"])
    first, second, third = table.rows
    assert (first["seed"], first["test_accuracy"], first["updates"]) == (1, 0.8, 50)
    assert (second["success_rate"], second["collision_free_distance"]) == (0.5, 80.0)
    assert third["problem"].endswith("seed_3/results.json: missing")
    assert abs(table.total["test_accuracy"] - 0.85) < 1e-12 and "seed" not in table.total
    assert models.spread(table.rows, "test_accuracy") == "85.0 ± 7.1 %"
    page = (tmp_path / "report.html").read_text()
    assert "Models of t" in page and (tmp_path / "report" / "models.csv").exists()
    assert len(json.loads((tmp_path / "report.json").read_text())["models"]) == 3


def test_nothing_is_known(tmp_path):
    with pytest.raises(DataError, match="of no other model is anything known"):
        models.write(tmp_path, "t", ["seed_1", "seed_2"])


def test_a_damaged_result_is_named(tmp_path):
    trained(tmp_path / "seed_1", 1, 0.8)
    (tmp_path / "seed_2").mkdir()
    (tmp_path / "seed_2" / "results.json").write_text("{")
    table = models.write(tmp_path, "t", ["seed_1", "seed_2"])
    assert "seed_2/results.json: not JSON" in table.rows[1]["problem"]
    assert "problem" in [column.key for column in table.columns]
