"""results.py: tables, rankings and paired comparisons; bootstrap intervals worked out by hand."""

import csv
import json

import numpy as np
import pytest

from nav_pkg.cli import results
from nav_pkg.core import DataError, UsageError
from nav_pkg.report import intervals, trainings
from nav_pkg.report.intervals import bootstrap_mean


def training(folder, seed, accuracy, network="tiny_net"):
    folder.mkdir(parents=True)
    scores = {"accuracy": accuracy, "imitation_loss": 1 - accuracy}
    content = {
        "network": network,
        "updates": 3000,
        "val": scores,
        "test": None if accuracy > 0.95 else scores,
    }
    content["config"] = {"flags": {"random_seed": seed, "learning_rate": 0.1, "network": network}}
    (folder / "results.json").write_text(json.dumps(content))


@pytest.fixture
def logs(tmp_path):
    for name, values in {"a/low": (0.7, 0.72, 0.74), "a/high": (0.8, 0.79, 0.84), "b": (0.96, 0.97)}.items():
        for seed, value in zip((123, 456, 789), values):
            training(tmp_path / name / f"seed_{seed}", seed, value)
    return tmp_path


def run(folder, *words):
    return results.main([*map(str, words), "--summary_dir", str(folder)])


def test_every_resample_of_few_values():
    # of (0, 3) the resamples are 00, 03, 30, 33: means 0, 1.5, 1.5, 3
    interval = bootstrap_mean([0.0, 3.0], confidence=0.5)
    assert interval == (1.5, *np.percentile([0, 1.5, 1.5, 3], [25, 75]), 2)
    assert bootstrap_mean([0.25]) == (0.25, 0.25, 0.25, 1)
    with pytest.raises(UsageError, match="no values"):
        bootstrap_mean([])


def test_many_values(monkeypatch):
    """As wide as the normal approximation says, the same every time, and covering as often as promised."""
    values = np.random.default_rng(1).normal(5, 2, 400)
    interval = bootstrap_mean(values)
    error = 1.96 * values.std() / 20
    assert (interval.low, interval.high) == pytest.approx(
        (values.mean() - error, values.mean() + error), abs=0.03
    )
    assert interval == bootstrap_mean(values) != bootstrap_mean(values, seed=1)
    monkeypatch.setattr(intervals, "RESAMPLES", 1000)
    inside = 0
    for number in range(200):
        low, high = bootstrap_mean(np.random.default_rng(number).normal(0, 1, 30))[1:3]
        inside += low <= 0 <= high
    assert 0.88 <= inside / 200 <= 0.98


def test_a_table_over_seeds(logs, capsys):
    assert (
        run(
            logs,
            "table",
            "--metrics",
            "val_accuracy",
            "test_accuracy",
            "--sort",
            "val_accuracy",
            "--format",
            "csv",
        )
        == 0
    )
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["name"] for row in rows] == ["b", "a/high", "a/low"]
    assert [row["val_accuracy"] for row in rows] == ["0.9650 ± 0.0071", "0.8100 ± 0.0265", "0.7200 ± 0.0200"]
    assert [row["test_accuracy"] for row in rows] == ["", "0.8100 ± 0.0265", "0.7200 ± 0.0200"]
    assert run(logs, "table", "a", "--metrics", "val_imitation_loss", "--sort", "val_imitation_loss") == 0
    out = capsys.readouterr().out
    assert out.index("high") < out.index("low")  # the smaller loss first


def test_formats_and_a_file(logs, capsys):
    assert run(logs, "rank", "a", "--metrics", "val_accuracy", "--format", "latex") == 0
    latex = capsys.readouterr().out
    assert latex.startswith("\\begin{tabular}{rlrrrr}") and "95 \\% from" in latex and "0.8100" in latex
    file = logs / "table.md"
    assert run(logs, "table", "a", "--metrics", "val_accuracy", "--format", "markdown", "--output", file) == 0
    assert capsys.readouterr().out.strip() == str(file)
    assert file.read_text().splitlines()[:2] == [
        "| training | network | seeds | val accuracy |",
        "| --- | --- | --: | --- |",
    ]


def test_pairs_are_of_one_seed(logs, capsys):
    assert run(logs, "compare", "a/low", "a/high", "--metrics", "val_accuracy", "--format", "csv") == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    differences = [0.1, 0.07, 0.1]
    assert int(row["pairs"]) == 3 and float(row["difference"]) == pytest.approx(0.09)
    low, high = bootstrap_mean(differences)[1:3]
    assert (float(row["low"]), float(row["high"])) == pytest.approx((low, high))
    training(logs / "c" / "seed_5", 5, 0.5)
    assert run(logs, "rank", "c", "--metrics", "val_accuracy", "--format", "csv") == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert (row["mean"], row["low"], row["high"]) == ("0.5", "", "")  # one seed has no interval
    with pytest.raises(DataError, match="no seed in common: 123, 456, 789 and 5; train both"):
        run(logs, "compare", "a/low", "c")


