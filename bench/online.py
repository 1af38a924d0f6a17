"""Costs of learning in flight (lock-step rate, free-running latency, kills), and parallel evaluation."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List

if TYPE_CHECKING:
    from bench.bench import Bench

LEARN = ("--online", "--network", "tiny_net", "--discrete", "--loss", "CrossEntropy", "--shifted_input")
LEARN += ("--batch_size", 32, "--learning_rate", 0.01, "--alpha", 1, "--start", "route")


def online(bench: Bench) -> None:
    """Lock-step: measure the rate while tiny_net learns, and the shares of the wall time."""
    arguments = (*LEARN, "--number_of_runs", 1, "--max_duration", 120)
    command = bench.command("run_script.py", "-t", "online", *arguments)
    run = bench.fly("online", *arguments)[0]
    timing = json.loads((bench.work / "log" / "online" / "timing.jsonl").read_text().splitlines()[-1])
    wall, simulated = run["wall_seconds"], run["simulated_seconds"]
    learning, answering = timing["learn_seconds"] / wall, timing["command_seconds"] / wall
    detail = (
        f"one gradient step of 32 frames per camera frame, 640x360 camera: {run['frames'] / wall:.1f} "
        f"frames/s; wall time: {100 * learning:.0f} % gradient steps, {100 * answering:.0f} % inference, "
        f"{100 * (1 - learning - answering):.0f} % simulator, ROS and resizing outside of learning"
    )
    bench.report("online_real_time_ratio", simulated / wall, "simulated s / wall s", command, detail)


def free_running(bench: Bench) -> None:
    """Free-running: measure the latency from image to command during gradient steps."""
    arguments = (*LEARN, "--free_running", "--number_of_runs", 1, "--max_duration", 90)
    command = bench.command("run_script.py", "-t", "free", *arguments)
    run = bench.fly("free", *arguments)[0]
    timing = json.loads((bench.work / "log" / "free" / "timing.jsonl").read_text().splitlines()[-1])
    detail = (
        f"p50 {1000 * run['inference_p50']:.1f} ms, {run['frames']} frames, {timing['updates']} gradient "
        f"steps of 32 frames in parallel, {run['deadline_misses']} answers after the deadline, simulator on "
        f"the same {os.cpu_count()} cores"
    )
    bench.report("free_running_p99_ms", 1000 * run["inference_p99"], "ms", command, detail)


def online_kill(bench: Bench) -> None:
    """Kill -9 session, learner, supervisor or recorder while a network learns (the test, with more kills)."""
    result = bench.work / "online_kills.json"
    environment = {"NAV_PKG_KILLS": str(bench.kills), "NAV_PKG_ONLINE_KILLS_RESULT": str(result)}
    bench.run(sys.executable, "-m", "pytest", "-q", "test/e2e/test_online.py", environment=environment)
    counts = json.loads(result.read_text())
    command = f"NAV_PKG_KILLS={bench.kills} python -m pytest test/e2e/test_online.py"
    detail = (
        f"{counts['kills']} kills in {counts['runs']} runs, {counts['updates']} gradient steps: frames, "
        "metrics, replay buffer, weights and random states are those of an uninterrupted session, to the byte"
    )
    bench.report("online_kills_survived", counts["kills"] if counts["same"] else 0, "kills", command, detail)


def evaluation(bench: Bench) -> None:
    """Compare two simulators with one, over the same eight flights of a checkpoint."""
    arguments = (*LEARN, "--number_of_runs", 1, "--max_duration", 20)
    bench.fly("flown", *arguments)
    walls: Dict[int, float] = {}
    script = bench.script("evaluate.py")
    common: List[Any] = ["--checkpoint_path", "flown", "--number_of_runs", 8, "--max_duration", 60]
    # the expert flies, so that no flight ends early; the network still answers every frame
    common += ["--alpha", 1, "--summary_dir", bench.work / "log"]
    for jobs in (1, 2):
        begin = time.monotonic()
        bench.run(sys.executable, script, "-t", f"jobs{jobs}", "--jobs", jobs, *common)
        walls[jobs] = time.monotonic() - begin
    command = bench.command("evaluate.py", "-t", "jobs2", "--jobs", 2, *common[:6])
    times = f"{walls[1]:.0f} s with one simulator, {walls[2]:.0f} s with two"
    detail = f"8 flights: {times}; start and page included"
    bench.report("evaluation_jobs_2_over_1", walls[1] / walls[2], "ratio", command, detail)


MEASUREMENTS = {
    "online": online,
    "free_running": free_running,
    "online_kill": online_kill,
    "evaluation": evaluation,
}
