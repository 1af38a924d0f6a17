"""Small recorded runs and trainings, made by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nav_pkg.core import Actor, Command, Frame, Pose, Velocity
from nav_pkg.data.reader import Run
from nav_pkg.data.writer import RunWriter, create_dataset
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.checkpoints.checkpoint import Checkpoint
from nav_pkg.world import load_plan

FRAMES = 40


def facts(number, outcome="success", **more):
    """A run's description as the supervisor writes it, with round numbers."""
    return {
        "run": number,
        "name": f"{number:05d}_esatv3",
        "world": "esatv3",
        "outcome": outcome,
        "reason": "made by hand",
        "frames": FRAMES,
        "progress": 100.0,
        "laps": 0.5,
        "distance": 110.0,
        "duration": 4.0,
        "mean_speed": 0.8,
        "nearest": 0.7,
        "imitation_loss": None,
        **more,
    }


def write_run(folder, number, outcome="success", learner=False, frames=FRAMES, **more):
    """Record a straight flight along the first corridor; the expert turns left in every fourth frame."""
    with RunWriter(folder, f"{number:05d}_esatv3") as writer:
        for i in range(frames):
            yaw = 1.0 if i % 4 == 0 else 0.0
            expert = Command(0.8, 0, 0, yaw)
            flown = Command(0.8, 0, 0, 0.0) if learner else None
            rgb = np.full((24, 32, 3), (i, 2 * i, 90), np.uint8)
            rgb[:, i % 32] = 255
            pose = Pose(-50 + 0.08 * i, -3.0, 1.0)
            actor = Actor.LEARNER if learner else Actor.EXPERT
            frame = Frame(
                i, i * 100_000_000, expert, flown, flown or expert, actor, pose, Velocity(0.8), 0.7, 0.08 * i
            )
            writer.add(frame, rgb, np.full((9, 16), 2.0 + i / 100, np.float32))
        writer.commit(facts(number, outcome, frames=frames, **more))
    return Run(folder / f"{number:05d}_esatv3")


@pytest.fixture(scope="session")
def plan():
    """The world esatv3."""
    return load_plan("esatv3")


@pytest.fixture
def dataset(tmp_path):
    """Makes datasets."""

    def make(name, count, **more):
        folder = create_dataset(tmp_path / "data" / name, {"robot": {"name": "drone"}, "control_rate": 10})
        runs = [write_run(folder, number, **more) for number in range(count)]
        for number, part in enumerate(("train", "val", "test")):
            names = [run.name for run in runs[number : number + 1]]
            (folder / f"{part}_set.txt").write_text("".join(f"{name}\n" for name in names))
        return folder

    return make


def scores(accuracy):
    """Scores of 40 frames, of which the share `accuracy` was right."""
    right = round(40 * accuracy)
    return {
        "frames": 40,
        "loss": 1 - accuracy,
        "imitation_loss": 0.25,
        "accuracy": accuracy,
        "balanced_accuracy": accuracy / 2,
        "majority_accuracy": 0.75,
        "recall": [None, accuracy, accuracy / 4],
        "confusion": [[0, 0, 0], [0, right, 40 - right], [0, 0, 0]],
    }


@pytest.fixture
def training(tmp_path):
    """The log folder of a training of three episodes."""
    folder = tmp_path / "log" / "train"
    folder.mkdir(parents=True)
    lines = [
        {
            "episode": i + 1,
            "updates": 100 * (i + 1),
            "train": scores(0.6 + i / 20),
            "val": scores(0.5 + i / 20),
        }
        for i in range(3)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "results.json").write_text(json.dumps({"val": scores(0.6), "test": scores(0.8125)}))
    Checkpoint(
        network="tiny_net",
        outputs=3,
        net_options={},
        action_space=ActionSpace(),
        preprocessing=Preprocessing((128, 128)),
        model_state_dict={},
    ).save(folder / "my-model")
    return folder
