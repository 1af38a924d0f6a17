"""The whole path in the real components: fly, record, convert, clean, learn, fly what was learned.

The tests of this file build on each other, in order.
"""

import csv
import json

import numpy as np

from nav_pkg.core import CONTROL_PERIOD_NS
from nav_pkg.data.reader import load_dataset
from nav_pkg.world import load_plan

SHORT = ("--max_duration", 8, "--width", 160, "--height", 120, "--depth_width", 80, "--depth_height", 45)
COLLECT = (
    "-w", "esatv3", "--random_seed", 512, "-ds", "--number_of_runs", 3, "--alpha", 1, "--start", "route",
    "--noise", "gau", "--sigma_yaw", 0.5, *SHORT,
)  # fmt: skip


def contents(dataset):
    """Every recorded byte of a dataset: frames.csv, images, scans."""
    return {
        str(path.relative_to(dataset)): path.read_bytes()
        for path in sorted(dataset.rglob("*"))
        if path.suffix in (".csv", ".tar", ".npy")
    }


def test_collect(shell):
    out = shell.run("run_script.py", "-t", "first", "--bag", *COLLECT)
    assert "3 runs: 3 timeout" in out
    dataset = load_dataset(shell.data / "first")
    assert [run.name for run in dataset.runs] == ["00000_esatv3", "00001_esatv3", "00002_esatv3"]
    for run in dataset.runs:
        assert run.facts["outcome"] == "timeout"
        assert len(run.frames.index) == 80
        assert np.array_equal(np.diff(run.frames.stamp), np.full(79, CONTROL_PERIOD_NS))
        assert run.rgb(40).shape == (120, 160, 3)
        assert run.rgb(40).std() > 10
        assert 4 < run.facts["progress"] < 7
        assert abs(run.frames.z[-1] - 1.0) < 0.25
    description = json.loads((shell.data / "first" / "dataset.json").read_text())
    assert description["robot"]["camera"]["width"] == 160
    out = shell.run("dataset.py", "verify", "first")
    assert "3" in out


def test_images_show_the_pose_of_their_row(shell):
    """Depths at mid-height are the distances to the plan's walls from the pose in the same row.

    A lag of one frame would show: while it turns at 0.9 rad/s the drone sees walls beside it, at
    about 39 degrees, more than 5 % nearer or further from one frame to the next.
    """
    plan = load_plan("esatv3")
    errors, turning = [], []
    for run in load_dataset(shell.data / "first").runs:
        frames = run.frames
        for index in range(len(frames.index)):
            depth = run.depth(index)
            height, width = depth.shape
            columns = np.array([2, width // 4, 3 * width // 4, width - 3])
            focal = width / 2 / np.tan(np.radians(80) / 2)
            angles = np.arctan((width / 2 - columns - 0.5) / focal)
            yaw = frames.yaw[index]
            camera = [frames.x[index] + 0.1 * np.cos(yaw), frames.y[index] + 0.1 * np.sin(yaw)]
            walls = plan.ray_cast(np.repeat([camera], 4, axis=0), yaw + angles) * np.cos(angles)
            measured = np.median(depth[height // 2 - 1 : height // 2 + 1, columns], axis=0)
            near = walls < 4  # far away a small tilt moves the ray to the floor or the ceiling
            errors += list((np.abs(measured - walls) / walls)[near])
            turning += [abs(frames.vyaw[index]) > 0.3] * int(near.sum())
    errors, turning = np.array(errors), np.array(turning)
    assert len(errors) > 200
    assert turning.sum() > 50
    assert np.median(errors[~turning]) < 0.01
    assert np.median(errors[turning]) < 0.015


def test_bag_gives_the_same_dataset(shell):
    bags = sorted((shell.log / "first" / "bags").glob("*.bag"))
    assert len(bags) == 1
    shell.run("bag_to_dataset.py", *bags, "--data_root", shell.data, "--dataset", "from_bag")
    first, bag = contents(shell.data / "first"), contents(shell.data / "from_bag")
    assert sorted(first) == sorted(bag)
    assert [name for name in first if first[name] != bag[name]] == []
    for name in ("dataset.json", "00002_esatv3/run.json"):
        assert json.loads((shell.data / "first" / name).read_text()) == json.loads(
            (shell.data / "from_bag" / name).read_text()
        )


def test_two_sessions_side_by_side_record_the_same_bytes_for_a_seed_and_others_for_another(shell):
    arguments = [2 if word == 3 else word for word in COLLECT]
    same = shell.start("run_script.py", "-t", "same", *arguments, name="same")
    arguments = [512 + 1 if word == 512 else 1 if word == 2 else word for word in arguments]
    other = shell.start("run_script.py", "-t", "other", *arguments, name="other")
    assert same.wait(timeout=400) == 0, shell.report("same")
    assert other.wait(timeout=400) == 0, shell.report("other")
    first, again = contents(shell.data / "first"), contents(shell.data / "same")
    assert {name.split("/")[0] for name in again} == {"00000_esatv3", "00001_esatv3"}
    assert len(again) == 2 * 6 and [name for name in again if again[name] != first[name]] == []
    differs = contents(shell.data / "other")["00000_esatv3/frames.csv"]
    assert differs != first["00000_esatv3/frames.csv"]


def test_learn_and_fly(shell):
    shell.run(
        "clean_dataset.py", "--data_root", shell.data, "--startswith", "first", "--destination", "clean",
        "--outcomes", "timeout", "--val_len", 1, "--test_len", 1, "--min_rgb", 10, "--max_rgb", 1000,
    )  # fmt: skip
    shell.run(
        "main.py", "--network", "tiny_net", "--discrete", "--dataset", "clean", "--loss", "CrossEntropy",
        "--optimizer", "SGD", "--learning_rate", 0.01, "--batch_size", 16, "--max_episodes", 2,
        "--tensorboard", "--owr", "-t", "tiny",
    )  # fmt: skip
    results = json.loads((shell.log / "tiny" / "results.json").read_text())
    assert 0 <= results["test"]["accuracy"] <= 1
    assert (shell.log / "tiny" / "my-model").stat().st_size > 8_199_009 * 4
    shell.run(
        "run_script.py", "-t", "flight", "-ds", "--checkpoint_path", "tiny", "--alpha", 0, "-e",
        "--start", "route", "--number_of_runs", 1, "--random_seed", 7, *SHORT,
    )  # fmt: skip
    run = load_dataset(shell.data / "flight").runs[0]
    assert set(run.frames.actor) == {"learner"}
    assert run.facts["imitation_loss"] is not None
    with open(shell.data / "flight" / run.name / "frames.csv") as file:
        row = next(csv.DictReader(file))
    assert float(row["learner_yaw"]) in (-1.0, 0.0, 1.0)
    assert float(row["applied_yaw"]) == float(row["learner_yaw"])
    lines = [json.loads(line) for line in (shell.log / "flight" / "runs.jsonl").read_text().splitlines()]
    assert lines[0]["wall_seconds"] > 0
    shell.run("dataset.py", "verify", "flight")
