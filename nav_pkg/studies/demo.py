"""The demo: the whole pipeline with one command: collect, clean, train, fly, report.

The demo runs the ordinary commands, prints each before it runs, and ends with a report page. It writes to one
folder, where the next demo deletes its files.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

from nav_pkg.config import learner
from nav_pkg.config.parser import Parser
from nav_pkg.config.types import network
from nav_pkg.core import ROOT, DataError, UsageError
from nav_pkg.data.files import atomic_write, lock_folder, to_json
from nav_pkg.flight.runlog import RunLog
from nav_pkg.learn import prechecks
from nav_pkg.session import arguments
from nav_pkg.session.steps import Pace, run_step

MARKER = "demo.json"
OURS = ("data", "log", "report", "report.html", MARKER)
"""Entries of the output folder; the demo deletes nothing else in it."""

EXPERT, NOISY, CLEAN, TRAINING, FLIGHTS = "collect/expert", "collect/noisy", "clean", "train", "fly"

NOISE = {"--noise": "ou", "--ou_theta": 0.1, "--sigma_y": 0.04, "--sigma_yaw": 0.1}
"""Ornstein-Uhlenbeck noise added to the executed command in the noisy laps: 0.09 m/s and 0.23 rad/s rms."""

UNDISTURBED = 1
"""Number of laps without noise: the first lap, which is timed."""

ABOUT = """Run the whole pipeline once: collect laps, clean them, train, fly the network, and write a page.

The command runs the ordinary commands and prints each before it runs. All output is in one folder, which is
deleted and created again if a demo made it.

Examples:
    demo.py
    demo.py --quick --output quick_demo
"""
LEAST_RUNS = 3
"""Least number of laps: one each to train, validate and test."""


def parser() -> Parser:
    """Make the parser of demo.py's flags."""
    p = Parser(
        prog="demo.py",
        description=ABOUT,
    )
    add = p.add_argument
    add("--runs", type=int, default=8, help=f"laps of the expert to collect, at least {LEAST_RUNS}")
    add("--flights", type=int, default=3, help="flights of the trained network")
    add("--seed", type=int, default=123, help="seed of all random draws")
    add("--output", type=Path, default=Path("demo"), help="folder of all output")
    add("-w", "--world", default="esatv3", help="world, or plan file")
    add("--width", type=int, default=160, help="camera width, pixels")
    add("--height", type=int, default=120, help="camera height, pixels")
    add("--time_limit", type=float, default=15.0, help="time limit of collecting, minutes")
    add("--network", default="tiny_net", type=network, help="network to train")
    add("--episodes", type=int, default=15, help="episodes of training, up to 100 batches each")
    add("--batch_size", type=int, default=64, help="frames in a batch")
    add("--learning_rate", type=float, default=0.01, help="learning rate of SGD with momentum 0.9")
    add(
        "--max_duration",
        type=float,
        default=0.0,
        help="time limit of a run, simulated seconds; 0: the world's limit",
    )
    add("--quick", action="store_true", help="shortest demo: 3 laps, 5 episodes, 1 flight")
    return p


