"""Measure speed, determinism and robustness. Most figures are ratios within one run.

The command writes bench/results.json ({name: {value, unit, command, detail}}) and docs/performance.md.
Figures of measurements that are not in --only keep their earlier values.

Example:
    bench.py --only loop determinism
"""

from __future__ import annotations

import datetime
import functools
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

from bench import embedded, expert, online, results, writing
from nav_pkg.config.parser import Parser
from nav_pkg.core import ROOT, NavError, SimulatorError
from nav_pkg.machine import processor_name
from nav_pkg.sim.bare import real_time_ratio
from nav_pkg.sim.display import has_gpu
from nav_pkg.sim.graph import Port
from nav_pkg.sim.network import listen_environment

FULL = ("--width", 640, "--height", 360)

TARGETS = {
    "expert_success_forward": "1",
    "expert_success_reverse": "1",
    "nearest_obstacle": "never below 0.5 m",
    "straight_fraction": "0.60 to 0.80",
    "loop_over_bare": "at least 0.6",
    "real_time_ratio": "at least 5",
    "recorder_share": "under 0.15",
    "same_bytes": "1",
    "kills_survived": "30 of 30",
    "data_wait_share": "under 0.03",
    "pack_over_decode": "at least 0.85",
    "pack_over_dataloader": "at least 3",
    "train_rss_gb": "under 2",
    "fbptt_memory_gb": "under 3.8",
    "lstm_over_features": "at least 0.6",
    "train_over_compute_": "at least 0.97",
    "online_real_time_ratio": "at least 3",
    "free_running_p99_ms": "under 33",
    "online_kills_survived": "30 of 30",
    "evaluation_jobs_2_over_1": "at least 1.5",
    "amp_over_eager_tiny_net": "at least 1.2",
    "amp_over_eager_alex_net": "at least 2",
    "dag_writer_seconds": "under 10",
    "dag_writer_mb": "under 500",
    "combine_seconds": "under 5",
    "combine_mb": "under 500",
    "combine_events_seconds": "under 15",
    "combine_events_mb": "under 500",
    "study_overhead": "under 0.05",
    "page_seconds": "under 2",
    "embedded_over_bare": "at least 0.6",
    "embedded_frames_per_s": "at least 1200",
    "embedded_over_gazebo": "at least 6",
    "embedded_memory_mb": "under 400",
    "minutes_200k": "under 3",
    "minutes_100_laps": "under 6",
    "online_embedded_over_gazebo": "at least 1.5",
    "tar_over_files": "at least 1.5",
    "tar_over_files_gazebo": "at least 1.1",
}
"""Targets of the figures."""

FAMILIES = ("train_over_compute_",)
"""Name prefixes of figures with a common target."""


def target_of(name: str) -> str:
    """The target of a figure; empty for none."""
    return TARGETS.get(name) or next((TARGETS[key] for key in FAMILIES if name.startswith(key)), "")


def missed(value: float, target: str) -> bool:
    """Whether a figure misses its target, a text of TARGETS; an empty target is never missed."""
    numbers = [float(text) for text in re.findall(r"\d+(?:\.\d+)?", target)]
    if not numbers:
        return False
    if target.startswith("under"):
        return not value < numbers[0]
    if " to " in target:
        return not numbers[0] <= value <= numbers[1]
    return not value >= numbers[0]  # at least, never below, 30 of 30, 1


