"""A DAG of recorders on a real pool: a recording with the bytes of one session."""

from __future__ import annotations

import json
import shutil
import sys
import tarfile
import time
from pathlib import Path

import pytest

from nav_pkg.cluster.plan import Hosts, Resources

sys.path.insert(0, str(Path(__file__).parent))
from dag_commands import LIMIT, ROOT, run, wait  # noqa: E402 (a module of the tests')


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
    far_ad = queue.ad(numbers["far"])
    others = [list(queue.schedd.history(f'DAGNodeName == "{name}"', [], match=1))[0] for name in ("r0", "r1")]
    assert any(
        max(ad["JobStartDate"] for ad in (far_ad, other))
        < min(ad["CompletionDate"] for ad in (far_ad, other))
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
        # Files are sent home when a run ends or, on a slow machine, in the middle of the next one, which is
        # kept apart then and flown again.
        of_dag, of_session = (
            {key: value for key, value in contents(place / name).items() if not key.startswith("quarantine/")}
            for place in (folders / "data", brought / "data")
        )
        assert (
            len(of_dag) > 15
            and [key for key in {*of_dag, *of_session} if of_dag.get(key) != of_session.get(key)] == []
        )
    queue.clear()


def contents(folder):
    """All files of a folder, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
