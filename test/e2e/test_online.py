"""Learning in flight, in the real simulator: a seed gives the same paths and weights, killed or not.

Two kills by default, of the session and the learner; test_kill.py kills others. `NAV_PKG_KILLS=30` makes
more of them and `NAV_PKG_ONLINE_KILLS_RESULT` names a file for the counts (make bench).
"""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch

from nav_pkg.data.reader import load_dataset
from nav_pkg.flight.runlog import RunLog
from nav_pkg.learn.checkpoints import checkpoint

KILLS = int(os.environ.get("NAV_PKG_KILLS", "2"))
pytestmark = pytest.mark.timeout(1500 + 90 * KILLS)

TARGETS = {
    "session": b"run_script.py",
    "learner": b"main.py",
    "supervisor": b"supervisor.py",
    "recorder": b"recorder.py",
}
FLIGHT = (
    "-ds", "--online", "--network", "tinyv3_net", "--discrete", "--loss", "CrossEntropy", "--shifted_input",
    "--batch_size", 8, "--gradient_steps", 2, "--buffer_size", 150, "--learning_rate", 0.05,
    "--num_threads", 1, "--random_seed", 17, "--alpha", 0.7, "--alpha_schedule", "exponential",
    "--takeover_distance", 0.8,
    "--epsilon", 0.1, "--start", "route", "--max_duration", 6,
    "--width", 160, "--height", 120, "--depth_width", 80, "--depth_height", 45,
)  # fmt: skip


def processes(shell, wanted):
    """Processes of this test whose command contains a word: of the session, and of its graph."""
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            except OSError:
                continue
            of_session = b"NAV_PKG_GRAPH=" in environment or b"run_script.py" in command
            if wanted in command and str(shell.log).encode() in environment and of_session:
                pids.append(int(entry.name))
    return pids


def gone(shell):
    """Whether nothing runs any more; in three looks, as a process shows no environment while it starts."""
    for _ in range(3):
        if processes(shell, b""):
            return False
        time.sleep(0.1)
    return True


def flown(shell, tag):
    """Everything that a session leaves and that its seed decides."""
    dataset, log = shell.data / tag, shell.log / tag
    frames = {
        run.name: [(run.path / name).read_bytes() for name in ("frames.csv", "RGB.tar")]
        for run in load_dataset(dataset).runs
    }
    loaded = checkpoint.load(log)
    return {
        "frames": frames,
        "metrics": (log / "metrics.jsonl").read_bytes(),
        "updates": loaded.updates,
        "buffer": loaded.progress["replay"]["frames"].tolist(),
        "weights": [value.numpy().tobytes() for value in loaded.model_state_dict.values()],
        "random": loaded.random_states["cpu"].numpy().tobytes(),
    }


@pytest.fixture(scope="module")
def runs():
    return KILLS + 1


