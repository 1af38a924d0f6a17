"""Speed of the embedded simulator: against bare rendering, against Gazebo, and of whole tasks."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List

from bench.online import LEARN

if TYPE_CHECKING:
    from bench.bench import Bench

SMALL = ("--width", 160, "--height", 120)
HOW = "160x120 RGB + 160x90 depth + scan at 10 Hz, recorded"
FRAMES = 200_000

RENDER = """
import json, resource, sys, time
import numpy as np
from nav_pkg.core import Pose
from nav_pkg.data.reader import Run
from nav_pkg.sim.description import SimulatorOptions
from nav_pkg.sim.embedded.simulator import EmbeddedSimulator
run = Run(sys.argv[1])
columns = [getattr(run.frames, key) for key in ("x", "y", "z", "roll", "pitch", "yaw")]
poses = [Pose(*map(float, row)) for row in zip(*columns)]
simulator = EmbeddedSimulator(SimulatorOptions(width=160, height=120))
def images(pose):
    simulator.physics.place(pose)
    return simulator.image()
for pose in poses[:50]:
    images(pose)
begin = time.perf_counter()
for pose in poses:
    images(pose)
seconds = time.perf_counter() - begin
print(json.dumps([len(poses) / seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def _rate(runs: List[Dict[str, Any]], jobs: int = 1) -> float:
    """Frames per wall second of runs, with all processes busy."""
    return jobs * sum(run["frames"] for run in runs) / sum(run["wall_seconds"] for run in runs)


def embedded(bench: Bench) -> None:
    """In turns: rendering alone, a recording session of one process, of two, and of Gazebo."""
    flight = (*SMALL, "-ds", "--start", "route", "--max_duration", 100)
    own = ("--simulator", "embedded")
    kinds: Dict[str, List[float]] = {
        name: [] for name in ("rendering alone", "one process", "two processes", "Gazebo")
    }
    memory = 0.0
    for number in range(bench.repeats):
        runs = bench.fly(f"one{number}", *own, "--number_of_runs", 2, *flight)
        kinds["one process"].append(_rate(runs))
        recorded = bench.work / "data" / f"one{number}" / runs[0]["name"]
        done = subprocess.run(
            [sys.executable, "-c", RENDER, str(recorded)], capture_output=True, text=True, check=True
        )
        rendered, memory = json.loads(done.stdout.splitlines()[-1])
        kinds["rendering alone"].append(rendered)
        runs = bench.fly(f"two{number}", *own, "--jobs", 2, "--number_of_runs", 4, *flight)
        kinds["two processes"].append(_rate(runs, 2))
        kinds["Gazebo"].append(_rate(bench.fly(f"gazebo{number}", "--number_of_runs", 1, *flight)))
    middle = {kind: statistics.median(values) for kind, values in kinds.items()}
    command = bench.command("bench.py", "--only", "embedded")
    rates = ", ".join(f"{kind} {speed:.0f}" for kind, speed in middle.items())
    detail = f"frames/s: {rates}; median of {bench.repeats}, {HOW}, {os.cpu_count()} cores"
    one, two = middle["one process"], middle["two processes"]
    bench.report("embedded_over_bare", one / middle["rendering alone"], "ratio", command, detail)
    bench.report("embedded_frames_per_s", two, "frames/s", command, detail)
    bench.report("embedded_over_gazebo", two / middle["Gazebo"], "ratio", command, detail)
    bench.report(
        "embedded_memory_mb",
        memory,
        "MB",
        command,
        "largest resident size of a process that renders 1,000 poses",
    )


def embedded_dataset(bench: Bench) -> None:
    """Collect and clean 200,000 frames; copy and delete the dataset."""
    laps = FRAMES // 2405
    arguments = (*SMALL, "-ds", "--start", "route", "--simulator", "embedded", "--jobs", os.cpu_count())
    begin = time.monotonic()
    runs = bench.fly("many", "--number_of_runs", laps, *arguments)
    data = bench.work / "data"
    clean = ("--sources", "many", "--destination", "clean", "--val_len", 4, "--test_len", 4)
    bench.run(sys.executable, bench.script("clean_dataset.py"), "--data_root", data, *clean)
    minutes = (time.monotonic() - begin) / 60
    frames = sum(run["frames"] for run in runs)
    files = [path for path in (data / "clean").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e9
    begin = time.monotonic()
    shutil.copytree(data / "clean", data / "copy")
    subprocess.run(["sync", "-f", str(data)], check=True)
    copied = time.monotonic() - begin
    begin = time.monotonic()
    shutil.rmtree(data / "copy")
    deleted = time.monotonic() - begin
    detail = (
        f"{len(runs)} laps, {frames:,} frames, 160x120 + depth 160x90 + scan, {os.cpu_count()} processes; "
        f"start and cleaning included; {size:.1f} GB in {len(files)} files; copied in {copied:.0f} s, "
        f"deleted in {deleted:.1f} s"
    )
    command = bench.command("run_script.py", "-t", "many", "--number_of_runs", laps, *arguments)
    bench.report("minutes_200k", minutes * FRAMES / frames, "min", command, detail)


def embedded_evaluation(bench: Bench) -> None:
    """Evaluate a network on 100 laps; the expert flies, so that no flight ends early."""
    bench.fly("flown", *LEARN, *SMALL, "--simulator", "embedded", "--number_of_runs", 1, "--max_duration", 20)
    common = ("--checkpoint_path", "flown", "--number_of_runs", 100, "--alpha", 1, *SMALL)
    common += ("--simulator", "embedded", "--jobs", os.cpu_count(), "--summary_dir", bench.work / "log")
    begin = time.monotonic()
    bench.run(sys.executable, bench.script("evaluate.py"), "-t", "laps", *common)
    minutes = (time.monotonic() - begin) / 60
    result = json.loads((bench.work / "log" / "laps" / "evaluation.json").read_text())
    frames = sum(run["frames"] for each in result["conditions"] for run in each["runs"])
    detail = f"tiny_net answers {frames:,} frames, {os.cpu_count()} processes; start and page included"
    command = bench.command("evaluate.py", "-t", "laps", *common[:-2])
    bench.report("minutes_100_laps", minutes, "min", command, detail)


def embedded_online(bench: Bench) -> None:
    """Learning in flight, one gradient step of 32 frames a frame: embedded against Gazebo, in turns."""
    arguments = (*LEARN, *SMALL, "--number_of_runs", 1, "--max_duration", 60)
    rates: Dict[str, List[float]] = {"embedded": [], "gazebo": []}
    for number in range(bench.repeats):
        for simulator, values in rates.items():
            run = bench.fly(f"{simulator}{number}", "--simulator", simulator, *arguments)
            values.append(_rate(run))
    middle = {kind: statistics.median(values) for kind, values in rates.items()}
    detail = ", ".join(f"{kind} {rate:.1f} frames/s" for kind, rate in middle.items())
    bench.report(
        "online_embedded_over_gazebo",
        middle["embedded"] / middle["gazebo"],
        "ratio",
        bench.command("bench.py", "--only", "embedded_online"),
        f"{detail}; median of {bench.repeats}, tiny_net, one step of 32 frames a frame, 160x120",
    )


MEASUREMENTS = {
    "embedded": embedded,
    "embedded_dataset": embedded_dataset,
    "embedded_evaluation": embedded_evaluation,
    "embedded_online": embedded_online,
}
