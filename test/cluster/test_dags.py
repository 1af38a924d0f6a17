"""DAGs on a real pool: models that are held, removed, resumed, vacated; recordings with a session's bytes."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from nav_pkg.cluster import status
from nav_pkg.cluster.plan import Hosts, Resources

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 600.0
"""Seconds that a DAG may take on a busy machine."""


@pytest.fixture
def folders(base, pool, monkeypatch, tmp_path_factory):
    """Folders of all logs and datasets below the checkout, where DAGMan takes node logs, for this test."""
    work = base / f"dag-{time.monotonic_ns()}"
    for name, variable in (("log", "NAV_PKG_LOG"), ("data", "NAV_PKG_DATA"), ("packs", "NAV_PKG_CACHE")):
        (work / name).mkdir(parents=True)
        monkeypatch.setenv(variable, str(work / name))
    yield work
    act("Remove", "true")  # what a failed test left


def schedd():
    """The pool's queue."""
    import htcondor2

    htcondor2.reload_config()
    return htcondor2.Schedd()


def act(what, constraint):
    """Do something to jobs."""
    import htcondor2

    schedd().act(getattr(htcondor2.JobAction, what), constraint)


def until(ready, what):
    """Wait until something is so."""
    end = time.monotonic() + LIMIT
    while not ready():
        assert time.monotonic() < end, f"waited {LIMIT} s for {what}"
        time.sleep(0.1)


def run(script, *words, code=0):
    """Run a command; what it printed."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == code, done.stdout
    assert "Traceback" not in done.stdout
    return done.stdout


def wait(folders, tag, code=0):
    """Wait for a DAG's end as a user would; its nodes by name."""
    said = run("dag_status.py", tag, "--watch", "--every", 0.5, code=code)
    dag = status.Dag(folders / "log" / tag / "DAG")
    nodes = {node.name: node for node in dag.look()}
    outputs = {
        file.name: file.read_text()[-600:] for file in (folders / "log" / tag / "DAG" / "out").iterdir()
    }
    if code == 0:
        assert {node.status for node in nodes.values()} == {"done"}, (said, outputs)
    return nodes


LINE = [
    "--dataset",
    "easy",
    "--discrete",
    "--loss",
    "CrossEntropy",
    "--learning_rate",
    0.1,
    "--batch_size",
    1,
]
LINE += ["--max_episodes", 3, "--continue_training", "--checkpoint_path", "tiny_net_scratch"]
LINE += ["--num_threads", 1]


def test_two_models_that_are_held_removed_vacated_and_reported(folders):
    """As no pool's: bit for bit what main.py learns that nothing disturbs."""
    write = runpy.run_path(str(ROOT / "test" / "learn" / "conftest.py"))["_write_dataset"]
    dataset = write(folders / "data", runs=2, frames=40)  # an episode has 80 batches
    line = ["-t", "t/models", *LINE, "--number_of_models", 2, "--cpus", 1, "--wall_time_rec", 600]
    log = folders / "log" / "t" / "models"
    image = dataset / "00000_esatv3" / "RGB" / "0000000000.jpg"
    whole = image.read_bytes()
    image.write_bytes(b"damaged")  # what only the jobs look at
    said = run("dag_train.py", *line)
    assert "submitted: job" in said and "tiny_net_scratch" in said
    assert "its DAG is in the queue" in run("dag_train.py", *line, code=2)
    dag = status.Dag(log / "DAG")
    until(lambda: [node.status for node in dag.look()][:2] == ["held", "held"], "two held jobs")
    assert str(image) in run("dag_status.py", "t/models", "--once")
    cluster = json.loads((log / "DAG" / "submitted.json").read_text())["cluster"]
    act("Remove", f"ClusterId == {cluster}")
    until(lambda: not list(schedd().query(f"ClusterId == {cluster}")), "the removed DAG's end")

    image.write_bytes(whole)
    assert "submitted: job" in run("dag_train.py", *line)
    alone = [*map(str, LINE), "--random_seed", "123"]
    plain = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "main.py"), "-t", "plain", *alone],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    vacate_in_mid_episode(log)
    nodes = wait(folders, "t/models")
    model = nodes["m_0_train"]
    assert (model.done, model.unit, model.tries) == (3, "episodes", nodes["m_1_train"].tries + 1)
    said, _ = plain.communicate(timeout=LIMIT)
    assert plain.returncode == 0, said
    ours, theirs = log / "seed_123", folders / "log" / "plain"
    assert_same_weights(ours, theirs)
    assert (ours / "metrics.jsonl").read_bytes() == (theirs / "metrics.jsonl").read_bytes()
    found, wanted = (json.loads((place / "results.json").read_text()) for place in (ours, theirs))
    assert found["test"] == wanted["test"] and found["val"] == wanted["val"]

    report = json.loads((log / "report.json").read_text())
    assert [row["seed"] for row in report["models"]] == [123, 456]
    assert all(row["val_accuracy"] > 0 and "problem" not in row for row in report["models"])
    assert (log / "report.html").exists() and (log / "report" / "curves.csv").exists()
    assert (log / "seed_456" / "my-model").exists()
    assert f"this DAG is done; what it made: {log / 'report.html'}" in run("dag_train.py", *line)


