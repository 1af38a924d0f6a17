"""Sessions in the embedded simulator: no ROS, the same bytes in one process or several, nothing lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nav_pkg.core import LearnerError, UsageError
from nav_pkg.data import commit
from nav_pkg.data.reader import load_dataset
from nav_pkg.session import arguments
from nav_pkg.session.embedded import _learner_errors
from nav_pkg.session.session import Session

ROOT = Path(__file__).resolve().parents[2]
SIZE = ("--width", "64", "--height", "48", "--max_duration", "3")
SMALL = ("--simulator", "embedded", *SIZE)


def environment(**more):
    """One without ROS: only this checkout is on the path."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def command(folder, *words, script="run_script.py"):
    places = [] if script == "evaluate.py" else ["--data_root", str(folder / "data")]
    return [
        *(sys.executable, str(ROOT / "scripts" / script), "--summary_dir", str(folder / "log")),
        *(*places, *SMALL, *words),
    ]


def run(folder, *words, script="run_script.py"):
    return subprocess.run(
        command(folder, *words, script=script), env=environment(), capture_output=True, text=True, timeout=240
    )


def contents(dataset):
    return {
        str(path.relative_to(dataset)): path.read_bytes()
        for path in sorted(dataset.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Three runs, recorded by one process."""
    folder = tmp_path_factory.mktemp("one")
    done = run(folder, "-t", "a", "-ds", "-n", "3")
    assert done.returncode == 0, done.stderr
    assert "3 runs: 3 timeout" in done.stdout
    return contents(folder / "data" / "a")


def test_a_run_names_its_simulator(recorded):
    facts = json.loads(recorded["00000_esatv3/run.json"])
    assert facts["simulator"]["name"] == "embedded" and "Mesa" in facts["simulator"]["gl"]
    assert facts["outcome"] == "timeout" and facts["frames"] == 30


@pytest.mark.slow
def test_processes_side_by_side_record_the_same_bytes(recorded, tmp_path):
    done = run(tmp_path, "-t", "a", "-ds", "-n", "3", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "data" / "a") == recorded
    assert not (tmp_path / "log" / "a" / "heartbeats").exists()


def test_another_driver_is_warned_of(recorded, tmp_path):
    words = ("-t", "a", "-ds")
    assert run(tmp_path, *words, "-n", "1").returncode == 0
    path = tmp_path / "data" / "a" / "00000_esatv3" / "run.json"
    facts = json.loads(path.read_text())
    facts["simulator"]["gl"] = "egl: another"
    path.write_bytes(commit.run_text(facts, path))
    done = run(tmp_path, *words, "-n", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("00000_esatv3 was drawn with egl: another, these runs with egl: llvmpipe") == 1


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_session_is_resumed(recorded, tmp_path, jobs, number):
    words = ("-t", "a", "-ds", "-n", "3", "--jobs", jobs)
    with open(tmp_path / "out", "w") as output:
        session = subprocess.Popen(command(tmp_path, *words), env=environment(), stdout=output, stderr=output)
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob("data/a/*_esatv3*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    session.send_signal(number)
    code = session.wait(timeout=240)
    assert code == (-9 if number == signal.SIGKILL else 85)
    done = run(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    found = contents(tmp_path / "data" / "a")
    assert {name: found[name] for name in recorded} == recorded  # beside it: what was quarantined
    assert len(load_dataset(tmp_path / "data" / "a").runs) == 3


@pytest.mark.slow
def test_a_killed_process_is_replaced(recorded, tmp_path):
    words = ("-t", "a", "-ds", "-n", "3", "--jobs", "2")
    with open(tmp_path / "out", "w") as output:
        session = subprocess.Popen(command(tmp_path, *words), env=environment(), stdout=output, stderr=output)
    deadline = time.monotonic() + 240
    beats = []
    while not beats and session.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
        beats = list(tmp_path.glob("log/a/heartbeats/*/state.json"))
    os.kill(json.loads(beats[0].read_text())["pid"], signal.SIGKILL)
    assert session.wait(timeout=240) == 0, (tmp_path / "out").read_text()
    assert "was killed" in (tmp_path / "out").read_text()
    found = contents(tmp_path / "data" / "a")
    assert {name: found[name] for name in recorded} == recorded


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--graphics"], "--graphics: the embedded simulator has lock-step only, and no window"),
        (["--free_running"], "--free_running: the embedded simulator has lock-step only"),
        (["--jobs", "2", "--bag"], "--jobs 2: ROS sessions have one simulator: leave it out"),
        (["--jobs", "2", "--online", "--network", "tiny_net"], "--jobs 2: a learner needs its runs in order"),
        (["--depth_width", "0"], "a flight needs depth images"),
    ],
)
def test_flags_that_cannot_be(words, text, tmp_path):
    args, learner = arguments.split([*SMALL, "-t", "x", "--summary_dir", str(tmp_path), *words])
    with pytest.raises(UsageError, match=text):
        Session(args, learner, check_only=True)
    assert not list(tmp_path.iterdir())


def test_an_exception_of_torch_is_the_learners_failure():
    with pytest.raises(LearnerError, match="the learner failed: no more memory"), _learner_errors():
        raise RuntimeError("no more\nmemory")


@pytest.mark.slow
def test_it_learns_in_flight_and_flies_what_it_learned(tmp_path):
    tiny = ("--network", "tiny_net", "--discrete", "--num_threads", "1")
    learning = (
        "-t",
        "net",
        "--online",
        *tiny,
        "--buffer_size",
        "200",
        "--batch_size",
        "8",
        "--learning_rate",
        "0.001",
        "--alpha",
        "0.5",
        "-n",
        "2",
    )
    sums = []
    for _ in range(2):
        done = run(tmp_path, *learning, "--owr")
        assert done.returncode == 0, done.stderr
        sums.append((tmp_path / "log" / "net" / "my-model").read_bytes())
    assert sums[0] == sums[1]
    lines = (tmp_path / "log" / "net" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["frames"] for line in lines] == [30, 60]
    done = run(tmp_path, "-t", "flown", "-m", "net", "-n", "2", "--jobs", "2", script="evaluate.py")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "log" / "flown" / "evaluation.json").read_text())
    assert [each["run"] for each in result["conditions"][0]["runs"]] == [0, 1]
    assert all(5 <= each["frames"] <= 30 for each in result["conditions"][0]["runs"])