class Bench:
    """Runs the measurements; data and logs go to a work folder that is removed at the end."""

    def __init__(self, output: Path, laps: int, kills: int, repeats: int):
        self.work = output / "work"
        self.file = output / "results.json"
        self.laps, self.kills, self.repeats = laps, kills, repeats
        self.results: Dict[str, Any] = json.loads(self.file.read_text()) if self.file.exists() else {}
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)

    # Helpers.

    def report(self, name: str, value: float, unit: str, command: str, detail: str) -> None:
        """Store a figure; it is on disk when this returns."""
        self.results[name] = {
            "value": value,
            "unit": unit,
            "command": command,
            "detail": detail,
            "machine": _machine(),
        }
        temporary = self.file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.results, indent=1, sort_keys=True) + "\n")
        os.replace(temporary, self.file)
        print(f"{name}: {value:.4g} {unit} ({detail})", flush=True)

    def command(self, script: str, *arguments: Any) -> str:
        """Format a command line as a user would type it."""
        return " ".join(["python", f"scripts/{script}", *map(str, arguments)])

    def script(self, name: str) -> Path:
        """Path of a script."""
        return ROOT / "scripts" / name

    def run(self, *arguments: Any, environment: Optional[Dict[str, str]] = None) -> None:
        """Run a command of the project to its end.

        Raises:
            SimulatorError: it failed.
        """
        done = subprocess.run(
            list(map(str, arguments)),
            env=dict(os.environ, **(environment or {})),
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
        )
        if done.returncode:
            raise SimulatorError(f"'{' '.join(map(str, arguments))}' ended with exit code {done.returncode}")

    def fly(self, tag: str, *arguments: Any) -> List[Dict[str, Any]]:
        """Fly a session; return its runs without failures of the simulator."""
        folders = ("--summary_dir", self.work / "log", "--data_root", self.work / "data")
        self.run(sys.executable, self.script("run_script.py"), "-t", tag, "--owr", *folders, *arguments)
        lines = (self.work / "log" / tag / "runs.jsonl").read_text().splitlines()
        return [run for run in map(json.loads, lines) if run["outcome"] != "sim_failure"]

    # The measurements.

    def loop(self) -> None:
        """Measure the full-size collection loop in turns: recorded, unrecorded, bare Gazebo, plugin only."""
        arguments = ("--number_of_runs", 1, "--start", "exact", "--max_duration", 120, *FULL)
        speeds: Dict[str, List[float]] = {"recorded": [], "not recorded": [], "bare": [], "plugin alone": []}
        for number in range(self.repeats):
            for kind, extra in (("recorded", ("-ds",)), ("not recorded", ())):
                # A new tag each time: ext4 creates files slowly just after thousands of files were deleted.
                run = self.fly(f"loop{number}{len(extra)}", *arguments, *extra)[0]
                speeds[kind].append(run["simulated_seconds"] / run["wall_seconds"])
            speeds["bare"].append(self.bare())
            speeds["plugin alone"].append(self.plugin_alone())
        middle = {kind: statistics.median(values) for kind, values in speeds.items()}
        command = self.command("bench.py", "--only", "loop")
        how = f"median of {self.repeats}, 640x360 RGB + 160x90 depth + scan at 10 Hz, {os.cpu_count()} cores"
        self.report(
            "real_time_ratio", middle["recorded"], "simulated s / wall s", command, f"recording on; {how}"
        )
        rates = ", ".join(f"{kind} {10 * speed:.1f}" for kind, speed in middle.items())
        detail = f"frames/s: {rates}; {how}"
        self.report("loop_over_bare", middle["recorded"] / middle["bare"], "ratio", command, detail)
        self.report(
            "recorder_share", 1 - middle["recorded"] / middle["not recorded"], "share", command, detail
        )

    def bare(self) -> float:
        """Simulated seconds per wall second of bare `gzserver --lockstep`, free-running, same sensors."""
        return real_time_ratio(world="esatv3", robot="drone", seconds=40.0)

    def plugin_alone(self, seconds: float = 12.0) -> float:
        """Simulated seconds per wall second of Gazebo with the plugin, free-running, without subscribers.

        Bare Gazebo renders with fourfold multisampling, which the plugin turns off. This is the reference
        with the same rendering.
        """
        port = Port()
        environment = listen_environment(dict(os.environ, ROS_MASTER_URI=f"http://127.0.0.1:{port.number}"))
        launch = [
            "roslaunch",
            "-p",
            str(port.number),
            "nav_pkg",
            "sim.launch",
            "lockstep:=false",
            "real_time:=false",
        ]

        def simulated() -> float:
            call = ["rosservice", "call", "/gazebo/get_world_properties"]
            done = subprocess.run(call, env=environment, capture_output=True, text=True, timeout=30)
            match = re.search(r"sim_time: ([\d.]+)", done.stdout)
            return float(match.group(1)) if match else -1.0

        with open(self.work / "plugin.log", "w") as log:
            graph = subprocess.Popen(launch, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            deadline = time.monotonic() + 90
            while simulated() < 1:
                if time.monotonic() > deadline or graph.poll() is not None:
                    raise SimulatorError(f"sim.launch did not start (see {log.name})")
                time.sleep(0.5)
            begin, first = time.monotonic(), simulated()
            time.sleep(seconds)
            return (simulated() - first) / (time.monotonic() - begin)
        finally:
            graph.send_signal(signal.SIGINT)
            graph.wait(timeout=60)
            port.release()

    def determinism(self) -> None:
        """Fly the same seed in two processes, and compare every byte of rows, images and scans."""
        arguments = (
            "--random_seed",
            77,
            "--number_of_runs",
            2,
            "--start",
            "route",
            "--max_duration",
            30,
            "-ds",
        )
        arguments += ("--noise", "ou", "--sigma_yaw", 0.3, *FULL)
        for tag in ("one", "two"):
            self.fly(tag, *arguments)
        first, second = (self._contents(self.work / "data" / tag) for tag in ("one", "two"))
        same = [name for name in first if first[name] == second.get(name)]
        detail = (
            f"{len(same)} of {len(first)} files identical (frames.csv, images, scans), "
            f"{len(second)} in the second"
        )
        value = len(same) / max(len(first), len(second))
        self.report(
            "same_bytes", value, "share of files", self.command("bench.py", "--only", "determinism"), detail
        )

    @staticmethod
    def _contents(dataset: Path) -> Dict[str, bytes]:
        kinds = (".csv", ".jpg", ".png", ".npy", ".tar")
        return {
            str(p.relative_to(dataset)): p.read_bytes()
            for p in sorted(dataset.rglob("*"))
            if p.suffix in kinds
        }

    def kill(self) -> None:
        """Kill -9 processes at random moments (the test of the same name, with more kills)."""
        result = self.work / "kills.json"
        environment = {"NAV_PKG_KILLS": str(self.kills), "NAV_PKG_KILLS_RESULT": str(result)}
        self.run(sys.executable, "-m", "pytest", "-q", "test/e2e/test_kill.py", environment=environment)
        counts = json.loads(result.read_text())
        bad = counts["lost"] + counts["changed"]
        command = f"NAV_PKG_KILLS={self.kills} python -m pytest test/e2e/test_kill.py"
        detail = (
            f"{counts['kills']} kills of simulator, recorder, supervisor, roscore; "
            f"{counts['runs']} runs committed, {bad} lost or changed"
        )
        self.report("kills_survived", counts["kills"] if not bad else 0, "kills", command, detail)

    def dag(self) -> None:
        """Measure the time and memory to write, read back and check a DAG of 10,000 nodes."""
        from nav_pkg.cluster import scale

        measured = scale.written(scale.synthetic(9700, 297, self.work / "dag"))
        command = self.command("bench.py", "--only", "dag")
        detail = (
            f"{measured.jobs} nodes, {measured.files} files, a DAG file of {measured.dag_bytes / 1e6:.1f} MB"
        )
        self.report("dag_writer_seconds", measured.seconds, "s", command, detail)
        self.report(
            "dag_writer_mb", measured.memory, "MB", command, f"additional memory of the process; {detail}"
        )

    def learning(self, names: Sequence[str]) -> None:
        """Run the measurements of learning, on three new flights of two minutes."""
        from bench import memory
        from bench.learning import MEASUREMENTS as ON_FLIGHTS
        from bench.learning import LearningBench

        measurements = {
            "memory": lambda: memory.memory(self.work),
            "long_run": memory.long_run,
        }
        if set(names) & set(ON_FLIGHTS):
            arguments = ("--number_of_runs", 3, "--start", "route", "--max_duration", 120, *FULL, "-ds")
            self.fly("learning", *arguments)
            bench = LearningBench(self.work / "data" / "learning", self.work)
            measurements.update({name: functools.partial(run, bench) for name, run in ON_FLIGHTS.items()})
        for name in names:
            for figure in measurements[name]():
                command = self.command("bench.py", "--only", name)
                self.report(figure.name, figure.value, figure.unit, command, figure.detail)

    def page(self) -> None:
        """Write docs/performance.md from all figures."""
        lines = [
            "# Performance",
            "",
            "`make bench` (`python scripts/bench.py`) writes this page; do not edit it by hand. The two "
            "values of a ratio are measured in one run. Missed targets are marked.",
        ]
        for machine in sorted({row["machine"] for row in self.results.values()}):
            lines += ["", f"## {machine}", "", "| figure | value | target | detail |", "|---|---|---|---|"]
            for name, row in sorted(self.results.items()):
                if row["machine"] == machine:
                    target = target_of(name)
                    target += " (**missed**)" if missed(row["value"], target) else ""
                    value = f"{row['value']:.4g} {row['unit']}"
                    lines.append(f"| {name} | {value} | {target} | {row['detail']} |")
        lines += ["", "## Commands", ""]
        lines += [f"- {name}: `{row['command']}`" for name, row in sorted(self.results.items())]
        path = ROOT / "docs" / "performance.md"
        temporary = path.with_suffix(".tmp")
        temporary.write_text("\n".join(lines) + "\n")
        os.replace(temporary, path)
        print(f"written: {self.file}, {path}")


def _machine() -> str:
    gpu = "a GPU draws" if has_gpu() else "no GPU"
    today = datetime.date.today().isoformat()
    return f"{os.cpu_count()} cores, {processor_name()}, {platform.machine()}, {gpu}; {today}"


LEARNING = ("train", "amp", "lstm", "long_run", "packing", "memory")
ELSEWHERE: Dict[str, Callable[[Bench], None]] = {
    "expert": expert.expert,
    **online.MEASUREMENTS,
    **embedded.MEASUREMENTS,
    **results.MEASUREMENTS,
    **writing.MEASUREMENTS,
}
MEASUREMENTS = ("loop", "determinism", "kill", "dag", *ELSEWHERE, *LEARNING)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    p = Parser(prog="bench.py", description=__doc__)
    p.add_argument(
        "--only", nargs="+", choices=MEASUREMENTS, default=list(MEASUREMENTS), help="measurements to run"
    )
    p.add_argument("--laps", type=int, default=50, help="laps of the expert per direction, kind and delay")
    p.add_argument("--kills", type=int, default=30, help="number of processes to kill")
    p.add_argument(
        "--repeats", type=int, default=3, help="repetitions of the measurement of the simulation loop"
    )
    p.add_argument("--output", type=Path, default=ROOT / "bench", help="folder of results.json")
    args = p.parse_args(argv)
    bench = Bench(args.output, args.laps, args.kills, args.repeats)
    measurements: Dict[str, Callable[[], None]] = {
        name: functools.partial(ELSEWHERE[name], bench) if name in ELSEWHERE else getattr(bench, name)
        for name in args.only
        if name not in LEARNING
    }
    if set(args.only) & set(LEARNING):
        measurements["learning"] = functools.partial(
            bench.learning, [name for name in args.only if name in LEARNING]
        )
    failures = []
    for name, measure in measurements.items():
        try:
            measure()
        except NavError as error:  # continue with the other measurements
            failures.append(f"{name}: {error}")
            print(f"error: {failures[-1]}", file=sys.stderr)
    if args.output == ROOT / "bench":  # only these figures are the project's own
        bench.page()
    shutil.rmtree(bench.work, ignore_errors=True)
    if failures:
        raise SimulatorError("; ".join(failures))
    return 0
