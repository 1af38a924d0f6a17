"""The demo: the whole pipeline with one command: collect, clean, train, fly, report.

The demo runs the ordinary commands, prints each before it runs, and ends with a report page. It writes to one
folder, where the next demo deletes its files.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

from nav_pkg.config import learner
from nav_pkg.config.cleaning import CleaningConfig
from nav_pkg.config.demo import LEAST_RUNS, DemoConfig
from nav_pkg.config.learner import LearnerConfig
from nav_pkg.config.session import SessionConfig
from nav_pkg.config.setting import to_argv
from nav_pkg.core import ROOT, DataError, UsageError
from nav_pkg.data.files import atomic_write, lock_folder, to_json
from nav_pkg.flight.runlog import RunLog
from nav_pkg.learn.training import prechecks
from nav_pkg.session import arguments
from nav_pkg.session.steps import Pace, run_step

MARKER = "demo.json"
OUTPUTS = ("data", "log", "report", "report.html", MARKER)
"""Entries of the output folder; the demo deletes nothing else in it."""

EXPERT, NOISY, CLEAN, TRAINING, FLIGHTS = "collect/expert", "collect/noisy", "clean", "train", "fly"

NOISE: Dict[str, Any] = {"noise": "ou", "ou_theta": 0.1, "sigma_y": 0.04, "sigma_yaw": 0.1}
"""Ornstein-Uhlenbeck noise added to the executed command in the noisy laps: 0.09 m/s and 0.23 rad/s rms."""

UNDISTURBED = 1
"""Number of laps without noise: the first lap, which is timed."""


class Demo:
    """A demo: its commands, in order, and their measured times.

    Args:
        config: its settings.
    """

    def __init__(self, config: DemoConfig):
        self.config = config
        self.folder = Path(config.output)
        self.noisy_runs = config.runs - UNDISTURBED
        self._jobs = len(os.sched_getaffinity(0)) if config.simulator == "embedded" else 1
        self.steps: List[Dict[str, Any]] = []
        self.notes: List[str] = []

    # The commands.

    def _command(self, script: str, settings: Any, *always: str) -> List[str]:
        return [sys.executable, os.path.relpath(ROOT / "scripts" / script), *to_argv(settings, *always)]

    def _session(self, **more: Any) -> List[str]:
        """The command of a session that records flights from poses along the route."""
        config = SessionConfig(
            create_dataset=True,
            start="route",
            world=self.config.world,
            simulator=self.config.simulator,
            jobs=self._jobs,
            width=self.config.width,
            height=self.config.height,
            max_duration=self.config.max_duration,
            data_root=self.folder / "data",
            summary_dir=self.folder / "log",
            **more,
        )
        always = ("number_of_runs", "alpha", "random_seed", "world", "width", "height")
        return self._command("run_script.py", config, *always)

    def collect(self, tag: str, runs: int) -> List[str]:
        """The command that records laps of the expert from poses along the route."""
        noise = NOISE if tag == NOISY else {}
        seed = self.config.seed + (1 if tag == NOISY else 0)
        return self._session(log_tag=tag, number_of_runs=runs, random_seed=seed, **noise)

    def clean(self) -> List[str]:
        """The command that makes one dataset of the good laps, with one lap to validate and one to test."""
        config = CleaningConfig(
            startswith="collect/",
            destination=CLEAN,
            val_len=1,
            test_len=1,
            random_seed=self.config.seed,
            data_root=self.folder / "data",
        )
        return self._command("clean_dataset.py", config, "random_seed")

    def train(self) -> List[str]:
        """The command that trains the network on the expert's turns, as three classes."""
        config = LearnerConfig(
            log_tag=TRAINING,
            network=self.config.network,
            discrete=True,
            dataset=CLEAN,
            loss="CrossEntropy",
            momentum=0.9,
            learning_rate=self.config.learning_rate,
            batch_size=self.config.batch_size,
            max_episodes=self.config.episodes,
            normalized_output=True,
            shifted_input=True,
            tensorboard=True,
            random_seed=self.config.seed,
            data_root=str(self.folder / "data"),
            summary_dir=str(self.folder / "log"),
        )
        always = ("network", "optimizer", "learning_rate", "batch_size", "max_episodes", "random_seed")
        return self._command("main.py", config, *always)

    def fly(self) -> List[str]:
        """The command that records flights of the network, without the expert, from poses along the route."""
        session = self._session(
            log_tag=FLIGHTS,
            number_of_runs=self.config.flights,
            alpha=0,
            evaluation=True,
            random_seed=self.config.seed + 2,
            checkpoint_path=TRAINING,
        )
        return [*session, *to_argv(LearnerConfig(network=self.config.network, discrete=True), "network")]

    def check(self) -> None:
        """Check the flags of all commands before an earlier demo is deleted or the first command runs.

        Raises:
            UsageError: one of the commands would reject a value.
        """
        prechecks.network(self.config.network)
        for command in (self.collect(NOISY, self.config.runs), self.fly()):
            own, _ = arguments.split(command[2:])
            if own.alpha == 1:  # the other session's checkpoint does not exist yet
                arguments.schedule(own)
                arguments.check_simulator(own)
        learner.parse(self.train()[2:])
        from nav_pkg import nets  # torch takes seconds

        nets.canonical(self.config.network)

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
        record = {"steps": self.steps, "notes": self.notes, "flags": vars(self.config)}
        atomic_write(self.folder / MARKER, to_json(json.loads(json.dumps(record, default=str))), "--output")

    def _collect_all(self) -> None:
        """Collect the requested laps, or fewer if the time of the first lap shows that they take too long."""
        begin, limit = time.monotonic(), 60 * self.config.time_limit
        first = self._step("collect: a lap of the expert", self.collect(EXPERT, 1), tag=EXPERT)
        lap, start = first["watched"] or first["wall"], max(0.0, first["wall"] - first["watched"])
        left = limit - (time.monotonic() - begin) - 2 * start
        fit = max(LEAST_RUNS, 1 + int(left / lap))
        runs, noisy = self.config.runs, self.noisy_runs
        print(f"a lap takes {lap:.0f} s here, the start of the simulator {start:.0f} s", flush=True)
        if fit < runs:
            self._note(
                f"A lap takes {lap:.0f} s on this machine: {fit} laps fit "
                f"{self.config.time_limit:g} minutes, so {fit} instead of {runs} were collected."
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

        noise = f"Ornstein-Uhlenbeck noise, sigma_yaw {NOISE['sigma_yaw']} rad/s a frame"
        story = demo_page.DemoData(
            demo_page.Demo(
                folder=self.folder,
                steps=[demo_page.DemoStep(**step) for step in self.steps],
                collections={EXPERT: "as the expert flies", NOISY: noise},
                clean=CLEAN,
                flights=FLIGHTS,
                training=TRAINING,
                world=self.config.world,
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
        for name in OUTPUTS:
            path = folder / name
            if name == MARKER or path.is_symlink():
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}; give another --output") from None