class Demo:
    """A demo: its commands, in order, and their measured times.

    Args:
        args: the parsed flags.
    """

    def __init__(self, args: argparse.Namespace):
        default = parser().parse_args([])
        for flag in ("runs", "flights"):
            if args.quick and getattr(args, flag) != getattr(default, flag):
                raise UsageError(f"demo.py: --{flag} has no effect with --quick, which sets it: leave it out")
        if args.quick:
            args.runs, args.flights, args.episodes = LEAST_RUNS, 1, min(args.episodes, 5)
        for flag, least in (("runs", LEAST_RUNS), ("flights", 1), ("episodes", 1)):
            if getattr(args, flag) < least:
                raise UsageError(f"demo.py: --{flag} {getattr(args, flag)} must be at least {least}")
        if args.time_limit <= 0:
            raise UsageError(f"demo.py: --time_limit {args.time_limit:g} must be above 0 minutes")
        self.args = args
        self.folder = Path(args.output)
        self.noisy_runs = args.runs - UNDISTURBED
        self.steps: List[Dict[str, Any]] = []
        self.notes: List[str] = []

    # The commands.

    def _script(self, name: str) -> List[str]:
        return [sys.executable, os.path.relpath(ROOT / "scripts" / name)]

    def _places(self) -> List[str]:
        return ["--data_root", f"{self.folder / 'data'}", "--summary_dir", f"{self.folder / 'log'}"]

    def _camera(self) -> List[str]:
        a = self.args
        return ["-w", a.world, "--width", str(a.width), "--height", str(a.height)] + (
            ["--max_duration", f"{a.max_duration:g}"] if a.max_duration else []
        )

    def collect(self, tag: str, runs: int) -> List[str]:
        """The command that records laps of the expert from poses along the route."""
        noise = [str(word) for pair in NOISE.items() for word in pair] if tag == NOISY else []
        seed = self.args.seed + (1 if tag == NOISY else 0)
        return [
            *self._script("run_script.py"),
            *("-t", tag, "-ds", "--number_of_runs", str(runs), "--alpha", "1", "--start", "route"),
            *("--random_seed", str(seed), *noise, *self._camera(), *self._places()),
        ]

    def clean(self) -> List[str]:
        """The command that makes one dataset of the good laps, with one lap to validate and one to test."""
        return [
            *self._script("clean_dataset.py"),
            *("--startswith", "collect/", "--destination", CLEAN, "--val_len", "1", "--test_len", "1"),
            *("--random_seed", str(self.args.seed), "--data_root", f"{self.folder / 'data'}"),
        ]

    def train(self) -> List[str]:
        """The command that trains the network on the expert's turns, as three classes."""
        a = self.args
        return [
            *self._script("main.py"),
            *("-t", TRAINING, "--network", a.network, "--discrete", "--dataset", CLEAN),
            *("--loss", "CrossEntropy", "--optimizer", "SGD", "--momentum", "0.9"),
            *("--learning_rate", f"{a.learning_rate:g}", "--batch_size", str(a.batch_size)),
            *("--max_episodes", str(a.episodes), "--normalized_output"),
            *("--shifted_input", "--tensorboard"),
            *("--random_seed", str(a.seed), *self._places()),
        ]

    def fly(self) -> List[str]:
        """The command that records flights of the network, without the expert, from poses along the route."""
        a = self.args
        return [
            *self._script("run_script.py"),
            *("-t", FLIGHTS, "-ds", "--number_of_runs", str(a.flights), "--alpha", "0", "-e"),
            *("--start", "route", "--random_seed", str(a.seed + 2), "--checkpoint_path", TRAINING),
            *("--network", a.network, "--discrete", *self._camera(), *self._places()),
        ]

    def check(self) -> None:
        """Check the flags of all commands before an earlier demo is deleted or the first command runs.

        Raises:
            UsageError: one of the commands would reject a value.
        """
        prechecks.network(self.args.network)
        for command in (self.collect(NOISY, self.args.runs), self.fly()):
            own, _ = arguments.split(command[2:])
            if own.alpha == 1:  # the other session's checkpoint does not exist yet
                arguments.schedule(own)
                arguments.check_simulator(own)
        learner.parse(self.train()[2:])
        from nav_pkg import nets  # torch takes seconds

        nets.canonical(self.args.network)

    # Running them.

    def run(self) -> Path:
        """Run the whole demo.

        Returns:
            The path of the report page.
        """
        self.check()
        try:
            lock = lock_folder(self.folder)
        except OSError as error:
            raise DataError(f"{error.filename}: {error.strerror}; give another --output") from None
        if lock is None:
            raise UsageError(
                f"--output {self.folder} is in use by another demo: wait for it, or give another"
            )
        try:
            start_over(self.folder)
            self._collect_all()
            self._step("clean and split", self.clean())
            self._step("train", self.train())
            self._step("the network flies", self.fly(), tag=FLIGHTS)
            return self._report()
        finally:
            os.close(lock)

    def _step(self, title: str, command: List[str], tag: str = "") -> Dict[str, Any]:
        shown = shlex.join(["python", *command[1:]])
        print(f"\n== {title} ==\n$ {shown}", flush=True)
        pace = Pace(self.folder / "log" / tag) if tag else None
        wall = run_step(command, title, pace)
        step: Dict[str, Any] = {"title": title, "command": shown, "wall": wall}
        if pace is not None:
            step.update(simulated=pace.simulated, watched=pace.wall)
            if pace.wall > 0:
                rate = pace.simulated / pace.wall
                print(f"{10 * rate:.0f} frames/s, {rate:.1f} times real time while flying", flush=True)
        self.steps.append(step)
        self._save()
        return step

    def _save(self) -> None:
        record = {"steps": self.steps, "notes": self.notes, "flags": vars(self.args)}
        atomic_write(self.folder / MARKER, to_json(json.loads(json.dumps(record, default=str))), "--output")

    def _collect_all(self) -> None:
        """Collect the requested laps, or fewer if the time of the first lap shows that they take too long."""
        begin, limit = time.monotonic(), 60 * self.args.time_limit
        first = self._step("collect: a lap of the expert", self.collect(EXPERT, 1), tag=EXPERT)
        lap, start = first["watched"] or first["wall"], max(0.0, first["wall"] - first["watched"])
        left = limit - (time.monotonic() - begin) - 2 * start
        fit = max(LEAST_RUNS, 1 + int(left / lap))
        runs, noisy = self.args.runs, self.noisy_runs
        print(f"a lap takes {lap:.0f} s here, the start of the simulator {start:.0f} s", flush=True)
        if fit < runs:
            self._note(
                f"A lap takes {lap:.0f} s on this machine: {fit} laps fit {self.args.time_limit:g} minutes, "
                f"so {fit} instead of {runs} were collected."
            )
            runs = fit
            noisy = runs - UNDISTURBED
        self._step("collect: laps with noise", self.collect(NOISY, noisy), tag=NOISY)
        failed = [
            run["outcome"]
            for tag in (EXPERT, NOISY)
            for run in RunLog(self.folder / "log" / tag).finished().values()
            if run["outcome"] != "success"
        ]
        if failed:
            self._note(
                f"{len(failed)} of the expert's {runs} runs ended early ({', '.join(sorted(set(failed)))}); "
                "only whole laps are used for training."
            )

    def _note(self, text: str) -> None:
        self.notes.append(text)
        print(text, flush=True)

    def _report(self) -> Path:
        from nav_pkg.report import demo_page

        noise = f"Ornstein-Uhlenbeck noise, sigma_yaw {NOISE['--sigma_yaw']} rad/s a frame"
        story = demo_page.DemoData(
            demo_page.Demo(
                folder=self.folder,
                steps=[demo_page.DemoStep(**step) for step in self.steps],
                collections={EXPERT: "as the expert flies", NOISY: noise},
                clean=CLEAN,
                flights=FLIGHTS,
                training=TRAINING,
                world=self.args.world,
                notes=self.notes,
            )
        )
        page = demo_page.write(story)
        for title, table in (
            ("The network's flights", story.flights_table()),
            ("Answers to frames with known labels", story.training_table()),
            ("Time", story.speed_table()),
        ):
            print(f"\n{title}\n{table.text()}")
        print(f"\n{story.sentence()}")
        return page


def start_over(folder: Path) -> None:
    """Create the output folder and delete the output of an earlier demo.

    Raises:
        UsageError: the folder holds files but no marker, so a demo did not make it.
        DataError: the file system reports an error.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder} is a file; give a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise UsageError(f"--output {folder} holds files but no {MARKER}: not made by the demo; give another")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(folder / MARKER, "{}\n", "--output")
        for name in OURS:
            path = folder / name
            if name == MARKER or path.is_symlink():
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}; give another --output") from None
