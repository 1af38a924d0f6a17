"""DAGs on a real pool: models and their report, recordings with the bytes of one session, going on."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nav_pkg.cluster import status

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 240.0
"""Seconds that a DAG may take on a busy machine."""


@pytest.fixture
def folders(base, pool, monkeypatch, tmp_path_factory):
    """Folders of all logs and datasets below the checkout, where DAGMan takes node logs, for this test."""
    work = base / f"dag-{time.monotonic_ns()}"
    for name, variable in (("log", "NAV_PKG_LOG"), ("data", "NAV_PKG_DATA"), ("packs", "NAV_PKG_CACHE")):
        (work / name).mkdir(parents=True)
        monkeypatch.setenv(variable, str(work / name))
    return work


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


def test_two_models_and_their_report(folders):
    write = runpy.run_path(str(ROOT / "test" / "learn" / "conftest.py"))["_write_dataset"]
    write(folders / "data", runs=2, frames=40)
    line = [
        "-t",
        "t/models",
        "--dataset",
        "easy",
        "--discrete",
        "--loss",
        "CrossEntropy",
        "--learning_rate",
        0.1,
    ]
    line += ["--number_of_models", 2, "--max_episodes", 2, "--batch_size", 16, "--continue_training"]
    line += ["--checkpoint_path", "tiny_net_scratch", "--cpus", 1, "--wall_time_rec", 600, "--num_threads", 1]
    said = run("dag_train.py", *line)
    assert "submitted: job" in said and "tiny_net_scratch" in said
    said = run("dag_train.py", *line, code=2)
    assert "its DAG is in the queue" in said
    nodes = wait(folders, "t/models")
    assert (
        nodes["m_0_train"].done == 2
        and nodes["m_0_train"].unit == "episodes"
        and nodes["m_0_train"].tries == 1
    )
    log = folders / "log" / "t" / "models"
    report = json.loads((log / "report.json").read_text())
    assert [row["seed"] for row in report["models"]] == [123, 456]
    assert all(row["val_accuracy"] > 0 and "problem" not in row for row in report["models"])
    assert (log / "report.html").exists() and (log / "report" / "curves.csv").exists()
    assert (log / "seed_456" / "my-model").exists()
    assert f"this DAG is done; what it made: {log / 'report.html'}" in run("dag_train.py", *line)
    # the same model without a pool
    plain = [word for word in line if word not in ("--number_of_models", "--cpus", "--wall_time_rec", 600)]
    plain[plain.index("t/models")] = "plain"
    at = [i for i, word in enumerate(plain) if word in (1, 2)]
    plain = [
        w for i, w in enumerate(plain) if i != at[0] and not (w == 1 and plain[i - 1] == "tiny_net_scratch")
    ]
    run("main.py", *plain, "--random_seed", 456)
    ours, theirs = (json.loads((log.parent.parent / name / "results.json").read_text()) for name in (
        "t/models/seed_456", "plain"))  # fmt: skip
    assert ours["test"] == theirs["test"] and ours["val"] == theirs["val"]


def test_a_dag_that_failed_goes_on_where_it_was(folders):
    """One model's checkpoint is taken away: its job is held, the DAG removed, and continued when it is "
    "back."""
    write = runpy.run_path(str(ROOT / "test" / "learn" / "conftest.py"))["_write_dataset"]
    dataset = write(folders / "data", runs=2, frames=40)
    line = [
        "-t",
        "again",
        "--dataset",
        "easy",
        "--discrete",
        "--loss",
        "CrossEntropy",
        "--number_of_models",
        1,
    ]
    line += ["--max_episodes", 1, "--batch_size", 16, "--cpus", 1, "--num_threads", 1]
    run("dag_train.py", *line, "--dont_submit")
    hidden = dataset.with_name("hidden")
    os.rename(dataset, hidden)
    assert "no such dataset" in run("dag_train.py", *line, code=3)
    os.rename(hidden, dataset)
    image = dataset / "00000_esatv3" / "RGB" / "0000000000.jpg"
    whole = image.read_bytes()
    image.write_bytes(b"damaged")  # what only the job looks at
    run("dag_train.py", *line)
    dag = status.Dag(folders / "log" / "again" / "DAG")
    end = time.monotonic() + LIMIT
    while {node.name: node for node in dag.look()}["m_0_train"].status != "held":
        assert time.monotonic() < end, dag.look()
        time.sleep(0.3)
    assert str(image) in run("dag_status.py", "again", "--once")
    import htcondor2

    htcondor2.reload_config()
    cluster = json.loads((folders / "log" / "again" / "DAG" / "submitted.json").read_text())["cluster"]
    htcondor2.Schedd().act(htcondor2.JobAction.Remove, f"ClusterId == {cluster}")
    while list(htcondor2.Schedd().query(f"ClusterId == {cluster}")):
        assert time.monotonic() < end
        time.sleep(0.3)
    image.write_bytes(whole)
    run("dag_train.py", *line)
    assert wait(folders, "again")["m_0_train"].status == "done"


def test_recorders_make_the_bytes_of_one_session(folders):
    flight = ["-w", "esatv3", "--random_seed", 7, "--start", "route", "--max_duration", 4, "-ds"]
    flight += ["--width", 160, "--height", 120]
    cleaning = ["--val_len", 0, "--test_len", 0, "--min_rgb", 10, "--outcomes", "timeout"]
    recorders = ["--number_of_recorders", 2, "--number_of_runs", 1, "--destination", "made", "--cpus", 2]
    run("dag_create_data.py", "-t", "c", *flight, *cleaning, *recorders)
    nodes = wait(folders, "c")
    assert nodes["r1"].done == 1 and nodes["verify"].status == "done"
    places = ["--summary_dir", folders / "plain" / "log", "--data_root", folders / "plain" / "data"]
    run("run_script.py", "-t", "c", *flight, "--number_of_runs", 2, *places)
    run(
        "clean_dataset.py",
        "--startswith",
        "c",
        "--destination",
        "made",
        "--random_seed",
        7,
        *cleaning,
        *places[2:],
    )
    for name in ("c", "made"):
        ours, theirs = (contents(place / name) for place in (folders / "data", folders / "plain" / "data"))
        assert len(ours) > 80 and [key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key)] == []


def contents(folder):
    """All files of a folder, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
