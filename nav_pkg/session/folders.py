"""The log and dataset folders of a session: lock, check, resume, or start over.

This module deletes only files that a session wrote, only after all flags have been checked, and never while
another session uses the folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Set

from nav_pkg.config.session import SETTINGS
from nav_pkg.core import DataError, Outcome, UsageError
from nav_pkg.data import files
from nav_pkg.data.folders import check_no_writers
from nav_pkg.data.format import DATASET_FILE
from nav_pkg.data.reader import load_dataset
from nav_pkg.flight.body import DRONE, Body
from nav_pkg.flight.runlog import RunLog
from nav_pkg.flight.schedule import FlightSchedule

CONFIGURATION = "run_conf.json"
OUTPUTS = (
    *(CONFIGURATION, "runs.jsonl", "state.json", "heartbeats", "graph.log", "ros", "bags"),
    *("my-model", "config.json", "metrics.jsonl", "timing.jsonl", "results.json", "replay"),
)
"""Entries that a session writes into its log folder; the folder may also contain other logs."""

MUST_MATCH = (
    *("seed", "run_seed", "world_hash", "expert", "height", "alpha", "epsilon", "noise", "control_delay"),
    *(
        "takeover",
        "max_duration",
        "min_depth",
        "reverse",
        "speed",
        "turn_speed",
        "start",
        "evaluation",
        "name",
    ),
)
"""Facts of a recorded run that must match the session before the session adopts the run."""


class Folders:
    """A session's folders.

    Args:
        log: the log folder.
        dataset: the dataset that the session records, or None.
        configuration: values that must be equal to resume a session (plain JSON types).
        schedule: the flights.
        learned: returns the runs, by number, that the session's learner has learned from; None if nothing
            learns.
        body: the robot's body.

    Raises:
        UsageError: a folder is in use.
        DataError: a folder cannot be written.
    """

    def __init__(
        self,
        log: Path,
        dataset: Optional[Path],
        configuration: Dict[str, Any],
        schedule: FlightSchedule,
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
        """Lock the folder for this process; the kernel releases the lock when the process ends."""
        lock = files.lock_folder(folder)
        if lock is None:
            flag = "--data_location" if folder == self.dataset else "-t"
            raise UsageError(f"{folder} is in use by another session; wait for it or choose another {flag}")
        self._locks.append(lock)

    def start_over(self, dataset_too: bool) -> None:
        """Delete the log of an earlier session, and its dataset if `dataset_too`.

        Raises:
            UsageError: a session did not make the folder, the folder contains another dataset, or a
                recorder writes to it.
        """
        if self.path.exists():
            if not (self.path / CONFIGURATION).exists() and any(self.path.iterdir()):
                raise UsageError(
                    f"--owr: {self.path} was not made by run_script (no {CONFIGURATION}); remove it yourself"
                )
            events = [file.name for file in self.path.glob("events.out.tfevents.*")]
            saved = [entry.name for entry in self.path.glob("saved_*")]
            for name in (*OUTPUTS, *events, *saved):
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
        check_no_writers(dataset)
        files.remove_tree(dataset)

    def open(self) -> RunLog:
        """Create the folders, or resume the session that they hold.

        Raises:
            UsageError: they hold another session, or a dataset of another origin.
            DataError: a folder is not writable, or the configuration is not readable.
        """
        file = self.path / CONFIGURATION
        recorded = self.dataset is not None and any(self.dataset.glob("*/run.json"))
        if os.path.lexists(file):
            try:
                before = files.read_json(file)
            except DataError as error:
                raise DataError(f"{error}; --owr starts over") from None
            before, now = _placeless(before), _placeless(self._configuration)
            # a session of an earlier version lacks the settings that came later: it had their defaults
            before = {**{key: SETTINGS[key].default for key in now if key in SETTINGS}, **before}
            differing = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
            # If the first start failed before any run, the flags may change.
            if differing and (recorded or RunLog(self.path).runs()):
                key = differing[0]
                raise UsageError(
                    f"{self.path} holds a session with --{key} {before.get(key)!r}, now {now.get(key)!r}; "
                    "give the same flags to continue it, --owr to start over, or another -t"
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
                    # Left by a start that failed before its first run; may describe another camera.
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
        """The runs that need not be flown again, by number.

        They are finished in the log, and their recordings, if any, are in the dataset.
        """
        return {
            number: run
            for number, run in log.finished().items()
            if self.dataset is None
            or not run.get("frames")
            or (self.dataset / str(run.get("name")) / "run.json").exists()
        }

    def adopt(self, log: RunLog) -> None:
        """Log the runs that were committed just before a graph died.

        If a network learns, its checkpoint is written last. A recorded run that is not in the checkpoint is
        removed: it will be flown, recorded and learned from again, with the same bytes.

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
            wanted = self.schedule.flight(plan, self._body).run_metadata()
            wanted.update(seed=self.schedule.seed, run_seed=plan.seed)
            for key in MUST_MATCH:
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
        """Raise DataError when a disk is full, because the nodes' own errors then mislead."""
        for folder in (self.path, self.dataset):
            if folder is not None and shutil.disk_usage(folder).free < 4_000_000:
                raise DataError(
                    f"{folder}: no space left on its disk; make room and run the same command again"
                )

    def close(self) -> None:
        """Release the locks of the folders."""
        while self._locks:
            with contextlib.suppress(OSError):
                os.close(self._locks.pop())


def _placeless(configuration: Mapping[str, Any]) -> Dict[str, Any]:
    """The configuration without --summary_dir, because the user may move a log folder."""
    kept = {key: value for key, value in configuration.items() if key != "summary_dir"}
    learner = kept.get("learner")
    if isinstance(learner, list) and "--summary_dir" in learner:
        place = learner.index("--summary_dir")
        kept["learner"] = learner[:place] + learner[place + 2 :]
    return kept


def _unwritable(error: OSError) -> DataError:
    where = error.filename or "the session's folders"
    return DataError(f"{where}: {error.strerror}; choose another --summary_dir and --data_root")
