"""Costs of tables, curves, studies and the local page."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Sequence, Tuple

import numpy as np

from bench.memory import peak_resident
from nav_pkg.core import Actor, Command, Frame, LearnerError, Pose, Velocity
from nav_pkg.data.writer import RunWriter, create_dataset
from nav_pkg.report.curves import METRICS_FILE

if TYPE_CHECKING:
    from bench.bench import Bench

TAG = "Loss_val_accuracy"
RUNS, POINTS = 60, 100_000
CELLS, STEPS = 20, 300
LISTED = 1000
POLL = 0.02


def curves(bench: Bench) -> None:
    """Measure combine_results.py on many long runs, as metrics.jsonl and as event files."""
    for kind, write, name in (
        ("jsonl", _metrics, "combine_seconds"),
        ("events", _events, "combine_events_seconds"),
    ):
        logs = bench.work / "curves" / kind
        first = logs / "group_0" / "seed_0"
        first.mkdir(parents=True)
        file = write(first)
        for number in range(1, RUNS):
            folder = logs / f"group_{number % 3}" / f"seed_{number}"
            folder.mkdir(parents=True)
            os.link(file, folder / file.name)
        groups = [f"group_{number}" for number in range(3)]
        words = ["--headless", "--subsample", 10, "--tags", TAG, "--log_folders", *groups]
        seconds, memory = _measured(
            [sys.executable, bench.script("combine_results.py"), "--mother_dir", logs, *words]
        )
        command = bench.command("bench.py", "--only", "curves")
        size = RUNS * file.stat().st_size / 1e9
        detail = (
            f"{RUNS} runs of {POINTS:,} points, {size:.1f} GB of {kind} (hard links to one file, so that it "
            f"stays in memory), {os.cpu_count()} cores; start, figure and table included"
        )
        bench.report(name, seconds, "s", command, detail)
        bench.report(
            name.replace("seconds", "mb"), memory, "MB", command, f"sum over all processes; {detail}"
        )


def _metrics(folder: Path) -> Path:
    """Write a metrics.jsonl with lines as in a training of three classes, 700 bytes each."""
    draw = random.Random(1).random
    path = folder / METRICS_FILE

    def scores() -> Dict[str, Any]:
        keys = ("loss", "imitation_loss", "accuracy", "balanced_accuracy", "majority_accuracy")
        values = {key: draw() for key in keys}
        return {
            "frames": 2408,
            **values,
            "recall": [draw() for _ in range(3)],
            "confusion": [[9, 271, 5]] * 3,
        }

    with open(path, "w", encoding="ascii") as file:
        for episode in range(1, POINTS + 1):
            line = {"episode": episode, "updates": 10 * episode, "train": scores(), "val": scores()}
            file.write(json.dumps(line) + "\n")
    return path


def _events(folder: Path) -> Path:
    """Write an event file with the six scalars of a training."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    for step in range(POINTS):
        for part in ("train", "val"):
            for key in ("accuracy", "total", "imitation_learning"):
                writer.add_scalar(f"Loss_{part}_{key}", step / POINTS, step, walltime=1.0)
    writer.close()
    return next(folder.glob("events.out.tfevents.*"))


def _measured(command: Sequence[Any]) -> Tuple[float, float]:
    """Run a command; return its seconds and the sum of its processes' peaks of resident memory, MB.

    Raises:
        LearnerError: it failed.
    """
    begin = time.monotonic()
    process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    peaks: Dict[int, float] = {}
    while process.poll() is None:
        for pid in [process.pid, *_children(process.pid)]:
            with contextlib.suppress(OSError, AttributeError):  # the process has just ended
                peaks[pid] = max(peaks.get(pid, 0.0), peak_resident(str(pid)) * 1000)
        time.sleep(POLL)
    seconds = time.monotonic() - begin
    if process.returncode:
        raise LearnerError(f"'{' '.join(map(str, command))}' ended with exit code {process.returncode}")
    return seconds, sum(peaks.values())


def _children(pid: int) -> List[int]:
    try:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return []
    return [each for child in map(int, below) for each in (child, *_children(child))]


