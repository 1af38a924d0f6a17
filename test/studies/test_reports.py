"""Studies of other commands than main.py: which cells, when they are done, what their reports say."""

import json
import shutil

import pytest
import yaml

from nav_pkg.cli import study as command
from nav_pkg.config import learner
from nav_pkg.core import DataError
from nav_pkg.report.trainings import Training
from nav_pkg.studies import study
from nav_pkg.studies.cell_logs import DONE, LEFT
from nav_pkg.studies.checkpoints import chosen
from nav_pkg.studies.datasets import recipe
from nav_pkg.studies.flights import correlation_interval
from nav_pkg.studies.report import cells, differences, report, write_reports
from nav_pkg.studies.runner import StudyFolder
from nav_pkg.studies.trainings import Trainings

SCALES = {"small": {}}


def load(tmp_path, name, **raw):
    file = tmp_path / f"{name}.yaml"
    file.write_text(yaml.safe_dump({"title": name, "question": "Which?", "scales": SCALES, **raw}))
    return study.load(str(file))


def trained(folder, cell, accuracy):
    log = folder.log(cell)
    log.mkdir(parents=True)
    scores = {"accuracy": accuracy, "balanced_accuracy": accuracy, "imitation_loss": 1 - accuracy}
    results = {"config": {"flags": {}}, "updates": 3, "val": scores, "test": scores}
    (log / "results.json").write_text(json.dumps(results))
    (log / "metrics.jsonl").write_text(json.dumps({"episode": 1, "updates": 3, "val": scores}) + "\n")


def flown(folder, cell, whole, loss, accuracy):
    measures = {
        "successes": whole, "counted": 4, "success_rate": whole / 4, "success_low": 0.1, "success_high": 0.9,
        "imitation_loss": loss, "collision_free_distance": 10.0,
    }  # fmt: skip
    offline = {
        "part": "test",
        "accuracy": accuracy,
        "balanced_accuracy": accuracy,
        "imitation_loss": loss / 2,
    }
    entry = {"network": "tiny_net", "sha256": "0", "measures": measures, "offline": offline, "updates": 3}
    condition = {
        "checkpoint": "a", "measures": measures, "world": "esatv3", "direction": "forward",
        "control_delay": 0.1, "perturbation": "none", "folder": "a",
        "runs": [{"name": str(i), "outcome": "success"} for i in range(4)],
    }  # fmt: skip
    log = folder.log(cell)
    log.mkdir(parents=True)
    (log / "evaluation.json").write_text(json.dumps({"checkpoints": {"a": entry}, "conditions": [condition]}))


@pytest.fixture
def two(tmp_path, monkeypatch):
    """A study of trainings, done, and one that flies its networks."""
    monkeypatch.setattr(study, "STUDIES", tmp_path)
    grid = {"rate": {str(i): {"learning_rate": 0.1 * i} for i in range(1, 9)}}
    load(tmp_path, "trained", grid=grid, seeds=[1], base={"network": "tiny_net"})
    source = {"studies": ["trained"], "count": 4}
    load(tmp_path, "flying", command="evaluate.py", checkpoints=source, seeds=[5], base={"number_of_runs": 4})
    first = StudyFolder(study.load("trained"), "small", tmp_path / "log")
    for place, cell in enumerate(first.cells):
        trained(first, cell, 0.1 * place)
    return first, StudyFolder(study.load("flying"), "small", tmp_path / "log")


def test_checkpoints_are_spread_over_accuracy_and_chosen_once(two, tmp_path):
    first, flying = two
    tags = [cell.flags["checkpoint_path"] for cell in flying.cells]
    wanted = [first.cells[place] for place in (0, 2, 5, 7)]
    assert tags == [f"studies/trained/small/cells/{cell.digest}" for cell in wanted]
    assert flying.cells[0].choices == {"checkpoint": "trained: 1, seed 1"}
    flying.open()
    trained(first, study.Cell({}, 9, {"random_seed": 9}), 0.99)
    again = StudyFolder(study.load("flying"), "small", tmp_path / "log")
    assert [cell.digest for cell in again.cells] == [cell.digest for cell in flying.cells]
    with pytest.raises(DataError, match="no training of the studies to fly is done"):
        chosen([], 3)


