"""Recovery cameras: samples of their own, labels turned back, in training alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nav_pkg.cli.main import main
from nav_pkg.core import Actor, Command, DataError, Frame, Pose, UsageError, Velocity
from nav_pkg.data.reader import Dataset
from nav_pkg.data.resize import resize
from nav_pkg.data.writer import RunWriter, create_dataset
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.loading import load_samples
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.batches.recovery import Recovery

SIZE = (128, 128)
GREY = {"": 100, "left": 40, "right": 200}
FRAMES = 40


def image(camera: str, i: int) -> np.ndarray:
    return np.full((36, 64, 3), GREY[camera] + i % 4, np.uint8)


@pytest.fixture(scope="module")
def root(tmp_path_factory, cache):
    """A data root with `sides`: the expert always flies straight, each camera has a brightness of its own."""
    root = tmp_path_factory.mktemp("recovery")
    path = create_dataset(root / "sides", {"camera": {}, "robot": "drone", "control_rate": 10})
    straight = Command(x=0.8, yaw=0.1)
    for number in range(3):
        writer = RunWriter(path, f"{number:05d}_esatv3", {"world": "esatv3"})
        for i in range(FRAMES):
            frame = Frame(
                index=i,
                stamp=i * 100_000_000,
                expert=straight,
                learner=None,
                applied=straight,
                actor=Actor.EXPERT,
                pose=Pose(0.08 * i, 0.0, 1.0),
                velocity=Velocity(0.8),
                nearest=2.0,
                progress=0.08 * i,
            )
            sides = {name: image(name, i) for name in ("left", "right")}
            writer.add(frame, rgb=image("", i), side_rgb=sides)
        writer.commit({"outcome": "success"})
    for part, number in (("train", 0), ("val", 1), ("test", 2)):
        (path / f"{part}_set.txt").write_text(f"{number:05d}_esatv3\n")
    return root


def test_labels_turn_back_and_are_limited():
    """By REP 103: who has turned left (positive) has to turn right (negative)."""
    recovery = Recovery(0.9, ActionSpace(bound=1.0))
    yaw = np.array([0.0, 0.9, -0.9, 0.05])
    assert recovery.labels(yaw, "left") == pytest.approx([-0.9, 0.0, -1.0, -0.85])
    assert recovery.labels(yaw, "right") == pytest.approx([0.9, 1.0, 0.0, 0.95])


def test_each_camera_is_a_run_of_its_own(root):
    runs = Dataset(root / "sides").split("train")
    space = ActionSpace(bound=1.0)
    preprocessing = Preprocessing(SIZE, "shifted")
    plain = load_samples(runs, preprocessing)
    samples = load_samples(runs, preprocessing, recovery=Recovery(0.9, space))
    assert len(plain) == FRAMES and len(samples) == 3 * FRAMES
    assert samples.names == ["00000_esatv3", "00000_esatv3 (left camera)", "00000_esatv3 (right camera)"]
    assert np.unique(samples.yaw[:FRAMES]) == pytest.approx([0.1])
    assert np.unique(samples.yaw[FRAMES : 2 * FRAMES]) == pytest.approx([-0.8])
    assert np.unique(samples.yaw[2 * FRAMES :]) == pytest.approx([1.0])
    pixels = np.empty((3, *SIZE, 3), np.uint8)
    samples.gather(np.array([7, FRAMES + 7, 2 * FRAMES + 7]), pixels)
    for got, camera in zip(pixels, GREY):
        assert np.abs(got.astype(int) - resize(image(camera, 7), SIZE)).max() <= 2  # JPEG
    # the past of a frame is that of its own camera
    assert samples.recent(np.array([FRAMES]), 3).tolist() == [[FRAMES] * 3]
    assert len(load_samples(runs, preprocessing, subsample=4, recovery=Recovery(0.9, space))) == 30


def arguments(root, logs, dataset, *more):
    return [
        *("--data_root", str(root), "--summary_dir", str(logs), "--dataset", dataset),
        *("--network", "tiny_net", "--discrete", "--loss", "CrossEntropy", "--shifted_input"),
        *("--optimizer", "Adam", "--learning_rate", "0.001", "--batch_size", "30", "--num_threads", "1"),
        *more,
    ]


@pytest.mark.slow
def test_training_learns_to_turn_back(root, tmp_path, capsys):
    from nav_pkg.learn.deployment.pilot import Pilot

    flags = ("-t", "a", "--max_episodes", "12", "--recovery_compensation", "0.9")
    assert main(arguments(root, tmp_path, "sides", *flags)) == 0
    assert "120 frames to train, 40 to validate" in capsys.readouterr().out
    results = json.loads((tmp_path / "a" / "results.json").read_text())
    assert results["test"]["frames"] == results["val"]["frames"] == FRAMES
    pilot = Pilot.load("a", summary_dir=tmp_path)
    assert pilot.command(image("left", 0)).yaw < -0.5
    assert pilot.command(image("", 0)).yaw == pytest.approx(0.0)
    assert pilot.command(image("right", 0)).yaw > 0.5


def test_recurrent_networks_learn_each_camera_as_a_sequence(root, tmp_path):
    flags = ("-t", "l", "--network", "tiny_LSTM_net", "--time_length", "10", "--batch_size", "4")
    flags += ("--max_episodes", "1", "--recovery_compensation", "0.9")
    assert main(arguments(root, tmp_path, "sides", *flags)) == 0


def test_without_such_cameras_it_is_refused(data_root, tmp_path):
    with pytest.raises(DataError, match="no training run of .* has recovery cameras: leave it out"):
        main(arguments(data_root, tmp_path, "easy", "-t", "b", "--recovery_compensation", "0.9"))


@pytest.mark.parametrize("value", ["0", "-0.9", "nan"])
def test_values_that_can_not_be(root, tmp_path, value):
    with pytest.raises(UsageError, match="recovery_compensation"):
        main(arguments(root, tmp_path, "sides", "-t", "c", "--recovery_compensation", value))
