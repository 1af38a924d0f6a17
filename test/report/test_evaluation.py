"""The result of an evaluation and its page, from flights made by hand."""

import json
import shutil

import pytest

from nav_pkg import nets
from nav_pkg.core import DataError
from nav_pkg.data import files
from nav_pkg.data.writer import create_dataset
from nav_pkg.flight.runlog import RunLog
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.checkpoints.checkpoint import Checkpoint
from nav_pkg.report import evaluation as report
from nav_pkg.report import evaluation_page
from nav_pkg.report.evaluation import Evaluation
from nav_pkg.report.page import Page

from .conftest import facts, scores, write_run

OUTCOMES = {("a", 0): "success", ("a", 1): "collision", ("b", 0): "collision", ("b", 1): "timeout"}
SCORES = {"accuracy": 0.9, "balanced_accuracy": 0.8, "imitation_loss": 0.1, "frames": 40, "part": "test"}


def fly(folder, shards, wall=2.0):
    """An evaluation of two checkpoints with two runs each, shared out over so many sessions."""
    checkpoints = [
        {"label": "a", "path": "a", "sha256": "0a", "network": "tiny_net", "updates": 5, "offline": SCORES},
        {"label": "b", "path": "b", "sha256": "0b", "network": "tiny_net", "updates": 5, "offline": None},
    ]
    configuration = {
        "checkpoints": checkpoints,
        "worlds": ["esatv3"],
        "directions": ["forward"],
        "control_delays": [0.1],
        "perturbations": ["noise:0.1"],
        "number_of_runs": 2,
        "random_seed": 1,
        "alpha": 0.0,
        "num_threads": 1,
        "session_flags": [],
        "keep_images": False,
        "versions": {"nav_pkg": "x"},
        "shards": shards,
    }
    folder.mkdir(parents=True)
    (folder / report.CONFIGURATION).write_text(files.to_json(configuration))
    evaluation = Evaluation(folder)
    for condition in evaluation.conditions:
        for k, (log, dataset) in enumerate(evaluation.shards(condition)):
            create_dataset(dataset, {"robot": {"name": "drone"}, "control_rate": 10})
            for number in range(k, 2, shards):
                outcome = OUTCOMES[condition.label, number]
                run = write_run(dataset, number, outcome, learner=True, imitation_loss=0.25)
                timed = {"wall_seconds": wall, "simulated_seconds": 7.0, "inference_frames": 40}
                timed.update(inference_p50=0.004, inference_p99=0.01, deadline_misses=k)
                if number == 0:
                    RunLog(log).append(dict(facts(0, "sim_failure"), reason="by hand"))
                RunLog(log).append({**run.facts, **timed})
    return evaluation


def keep(evaluation):
    for condition in evaluation.conditions:
        for flown in evaluation.flown(condition):
            evaluation.keep(condition, flown)


def without_timing(result):
    return files.to_json({key: value for key, value in result.items() if key != "timing"})


def test_measures_of_conditions_and_checkpoints(tmp_path):
    result = report.result(fly(tmp_path / "e", 1))
    first, second = (condition["measures"] for condition in result["conditions"])
    assert (first["successes"], first["counted"], first["collisions"]) == (1, 2, 1)
    assert (second["successes"], second["collisions"]) == (0, 1)
    assert result["conditions"][0]["runs"][1]["outcome"] == "collision"
    assert result["checkpoints"]["a"]["measures"]["success_rate"] == 0.5
    # 40 frames straight along y = -3: the same distance to the route in every run
    assert first["lateral_mean"] == pytest.approx(second["lateral_mean"])
    assert first["steering_change"] == 0
    assert first["imitation_loss"] == 0.25


def test_failures_and_latency_are_in_timing_alone(tmp_path):
    result = report.result(fly(tmp_path / "e", 1))
    times = result["timing"]["a/esatv3_forward_delay0.1_noise0.1"]
    assert times["simulator_failures"] == 1
    assert times["real_time_ratio"] == 3.5
    assert times["inference_p99"] == 0.01
    assert "inference" not in without_timing(result)
    assert result["conditions"][0]["measures"]["runs"] == 2


def test_same_bytes_whatever_the_simulators_the_clock_and_what_was_kept(tmp_path):
    evaluation = fly(tmp_path / "one", 1)
    before = without_timing(report.result(evaluation))
    keep(evaluation)
    assert without_timing(report.result(Evaluation(tmp_path / "one"))) == before
    assert without_timing(report.result(fly(tmp_path / "two", 2, wall=9.0))) == before


def test_a_run_that_is_missing_is_said(tmp_path):
    evaluation = fly(tmp_path / "e", 1)
    shutil.rmtree(tmp_path / "e" / evaluation.conditions[0].folder / "flights_1" / "00001_esatv3")
    with pytest.raises(DataError, match="1 of 2 runs are there"):
        report.result(evaluation)


