"""Other robots than the drone through the whole path: recorded, verified, out of a bag, learned, driven."""

import filecmp
import json

import numpy as np
import pytest

from nav_pkg.data.reader import load_dataset

SMALL = ("--width", 160, "--height", 120, "--depth_width", 80, "--depth_height", 60)
TRAIN = (
    "--network", "tiny_net", "--discrete", "--loss", "CrossEntropy", "--shifted_input", "--optimizer", "Adam",
    "--learning_rate", 0.001, "--batch_size", 20, "--num_threads", 1, "--max_episodes", 1,
)  # fmt: skip


def mismatch(aside, ahead, degrees):
    """How much the middle rows of two images differ where they show the same directions.

    Args:
        aside: of a camera at the same place that is turned to the left by some degrees.
        ahead: of the first camera, of the same size, 80 degrees wide.
        degrees: the turn.
    """
    height, width = ahead.shape[:2]
    focal = width / 2 / np.tan(np.radians(40))
    # Bearings from straight ahead, left positive, that both see: within 38 degrees of both directions.
    bearings = np.linspace(max(-38, degrees - 38), min(38, degrees + 38), 40)

    def row(image, turned):
        columns = width / 2 - focal * np.tan(np.radians(bearings - turned)) - 0.5
        return image[height // 2, np.round(columns).astype(int)].astype(float)

    return np.abs(row(aside, degrees) - row(ahead, 0)).mean()


def differing(first, other):
    """Files that two folders do not have in common with the same bytes."""
    comparison = filecmp.dircmp(first, other)
    odd = comparison.left_only + comparison.right_only + comparison.funny_files
    odd += filecmp.cmpfiles(first, other, comparison.common_files, shallow=False)[1]
    for name in comparison.common_dirs:
        odd += differing(first / name, other / name)
    return odd


def test_recovery_cameras_are_recorded_learned_from_and_in_bags(shell):
    runs = ("--robot", "drone_recovery", "--number_of_runs", 2, "--start", "route", "--max_duration", 3)
    shell.run("run_script.py", "-t", "sides", "-ds", "--bag", *runs, *SMALL)
    dataset = load_dataset(shell.data / "sides")
    for run in dataset.runs:
        assert run.side_cameras == ("left", "right") and len(run) == 30
        for i in (0, 15, 29):
            for camera, degrees in (("left", 30), ("right", -30)):
                aside, ahead = run.side_rgb(camera, i), run.rgb(i)
                assert mismatch(aside, ahead, degrees) < 0.6 * mismatch(aside, ahead, -degrees)
    shell.run("dataset.py", "verify", "sides")
    bags = sorted((shell.log / "sides" / "bags").glob("*.bag"))
    shell.run("bag_to_dataset.py", *bags, "--dataset", "unbagged")
    assert differing(shell.data / "sides", shell.data / "unbagged") == []
    for part, names in (("train", "00000_esatv3\n"), ("val", "00001_esatv3\n"), ("test", "")):
        (shell.data / "sides" / f"{part}_set.txt").write_text(names)
    out = shell.run("main.py", "-t", "net", "--dataset", "sides", "--recovery_compensation", 0.9, *TRAIN)
    assert "90 frames to train, 30 to validate" in out


def test_a_turtlebot_is_recorded_learned_and_driven(shell):
    runs = ("--robot", "turtlebot3", "--number_of_runs", 3, "--start", "route", "--max_duration", 4)
    shell.run("run_script.py", "-t", "turtle", "-ds", *runs, *SMALL)
    for run in load_dataset(shell.data / "turtle").runs:
        frames = run.frames
        assert run.facts["outcome"] == "timeout" and len(run) == 40 and run.facts["height"] is None
        assert np.abs(frames.z).max() < 1e-6 and not frames.expert_z.any() and not frames.applied_z.any()
        assert frames.vx[20:].mean() == pytest.approx(0.3, rel=0.02) and 0.9 < run.facts["progress"] < 1.3
    shell.run("dataset.py", "verify", "turtle")
    clean = ("--startswith", "turtle", "--destination", "clean", "--outcomes", "timeout", "--min_rgb", 10)
    shell.run("clean_dataset.py", *clean, "--min_distance", 0.5, "--val_len", 1, "--test_len", 1)
    shell.run("main.py", "-t", "turtle_net", "--dataset", "clean", *TRAIN)
    drive = ("--robot", "turtlebot3", "--checkpoint_path", "turtle_net", "--alpha", 0, "--max_duration", 3)
    shell.run("run_script.py", "-t", "drive", "-ds", *drive, *SMALL)
    (run,) = load_dataset(shell.data / "drive").runs
    frames = run.frames
    assert set(frames.actor) == {"learner"} and not frames.applied_z.any()
    assert set(np.round(frames.applied_x, 6)) == {0.3}
    (line,) = [json.loads(text) for text in (shell.log / "drive" / "runs.jsonl").read_text().splitlines()]
    assert line["outcome"] == "timeout" and line["progress"] < 1.0