def study(bench: Bench) -> None:
    """Compare trainings as cells of a study with the same trainings as single commands."""
    data, logs = bench.work / "data", bench.work / "log"
    _write_dataset(data, "study", runs=4, frames=400)
    flags = {
        "network": "tiny_net", "dataset": "study", "discrete": True, "loss": "CrossEntropy",
        "shifted_input": True, "max_episodes": STEPS // 100, "batch_size": 8, "num_threads": 1,
    }  # fmt: skip
    file = bench.work / "overhead.yaml"
    seeds = list(range(1, CELLS + 1))
    text = {
        "title": "Overhead",
        "question": "?",
        "base": flags,
        "grid": {},
        "seeds": seeds,
        "scales": {"small": {}},
    }
    file.write_text(json.dumps(text))  # JSON is YAML
    folders = ["--summary_dir", logs, "--data_root", data]
    words = [
        word for key, value in flags.items() for word in (f"--{key}", *([] if value is True else [value]))
    ]
    train = [sys.executable, bench.script("main.py"), *folders, *words]
    _measured([*train, "-t", "warm", "--random_seed", 0])  # creates the packs
    bare = sum(_measured([*train, "-t", f"bare/{seed}", "--random_seed", seed])[0] for seed in seeds)
    run = [sys.executable, bench.script("study.py"), "run", file, "--scale", "small", "--jobs", 1, *folders]
    seconds, _ = _measured(run)
    detail = (
        f"{CELLS} trainings of {STEPS} gradient steps: {seconds:.1f} s as a study, {bare:.1f} s as commands"
    )
    command = bench.command("bench.py", "--only", "study")
    bench.report("study_overhead", seconds / bare - 1, "share", command, detail)


def page(bench: Bench) -> None:
    """Measure the list of a dataset with many runs, from a server that has just started."""
    data, logs = bench.work / "listed", bench.work / "listed_log"
    logs.mkdir()
    _write_dataset(data, "many", runs=LISTED, frames=1)
    command = [
        sys.executable,
        bench.script("serve.py"),
        "--port",
        "0",
        "--data_root",
        data,
        "--summary_dir",
        logs,
    ]
    server = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[0]
        begin = time.monotonic()
        with urllib.request.urlopen(f"{address}datasets/many/", timeout=60) as answer:
            text = answer.read().decode()
        seconds = time.monotonic() - begin
    finally:
        server.terminate()
        server.wait()
    if text.count("/run/") < LISTED:
        raise LearnerError(f"{address}: not all of {LISTED} runs are listed")
    bench.report(
        "page_seconds", seconds, "s", bench.command("bench.py", "--only", "page"),
        f"a dataset of {LISTED} runs: from the request to the complete page ({len(text) / 1e6:.1f} MB)",
    )  # fmt: skip


def _write_dataset(root: Path, name: str, runs: int, frames: int) -> None:
    """Write a dataset of noise, with one run for validation and one for test."""
    dataset = create_dataset(
        root / name, {"camera": {"width": 64, "height": 36}, "robot": "drone", "control_rate": 10}
    )
    noise = np.random.default_rng(1)
    names = [f"{number:05d}_esatv3" for number in range(runs)]
    for run in names:
        writer = RunWriter(dataset, run, {"world": "esatv3"})
        for index in range(frames):
            command = Command(x=0.8, yaw=float(noise.choice((-1.0, 0.0, 1.0))))
            frame = Frame(
                index, index * 100_000_000, command, None, command, Actor.EXPERT,
                Pose(0.08 * index, 0.0, 1.0), Velocity(0.8), 2.0, 0.08 * index,
            )  # fmt: skip
            writer.add(frame, rgb=noise.integers(0, 256, (36, 64, 3), dtype=np.uint8))
        writer.commit({"outcome": "success"})
    for part, members in (("train", names[:-2]), ("val", names[-2:-1]), ("test", names[-1:])):
        (dataset / f"{part}_set.txt").write_text("".join(f"{run}\n" for run in members))


MEASUREMENTS = {"curves": curves, "study": study, "page": page}