def test_flights_are_done_when_all_are_flown(two):
    _, flying = two
    cell = flying.cells[0]
    assert flying.state(cell).state == LEFT
    flown(flying, cell, 1, 0.5, 0.1)
    assert flying.state(cell).state == DONE
    file = flying.log(cell) / "evaluation.json"
    content = json.loads(file.read_text())
    content["conditions"][0]["runs"].pop()
    file.write_text(json.dumps(content))
    assert flying.state(cell).state == LEFT


def test_the_report_of_flights_and_the_index(two, tmp_path):
    first, flying = two
    with pytest.raises(DataError, match="no cell is done: study.py run flying --scale small"):
        report(flying)
    for place, cell in enumerate(flying.cells):
        flown(flying, cell, place, 0.5 - 0.1 * place, 0.2 * place)
    text = report(flying).markdown("flying")
    assert (
        "- test accuracy and whole laps: rank correlation +1.00 (95 % interval +1.00 to +1.00) over 4" in text
    )
    assert "imitation loss in flight: rank correlation -1.00" in text
    assert "| trained: 3, seed 1 | tiny_net | 3 | 0.2000 |" in text and "1 of 4" in text
    out = tmp_path / "out"
    assert write_reports([flying], True, out) == 0
    assert not (out / "index.md").exists(), "an index of one page"
    shutil.rmtree(flying.folder)  # the pages are the source of the index, not the logs
    assert write_reports([first], True, out) == 0
    index = (out / "index.md").read_text()
    assert not (out / "index").exists(), "an empty folder"
    assert index.index("## trained") < index.index("## flying") < index.index("rank correlation +1.00")
    assert "studies/flying/small: 4 of 4 cells done." in index
    assert "[Tables, curves and cells](trained.md)" in index
    assert '<a href="trained.html">' in (out / "index.html").read_text()


def test_a_correlation_of_what_does_not_vary_is_none():
    assert correlation_interval([1, 1, 1], [1, 2, 3]) is None
    rho, low, high = correlation_interval([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5])
    assert low <= rho <= high and rho == pytest.approx(0.8286, abs=1e-4)


@pytest.mark.slow
def test_networks_are_measured_as_a_study(tmp_path, capsys):
    load(tmp_path, "details", command="network_details.py", base={"seconds": 0.01, "ways": ["eager"]},
         grid={"network": {"tinyv3": {"network": "tinyv3_net"}}})  # fmt: skip
    words = [str(tmp_path / "details.yaml"), "--scale", "small", "--summary_dir", str(tmp_path / "log")]
    assert command.main(["run", *words]) == 0
    assert "1 of 1 cells done" in capsys.readouterr().out
    assert command.main(["report", *words]) == 0
    text = (tmp_path / "log/studies/details/small/report/details.md").read_text()
    assert "- tinyv3_net: 511838 parameters, " in text and "## Speed" in text


@pytest.mark.parametrize("name", study.names())
def test_every_command_line_of_the_shipped_studies_is_accepted(name):
    loaded = study.load(name)
    assert set(loaded.scales) == set(study.SCALES)
    for scale in loaded.scales:
        cells = loaded.cells(scale, {"a": {"checkpoint_path": "a"}} if loaded.checkpoints else {})
        assert cells
        for cell in cells:
            if cell.command == "main.py":
                args = learner.parse(cell.argv)
                assert recipe(args.dataset, True) is not None
                assert scale != "full" or args.max_steps == 0


