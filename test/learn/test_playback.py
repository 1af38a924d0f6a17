"""Recorded runs played back to pilots: the answers are those of validation, and what is said of them."""

import json

import numpy as np
import pytest

from nav_pkg.cli import playback as command
from nav_pkg.cli.main import main
from nav_pkg.core import DataError
from nav_pkg.data.reader import load_dataset
from nav_pkg.learn.deployment.pilot import Pilot
from nav_pkg.learn.deployment.playback import Playback, joined, play

LSTM = "--network tiny_LSTM_net --batch_size 5 --time_length 9 --optimizer Adam --learning_rate 0.003"
TRAIN = "--discrete --loss CrossEntropy --shifted_input --max_episodes 4 --num_threads 1"


@pytest.mark.slow
@pytest.mark.parametrize("network", [LSTM, "--network tinyv3_3d_net --n_frames 3 --learning_rate 0.1"])
def test_a_pilot_answers_a_recorded_run_as_validation_does(tmp_path, data_root, capsys, network):
    """State and all: from the run's first frame on, images as the camera gives them."""
    places = ["--data_root", str(data_root), "--summary_dir", str(tmp_path), "--dataset", "easy"]
    assert main([*places, "-t", "net", *network.split(), *TRAIN.split()]) == 0
    validated = json.loads((tmp_path / "net/results.json").read_text())["val"]
    (run,) = load_dataset("easy", data_root).split("val")
    played = play(Pilot.load("net", tmp_path), run)
    confusion = np.zeros((3, 3), int)
    np.add.at(confusion, (played.labels, played.answers), 1)
    assert confusion.tolist() == validated["confusion"]
    assert len(set(played.answers.tolist())) > 1  # it says something
    assert played.imitation_loss == pytest.approx(validated["imitation_loss"])
    capsys.readouterr()
    words = ["-m", "net", *places[:4], "--dataset", "easy", "--num_threads", "1"]
    assert command.main([*words, "--csv", str(tmp_path / "played.csv")]) == 0
    first, second = (tmp_path / "played.csv").read_text().splitlines()
    row_values = dict(zip(first.split(","), second.split(",")))
    assert float(row_values["accuracy"]) == validated["accuracy"] and row_values["run"] == run.name
    row = capsys.readouterr().out.splitlines()[-1].split()
    assert row[:4] == ["net", run.name, "90", f"{validated['accuracy']:.4f}"]


def make_playback(labels, answers, flown=None):
    labels, answers = np.array(labels), np.array(answers)
    flown = np.full(len(labels), -1) if flown is None else np.array(flown)
    return Playback(labels, answers, labels - 1.0, answers - 1.0, flown, np.arange(len(labels)) == 0)


def test_where_the_label_stays_and_where_it_changes():
    playback = make_playback([1, 1, 2, 2, 1], [1, 1, 1, 2, 1], flown=[1, 1, 1, 1, 1])
    assert playback.is_class_change.tolist() == [False, False, True, False, True]
    assert playback.accuracy == 0.8 and playback.imitation_loss == 0.2
    assert (
        playback.accuracy_where(playback.is_class_change) == 0.5
        and playback.accuracy_where(playback.is_same_class) == 1.0
    )
    assert playback.is_same_class.tolist() == [False, True, False, True, False]
    assert playback.changed_answers == playback.changed_labels == 0.5 and playback.flown_agreement == 0.8
    # a run's first frame is no change from the run before
    both = joined([playback, make_playback([2, 2], [0, 0])])
    assert both.is_class_change.tolist()[5:] == [False, False] and both.changed_answers == pytest.approx(
        2 / 5
    )
    assert both.flown_agreement == 0.8 and make_playback([1], [1]).flown_agreement is None
    assert (
        make_playback([1], [1]).accuracy_where(np.array([False]))
        is make_playback([1], [1]).changed_answers
        is None
    )


def test_what_is_refused(tmp_path, data_root):
    places = ["--data_root", str(data_root), "--summary_dir", str(tmp_path)]
    with pytest.raises(DataError, match="nothing"):
        command.main(["-m", "nothing", *places, "--dataset", "easy"])
    (tmp_path / "my-model").write_bytes(b"damaged")
    with pytest.raises(DataError, match="esy"):
        command.main(["-m", str(tmp_path / "my-model"), *places, "--dataset", "esy"])