def flight(run, outcome, loss):
    return {"run": run, "outcome": outcome, "imitation_loss": loss, "distance": 10.0 * run, "nearest": 0.6,
            "run_seed": 100 + run}  # fmt: skip


def evaluation(folder, checkpoints):
    folder.mkdir()
    content = {"checkpoints": {}, "conditions": []}
    for label, outcomes in checkpoints.items():
        content["checkpoints"][label] = {"network": "tiny_net", "measures": {}}
        for delay in (0.1, 0.2):
            runs = [flight(n, outcome, 0.1 * len(label)) for n, outcome in enumerate(outcomes)]
            where = {"world": "w", "direction": "forward", "control_delay": delay, "perturbation": "none"}
            content["conditions"].append({"checkpoint": label, **where, "runs": runs})
    (folder / "evaluation.json").write_text(json.dumps(content))


def test_flights_are_paired_on_seed_and_condition(tmp_path, capsys):
    evaluation(tmp_path / "e", {"x": ["success", "collision", "success"], "yy": ["success", "success"]})
    evaluation(tmp_path / "one", {"z": ["collision", "sim_failure", "success"]})
    words = ("compare", "e:x", "e:yy", "--flights", "--format", "csv")
    assert run(tmp_path, *words) == 0
    rows = {row["metric"]: row for row in csv.DictReader(capsys.readouterr().out.splitlines())}
    assert rows["whole laps"]["pairs"] == "4" and float(rows["whole laps"]["difference"]) == 0.5
    assert float(rows["imitation_loss"]["difference"]) == pytest.approx(0.1)
    assert {"first: 2 of 4 laps", "second: 4 of 4 laps"} < set(rows)
    assert run(tmp_path, "compare", "e:x", "one", "--flights", "--format", "csv") == 0
    rows = {row["metric"]: row for row in csv.DictReader(capsys.readouterr().out.splitlines())}
    assert rows["whole laps"]["pairs"] == "4"  # a simulator's failure is nobody's


def test_a_damaged_evaluation_is_one_line(tmp_path):
    evaluation(tmp_path / "e", {"x": ["success"]})
    file = tmp_path / "e" / "evaluation.json"
    whole = json.loads(file.read_text())
    for key, value in (("runs", 5), ("checkpoint", None), ("runs", [{}]), ("runs", [{"outcome": "won"}])):
        file.write_text(json.dumps({**whole, "conditions": [{**whole["conditions"][0], key: value}]}))
        with pytest.raises(DataError, match=r"evaluation\.json.*conditions") as error:
            run(tmp_path, "compare", "e", "e", "--flights")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "words, kind, text",
    [
        (["table", "nowhere"], DataError, "no finished training"),
        (["table", "--metrics", "val_acc"], UsageError, "did you mean 'val_accuracy'"),
        (["table", "--flights"], UsageError, "--flights has an effect only with compare"),
        (["rank", "b", "--metrics", "test_accuracy"], DataError, "no training has a test_accuracy"),
        (["compare", "a/low"], UsageError, "1 folders given: give two"),
        (["compare", "a", "b"], UsageError, r"a holds 2 trainings \(high, low\): name one"),
        (["compare", "a", "b", "--flights"], DataError, "neither evaluation.json nor runs.jsonl"),
        (
            ["compare", "e", "e:x", "--flights"],
            UsageError,
            r"several checkpoints: give one as FOLDER:LABEL \(x, yy\)",
        ),
        (["compare", "e:xx", "e:x", "--flights"], DataError, "no checkpoint 'xx'"),
    ],
)
def test_wrong_use(logs, words, kind, text):
    evaluation(logs / "e", {"x": ["success"], "yy": ["success"]})
    with pytest.raises(kind, match=text) as error:
        run(logs, *words)
    assert "\n" not in str(error.value)


def test_groups(tmp_path):
    for name in ("x/0", "x/1", "y"):
        training(tmp_path / name, 5, 0.5)
    groups = trainings.find_trainings(tmp_path)
    assert {name: len(group) for name, group in groups.items()} == {"x": 2, "y": 1}
    assert list(trainings.find_trainings(tmp_path / "y")) == ["y"]