def test_datasets_are_made_of_what_is_there():
    assert recipe("mine", True) is None
    assert recipe("esatv3_expert_10K", True) == [
        ["dataset.py", "subset", "esatv3_expert", "--frames", "10000"]
    ]
    commands = [line[0] for line in recipe("esatv3_expert_500", False)]
    assert commands == ["run_script.py", "clean_dataset.py", "dataset.py"]


def test_choices_are_compared_at_their_best_learning_rate(tmp_path):
    raw = {
        "title": "Inputs", "question": "?",
        "base": {"network": "tinyv3_net", "dataset": "easy", "discrete": True},
        "grid": {
            "input": {"raw": {}, "shifted": {"shifted_input": True}},
            "rate": {"0.1": {"learning_rate": 0.1}, "0.01": {"learning_rate": 0.01}},
        },
        "tuned": ["rate"], "seeds": [1, 2], "scales": {"small": {}},
    }  # fmt: skip
    values = {"raw, 0.1": 0.5, "raw, 0.01": 0.6, "shifted, 0.1": 0.8, "shifted, 0.01": 0.1}
    folder = StudyFolder(study.parse(raw, tmp_path / "inputs.yaml"), "small", tmp_path)
    trainings = Trainings(folder)
    trainings.cells = [
        (cell, Training(tmp_path, cell.seed, {"val": {"accuracy": values[cell.group] + 0.01 * cell.seed}}))
        for cell in folder.cells
    ]
    assert trainings.conclusions() == {
        "input, against `raw`, each at its best rate, in points (mean and 95 % interval over 2 seeds):": [
            "`shifted`: val accuracy +20.0 (+20.0 to +20.0)"
        ],
        "rate, against `0.1`, in points (mean and 95 % interval over 2 seeds):": [
            "`0.01`: val accuracy -30.0 (-30.0 to -30.0) better in 1 of 2 settings"
        ],
    }
    assert trainings.collapsed() == []
    for number, (_, training) in enumerate(trainings.cells):
        training.results["val"]["recall"] = [0.0, 1.0, 0.0] if number in (0, 1, 2) else [0.5, 1.0, None]
    assert trainings.collapsed() == [("raw, 0.1", 2, 2), ("raw, 0.01", 1, 2)]
    rows = trainings.comparison_table().rows
    assert [(row["label"], row["setting"], row["tuned"]) for row in rows] == [
        ("shifted", "", "0.1"),
        ("0.01", "raw", None),
        ("0.01", "shifted", None),
    ]
    with pytest.raises(DataError, match="tuned: 'rat': must be a list of axes of the grid"):
        study.parse({**raw, "tuned": ["rat"]}, tmp_path / "inputs.yaml")


def test_what_a_scale_changes_is_said(tmp_path):
    raw = {
        "title": "Inputs", "question": "?", "base": {"dataset": "easy", "batch_size": 100}, "seeds": [1],
        "grid": {
            "network": {"tiny": {"network": "tiny_net"}, "alex": {"network": "alex_net"}},
            "rate": {"0.1": {"learning_rate": 0.1}, "0.01": {"learning_rate": 0.01}},
        },
        "scales": {
            "full": {},
            "small": {
                "base": {"max_steps": 5},
                "grid": {"network": {"alex": {"batch_size": 2}}, "rate": {"0.1": {"clip": 1}}},
            },
        },
    }  # fmt: skip
    folder = StudyFolder(study.parse(raw, tmp_path / "inputs.yaml"), "small", tmp_path)
    assert differences(folder) == [
        "`max_steps` 5 instead of unset",
        "`clip` 1 instead of unset (0.1)",
        "`batch_size` 2 instead of 100 (alex)",
    ]


def test_an_error_line_does_not_name_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = StudyFolder(study.load("deep_architectures"), "smoke", tmp_path / "log")
    folder.open()
    output = folder.output(folder.cells[0])
    output.write_text(f"error: {tmp_path}/weights.pth is missing\n")
    folder.note_failure(folder.cells[0], 3)
    assert "error: ~/weights.pth is missing (3)" in cells(folder).text()