def vacate_in_mid_episode(log):
    """Vacate the first model's job after its first episode."""
    metrics, out = log / "seed_123" / "metrics.jsonl", log / "DAG" / "out" / "m_0_train.out"
    until(lambda: metrics.exists() and metrics.read_text().count("\n") >= 1, "the first episode")
    # stopped, until it has got the signal: else a fast machine would be done before
    wrapper = json.loads((log / "DAG" / "state" / "m_0_train.json").read_text())["pid"]
    (training,) = Path(f"/proc/{wrapper}/task/{wrapper}/children").read_text().split()
    os.kill(int(training), signal.SIGSTOP)
    act("Vacate", 'DAGNodeName == "m_0_train"')
    until(lambda: pending(training, signal.SIGTERM), "the signal")
    os.kill(int(training), signal.SIGCONT)
    until(lambda: "the next try goes on" in out.read_text(), "a stop")
    saved = re.search(r"saved \S+ after (\d+) episodes and (\d+) batches", out.read_text())
    assert saved and int(saved.group(1)) >= 1, out.read_text()
    print(saved.group())  # on a machine that does not stand still, in the middle of the second episode


def pending(pid, number):
    """Whether a process has a signal that it has not taken yet."""
    (mask,) = re.findall(r"^ShdPnd:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(mask, 16) & 1 << (number - 1))


def assert_same_weights(*folders):
    import torch

    ours, theirs = (
        torch.load(folder / "my-model", weights_only=True)["model_state_dict"] for folder in folders
    )
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.skipif(shutil.which("roslaunch") is None, reason="needs ROS")
def test_recorders_make_the_bytes_of_one_session(folders, make_queue):
    """Three simulators on one host, at least two of them at the same time.

    Each has its own ROS master, ports, display and folder. The DAG's recorders write to the shared
    file system. The session's files travel, and it is sent home after each run.
    """
    flight = ["-t", "c", "-w", "esatv3", "--random_seed", 7, "--start", "route", "--max_duration", 4, "-ds"]
    flight += ["--width", 160, "--height", 120, "--depth_width", 80, "--depth_height", 45]
    cleaning = ["--val_len", 0, "--test_len", 0, "--min_rgb", 10, "--outcomes", "timeout"]
    queue = make_queue(f"far-{time.monotonic_ns()}")
    far = queue.job(
        "far", "run_script.py", *flight, "--number_of_runs", 2, kind="record", simulator=True, total=2,
        unit="runs", resources=Resources(cpus=4, memory=1500, disk=500), outputs=("log/c", "data/c"),
    )  # fmt: skip
    # first: HTCondor takes five seconds to bring its files
    folder, numbers = queue.submit(
        far, root=ROOT, hosts=Hosts(file_transfer=True, nice=False), spec={"save_every": 0.1}
    )
    recorders = ["--number_of_recorders", 2, "--number_of_runs", 1, "--destination", "made", "--cpus", 4]
    run("dag_create_data.py", *flight, *cleaning, *recorders)
    nodes = wait(folders, "c")
    assert nodes["r1"].done == 1 and nodes["verify"].status == "done"
    state = json.loads((folders / "log/c/DAG/state/r1.json").read_text())
    assert (state["runs"], state["of"], state["unit"]) == (1, 1, "runs")
    assert queue.wait(numbers["far"], 4, 5, limit=LIMIT)["ExitCode"] == 0, queue.report()
    assert "sending home what there is" in (folder / "out" / "far.out").read_text()
    one = queue.ad(numbers["far"])
    others = [list(queue.schedd.history(f'DAGNodeName == "{name}"', [], match=1))[0] for name in ("r0", "r1")]
    assert any(
        max(ad["JobStartDate"] for ad in (one, other)) < min(ad["CompletionDate"] for ad in (one, other))
        for other in others
    ), "no two ran at the same time"

    brought = folders / "brought"
    with tarfile.open(folder / "transfer" / "far.tar") as tar:
        tar.extractall(brought)
    log = [json.loads(line) for line in (brought / "log/c/runs.jsonl").read_text().splitlines()]
    assert sorted(run["run"] for run in log if not run.get("interrupted")) == [0, 1], "a run twice, or lost"
    words = ["--startswith", "c", "--destination", "made", "--random_seed", 7, *cleaning]
    run("clean_dataset.py", *words, "--data_root", brought / "data")
    for name in ("c", "made"):
        ours, theirs = (contents(place / name) for place in (folders / "data", brought / "data"))
        assert len(ours) > 80 and [key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key)] == []
    queue.clear()


def contents(folder):
    """All files of a folder, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
