"""The folders of a session: log and dataset, locked, checked, continued or begun anew.

Nothing is deleted before every flag has been checked, nothing that a living session uses, and
nothing that is not a session's own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Set

from nav_pkg.core import DataError, Outcome, UsageError
from nav_pkg.data import files
from nav_pkg.data.folders import refuse_writers
from nav_pkg.data.format import DATASET_FILE
from nav_pkg.data.reader import load_dataset
from nav_pkg.flight.body import DRONE, Body
from nav_pkg.flight.runlog import RunLog
from nav_pkg.flight.schedule import Schedule

CONFIGURATION = "run_conf.json"
OWN = (CONFIGURATION, "runs.jsonl", "state.json", "graph.log", "ros", "bags")
OWN += ("my-model", "config.json", "metrics.jsonl", "timing.jsonl", "results.json", "replay")
"""What a session writes into its log folder; other logs may lie below it."""

SAME = ("seed", "run_seed", "world_hash", "expert", "height", "alpha", "epsilon", "noise", "control_delay")
SAME += (
    "takeover",
    "max_duration",
    "min_depth",
    "reverse",
    "speed",
    "turn_speed",
    "start",
    "evaluation",
    "name",
)
"""Facts of a recorded run that a session must agree with to take it for its own."""


class Folders:
    """A session's folders.

    Args:
        log: the log folder.
        dataset: the dataset recorded into, or None.
        configuration: what must be the same for a session to be continued (plain JSON types).
        schedule: the flights.
        learned: tells the runs, by number, that the session's learner has learned from; None where
            nothing is learned.
        body: of the robot.

    Raises:
        UsageError: a folder is in use, or holds another session or dataset.
        DataError: a folder cannot be written.
    """

    def __init__(
        self,
        log: Path,
        dataset: Optional[Path],
        configuration: Dict[str, Any],
        schedule: Schedule,
        learned: Optional[Callable[[], Dict[int, Dict[str, Any]]]] = None,
        body: Body = DRONE,
    ):
        self._learned, self._body = learned, body
        self.path, self.dataset, self.schedule = log, dataset, schedule
        self._configuration = configuration
        self._locks: List[int] = []
        try:
            for folder in (log, dataset):
                if folder is not None:
                    self._lock(folder)
        except OSError as error:
            raise _unwritable(error) from None

    def _lock(self, folder: Path) -> None:
        """Take the folder for this process; the system lets go of it when the process ends."""
        lock = files.lock_beside(folder)
        if lock is None:
            flag = "--data_location" if folder == self.dataset else "-t"
            raise UsageError(f"{folder} is in use by another session; wait for it or choose another {flag}")
        self._locks.append(lock)

    def begin_anew(self, dataset_too: bool) -> None:
        """Delete an earlier session's log, and its dataset.

        Raises:
            UsageError: a folder was not made by a session, holds another dataset, or is recorded into.
        """
        if self.path.exists():
            if not (self.path / CONFIGURATION).exists() and any(self.path.iterdir()):
                raise UsageError(
                    f"--owr: {self.path} was not made by run_script (no {CONFIGURATION}); remove it yourself"
                )
            events = [file.name for file in self.path.glob("events.out.tfevents.*")]
            saved = [entry.name for entry in self.path.glob("saved_*")]
            for name in (*OWN, *events, *saved):
                entry = self.path / name
                if entry.is_dir():
                    shutil.rmtree(entry)
                else:
                    entry.unlink(missing_ok=True)
        dataset = self.dataset
        if dataset is None or not dataset_too or not dataset.exists():
            return
        if not (dataset / DATASET_FILE).exists() and any(dataset.iterdir()):
            raise UsageError(f"--owr: {dataset} is no dataset (no {DATASET_FILE}); remove it yourself")
        if any(dataset.glob(f"*/**/{DATASET_FILE}")):
            raise UsageError(f"--owr: other datasets lie below {dataset}; remove it yourself")
        refuse_writers(dataset)
        files.remove_tree(dataset)

    def open(self) -> RunLog:
        """Make the folders, or continue what they hold.

        Raises:
            UsageError: they hold another session, or a dataset of another origin.
            DataError: not writable, or the configuration is not readable.
        """
        file = self.path / CONFIGURATION
        recorded = self.dataset is not None and any(self.dataset.glob("*/run.json"))
        if os.path.lexists(file):
            try:
                before = files.read_json(file)
            except DataError as error:
                raise DataError(f"{error}; --owr begins anew") from None
            before, now = _placeless(before), _placeless(self._configuration)
            differing = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
            # A start that failed before its first run binds nobody.
            if differing and (recorded or RunLog(self.path).runs()):
                key = differing[0]
                raise UsageError(
                    f"{self.path} holds a session with --{key} {before.get(key)!r}, now {now.get(key)!r}; "
                    "give the same flags to continue it, --owr to begin anew, or another -t"
                )
        elif recorded:
            raise UsageError(
                f"dataset {self.dataset} exists already; --owr replaces it, or give another --data_location"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if self.dataset is not None:
                self.dataset.mkdir(parents=True, exist_ok=True)
                if not any(self.dataset.glob("*_*/")):
                    # Of a start that failed before its first run; it may describe another camera.
                    (self.dataset / DATASET_FILE).unlink(missing_ok=True)
            files.sweep(self.path)
            text = json.dumps(self._configuration, indent=1, sort_keys=True) + "\n"
            files.atomic_write(file, text, "--summary_dir")
            log = RunLog(self.path)
        except OSError as error:
            raise _unwritable(error) from None
        self.adopt(log)
        return log

    def finished(self, log: RunLog) -> Dict[int, Dict[str, Any]]:
        """The runs that need not be flown: in the log, and where one is recorded, in the dataset."""
        return {
            number: run
            for number, run in log.finished().items()
            if self.dataset is None
            or not run.get("frames")
            or (self.dataset / str(run.get("name")) / "run.json").exists()
        }

    def adopt(self, log: RunLog) -> None:
        """Log the runs that were committed in the moment before a graph died.

        Where a net learns, its checkpoint is the last thing to be written: a recorded run that it does
        not know of is removed, since it will be flown, recorded and learned from again, to the same bytes.

        Raises:
            DataError: a run of the dataset was recorded with other settings.
        """
        if self._learned is not None:
            learned, logged = self._learned(), log.finished()
            for number in sorted(set(learned) - set(logged)):
                log.append(learned[number])
            self._forget_unlearned(set(learned) | set(logged))
        if self.dataset is None or not (self.dataset / DATASET_FILE).exists():
            return
        known = log.finished()
        plans = {
            plan.run: plan for plan in dataclasses.replace(self.schedule, first_run=0).runs_to_fly(self._body)
        }
        for run in load_dataset(self.dataset).runs:
            number = run.facts.get("run")
            if number in known or number not in plans or not Outcome(run.facts["outcome"]).counts:
                continue
            plan = plans[number]
            wanted = self.schedule.flight(plan, self._body).facts()
            wanted.update(seed=self.schedule.seed, run_seed=plan.seed)
            for key in SAME:
                if run.facts.get(key) != wanted.get(key):
                    raise DataError(
                        f"{run.path}: recorded with {key} {run.facts.get(key)!r}, this session has "
                        f"{wanted.get(key)!r}; --owr replaces the dataset, or give another --data_location"
                    )
            log.append(run.facts)

    def _forget_unlearned(self, known: Set[int]) -> None:
        if self.dataset is None or not (self.dataset / DATASET_FILE).exists():
            return
        for run in load_dataset(self.dataset).runs:
            if run.facts.get("run") not in known:
                files.remove_tree(run.path)

    def check_space(self) -> None:
        """Raise DataError when a disk is full: what nodes say then is about something else."""
        for folder in (self.path, self.dataset):
            if folder is not None and shutil.disk_usage(folder).free < 4_000_000:
                raise DataError(
                    f"{folder}: no space left on its disk; make room and run the same command again"
                )

    def close(self) -> None:
        """Let go of the folders."""
        while self._locks:
            with contextlib.suppress(OSError):
                os.close(self._locks.pop())


def _placeless(configuration: Mapping[str, Any]) -> Dict[str, Any]:
    """A configuration without the folder of all logs: a log folder may be moved."""
    made = {key: value for key, value in configuration.items() if key != "summary_dir"}
    learner = made.get("learner")
    if isinstance(learner, list) and "--summary_dir" in learner:
        place = learner.index("--summary_dir")
        made["learner"] = learner[:place] + learner[place + 2 :]
    return made


def _unwritable(error: OSError) -> DataError:
    where = error.filename or "the session's folders"
    return DataError(f"{where}: {error.strerror}; choose another --summary_dir and --data_root")