def test_it_learns_in_flight(shell, runs):
    out = shell.run("run_script.py", "-t", "whole", "--number_of_runs", runs, *FLIGHT, name="whole")
    assert f"{runs} runs:" in out
    lines = [json.loads(line) for line in (shell.log / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert [line["run"] for line in lines] == list(range(runs))
    assert lines[-1]["updates"] > 2 * 60 * (runs - 1)
    assert all(
        line["flight"]["actors"]["expert"] and line["flight"]["actors"]["learner"] for line in lines[:3]
    )
    assert lines[-1]["buffer"]["size"] == 150
    assert lines[0]["train"]["loss"] > lines[-1]["train"]["loss"]
    alphas = [run["alpha"] for run in RunLog(shell.log / "whole").runs()]
    assert alphas[:3] == pytest.approx([0.7, 0.35, 0.175])
    state = checkpoint.load(shell.log / "whole").model_state_dict
    assert all(torch.isfinite(value).all() for value in state.values())


def test_a_kill_leaves_no_trace(shell, runs):
    generator = random.Random(9)
    targets = [list(TARGETS)[number % len(TARGETS)] for number in range(KILLS)]
    generator.shuffle(targets)
    log, kills = RunLog(shell.log / "cut"), 0

    def start_flight():
        return shell.start("run_script.py", "-t", "cut", "--number_of_runs", runs, *FLIGHT, name="cut")

    def wait_for(awaited, ready, limit=200):
        deadline = time.monotonic() + limit
        while not ready():
            assert time.monotonic() < deadline, f"waited {limit} s for {awaited}\n" + shell.report("cut")
            time.sleep(0.02)

    flight = start_flight()
    try:
        for number, target in enumerate(targets):
            # the next run is under way
            wait_for(
                f"run {number}",
                lambda number=number: (
                    len(log.finished()) >= number and (log.state() or {}).get("state") == "running"
                ),
            )
            time.sleep(generator.uniform(0, 3))
            wait_for(target, lambda target=target: processes(shell, TARGETS[target]))
            for process in processes(shell, TARGETS[target]):
                try:
                    os.kill(process, signal.SIGKILL)
                    kills += 1
                except ProcessLookupError:
                    continue
            if target == "session":
                flight.wait(timeout=60)
                wait_for("the graph to be gone", lambda: gone(shell))
                flight = start_flight()
        assert flight.wait(timeout=400) == 0, shell.report("cut")
    finally:
        if flight.poll() is None:
            flight.terminate()
            flight.wait(timeout=60)
    assert kills >= KILLS
    whole, cut = flown(shell, "whole"), flown(shell, "cut")
    for key in whole:
        assert cut[key] == whole[key], key
    shell.run("dataset.py", "verify", "cut", name="verify")
    if "NAV_PKG_ONLINE_KILLS_RESULT" in os.environ:
        result = {"kills": kills, "runs": runs, "updates": whole["updates"], "same": True}
        Path(os.environ["NAV_PKG_ONLINE_KILLS_RESULT"]).write_text(json.dumps(result))


def test_recovery_cameras_are_learned_from(shell):
    words = (*FLIGHT, "--robot", "drone_recovery", "--recovery_compensation", 0.9, "--max_duration", 3)
    shell.run("run_script.py", "-t", "sides", *words, name="sides")
    assert "left camera, right camera" in (shell.log / "sides" / "graph.log").read_text()
    replay = checkpoint.load(shell.log / "sides").progress["replay"]
    yaw = replay["yaw"].reshape(-1, 3)  # the first camera's, the left one's, the right one's
    expert = load_dataset(shell.data / "sides").runs[0].frames["expert_yaw"]
    assert len(yaw) > 20 and yaw[:, 0].tolist() == pytest.approx(expert[: len(yaw)].tolist())
    assert yaw[:, 1].tolist() == pytest.approx((yaw[:, 0] - 0.9).clip(-1, 1).tolist())
    assert yaw[:, 2].tolist() == pytest.approx((yaw[:, 0] + 0.9).clip(-1, 1).tolist())


def test_a_buffer_is_filled_from_a_dataset(shell):
    runs = load_dataset(shell.data / "whole").runs
    for part, names in (("train", [run.name for run in runs]), ("val", []), ("test", [])):
        (shell.data / "whole" / f"{part}_set.txt").write_text("".join(f"{name}\n" for name in names))
    words = ("--online", "--checkpoint_path", "whole", "--loss", "CrossEntropy", "--batch_size", 8)
    words += ("--learning_rate", 0.05, "--num_threads", 1, "--alpha", 0.5, "--max_duration", 2)
    words += ("--prefill_dataset", "whole", "--prefill_frames", 50, "--buffer_size", 200)
    small = ("--depth_width", 80, "--depth_height", 45)
    refused = shell.run("run_script.py", "-t", "other", *words, *small, code=3, name="other")
    assert refused.count("\n") == 1 and "has a camera of 160x120, this flight has one of 640x360" in refused
    assert not (shell.log / "other").exists()
    shell.run("run_script.py", "-t", "filled", *words, *small, "--width", 160, "--height", 120, name="filled")
    progress = checkpoint.load(shell.log / "filled").progress
    runs_of = progress["replay"]["run"].tolist()
    assert (
        sum(run < 0 for run in runs_of) == 50 and sum(run == 0 for run in runs_of) == progress["frames"] > 10
    )
