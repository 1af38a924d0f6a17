"""A DAG of models on a real pool: held, removed, resumed, vacated, and reported."""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path

from nav_pkg.cluster import status

sys.path.insert(0, str(Path(__file__).parent))
from dag_commands import LIMIT, ROOT, act, run, schedd, until, wait  # noqa: E402 (a module of the tests')

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
    image = dataset / "00000_esatv3" / "RGB.tar"
    whole = image.read_bytes()
    image.write_bytes(whole[:600] + b"damaged" + whole[607:])  # what only the jobs look at
    output = run("dag_train.py", *line)
    assert "submitted: job" in output and "tiny_net_scratch" in output
    assert "its DAG is in the queue" in run("dag_train.py", *line, code=2)
    dag = status.Dag(log / "DAG")
    until(lambda: [node.status for node in dag.update()][:2] == ["held", "held"], "two held jobs")
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
    output, _ = plain.communicate(timeout=LIMIT)
    assert plain.returncode == 0, output
    of_dag, of_command = log / "seed_123", folders / "log" / "plain"
    assert_same_weights(of_dag, of_command)
    assert (of_dag / "metrics.jsonl").read_bytes() == (of_command / "metrics.jsonl").read_bytes()
    results, wanted = (json.loads((place / "results.json").read_text()) for place in (of_dag, of_command))
    assert results["test"] == wanted["test"] and results["val"] == wanted["val"]

    report = json.loads((log / "report.json").read_text())
    assert [row["seed"] for row in report["models"]] == [123, 456]
    assert all(row["val_accuracy"] > 0 and "problem" not in row for row in report["models"])
    assert (log / "report.html").exists() and (log / "report" / "curves.csv").exists()
    assert (log / "seed_456" / "my-model").exists()
    assert f"this DAG is done; its output: {log / 'report.html'}" in run("dag_train.py", *line)


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
    until(lambda: "the next try resumes" in out.read_text(), "a stop")
    saved = re.search(r"saved \S+ after (\d+) episodes and (\d+) batches", out.read_text())
    assert saved and int(saved.group(1)) >= 1, out.read_text()
    print(saved.group())  # on a machine that does not stand still, in the middle of the second episode


def pending(pid, number):
    """Whether a process has a signal that it has not taken yet."""
    (mask,) = re.findall(r"^ShdPnd:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(mask, 16) & 1 << (number - 1))


def assert_same_weights(*folders):
    import torch

    first, second = (
        torch.load(folder / "my-model", weights_only=True)["model_state_dict"] for folder in folders
    )
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