def test_a_run_without_a_frame_counts(tmp_path):
    evaluation = fly(tmp_path / "e", 1)
    log = next(evaluation.shards(evaluation.conditions[0]))[0]
    lines = (log / "runs.jsonl").read_text().splitlines()
    (log / "runs.jsonl").write_text("\n".join(lines[:2]) + "\n")
    RunLog(log).append({**facts(1, "trapped", frames=0, distance=0.0, duration=0.0), "imitation_loss": None})
    shutil.rmtree(log.parent / "flights_1" / "00001_esatv3")
    result = report.result(evaluation)
    assert result["conditions"][0]["measures"]["counted"] == 2
    assert result["conditions"][0]["runs"][1]["lateral_mean"] is None
    keep(evaluation)


def test_images_are_taken_out_but_for_those_of_the_end(tmp_path):
    evaluation = fly(tmp_path / "e", 1)
    keep(evaluation)
    condition = evaluation.conditions[0]
    flown = evaluation.flown(condition)[0]
    assert {path.name for path in flown.run.path.iterdir()} == {"frames.csv", "run.json", "sha256sums.txt"}
    assert evaluation.pictures(condition, flown).indices == list(range(40))  # 4 s: all of it is its end


def test_tables(tmp_path):
    result = report.result(fly(tmp_path / "e", 1))
    text = report.table(result).text().splitlines()
    assert "1 of 2" in text[2]
    assert "noise:0.1" in text[2]
    assert report.table(result).csv().splitlines()[0].startswith("checkpoint,world,direction,control_delay")
    assert "90.0 %" in report.checkpoints_table(result).text()


def test_offline_scores_of_the_test_set_else_of_the_validation_set(tmp_path):
    assert report.offline_scores(tmp_path) is None
    (tmp_path / "results.json").write_text(json.dumps({"val": scores(0.5), "test": None}))
    assert report.offline_scores(tmp_path)["part"] == "val"
    (tmp_path / "results.json").write_text(json.dumps({"val": scores(0.5), "test": scores(0.75)}))
    offline = report.offline_scores(tmp_path)
    assert (offline["part"], offline["accuracy"], offline["balanced_accuracy"]) == ("test", 0.75, 0.375)


def test_relation_over_checkpoints():
    def entry(accuracy, rate):
        measures = {"success_rate": rate, "imitation_loss": None, "collision_free_distance": 1.0}
        return {"offline": accuracy and {"accuracy": accuracy}, "measures": measures}

    relation = report.relation(
        {"a": entry(0.9, 0.1), "b": entry(0.8, 0.5), "c": entry(0.7, 1.0), "d": entry(None, 0)}
    )
    assert relation["accuracy"]["success_rate"] == {"points": 3, "rho": -1.0}
    assert relation["accuracy"]["imitation_loss"] == {"points": 0, "rho": None}
    assert relation["balanced_accuracy"]["success_rate"] == {"points": 0, "rho": None}


def test_one_checkpoint_is_no_scatter_plot():
    """Its row in the table says all."""
    measures = {"success_rate": 0.5, "success_low": 0.1, "success_high": 0.9, "imitation_loss": 0.2}
    measures["collision_free_distance"] = 80.0
    offline = {"part": "test", "frames": 10, "accuracy": 0.9, "balanced_accuracy": 0.8, "imitation_loss": 0.1}
    entry = {
        "network": "tiny_net",
        "sha256": "0",
        "offline": offline,
        "measures": {**measures, "counted": 2, "successes": 1},
    }
    for labels, pictures in (("a", 0), ("ab", 1)):
        checkpoints = {label: entry for label in labels}
        result = {"checkpoints": checkpoints, "offline_online": report.relation(checkpoints)}
        page = Page("t")
        evaluation_page._relation(page, result)
        assert page.html().count("<img") == pictures


@pytest.mark.slow
def test_page(tmp_path):
    evaluation = fly(tmp_path / "e", 2)
    keep(evaluation)
    net = nets.build("tiny_net", outputs=3, seed=1)
    Checkpoint(
        network="tiny_net",
        outputs=3,
        net_options=nets.complete_options("tiny_net"),
        action_space=ActionSpace(),
        preprocessing=Preprocessing(nets.spec("tiny_net").input_size),
        model_state_dict=net.state_dict(),
    ).save(tmp_path / "my-model")
    result = report.result(evaluation)
    path = evaluation_page.write(evaluation, result, {label: tmp_path / "my-model" for label in "ab"})
    html = path.read_text()
    for title in ("Measures", "Paths", "Offline scores and flights", "How flights ended", "Films"):
        assert f">{title}</h2>" in html
    assert html.count("data:video/mp4") == 2
    assert 'src="http' not in html
    names = {file.stem for file in (tmp_path / "e" / "evaluation").iterdir()}
    assert {"conditions", "checkpoints", "paths_a", "saliency_b", "film_a", "runs"} <= names
    assert len([name for name in names if name.startswith("end_")]) == 2
