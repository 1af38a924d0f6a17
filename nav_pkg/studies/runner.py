"""Run the cells of a study on this machine in parallel, and determine which are done, failed or left.

```
<log folder>/studies/<study>/<scale>/
  study.json          the cells: choices, seed and configuration, by hash
  checkpoints.json    if the study flies networks of other studies: the networks chosen at its first run
  cells/<hash>/       log folder of a cell; the cell is done when its result exists, which is written last
                      (results.json for a training)
  by_choice/          links to the cells: <choice>/<choice>/seed_<n>, for combine_results.py and for readers
  out/<hash>.txt      output of the cell's command
  failed/<hash>.json  exit code and last error line of a command that failed
  used/<hash>.json    processor time of the cell's commands, except those that outlived the runner
```

These files are the only state. After a kill at any moment, the same command resumes; only progress since the
trainings' last checkpoints is lost.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from nav_pkg.children import dying_with_parent
from nav_pkg.core import EXIT_CHECKPOINTED, DataError, UsageError
from nav_pkg.data import files
from nav_pkg.fields import an_object, table
from nav_pkg.reading import read_json
from nav_pkg.studies.cell_logs import DONE, STUDY, STUDY_FILE, UNAVAILABLE, CellLogs
from nav_pkg.studies.checkpoints import chosen
from nav_pkg.studies.study import Cell, Study, load

STOP_LIMIT = 90.0
"""Seconds for trainings to save a checkpoint after SIGTERM."""
POLL = 0.05
LINKS = "by_choice"
CHECKPOINTS_FILE = "checkpoints.json"
_CHECKPOINTS = {"checkpoints": table(an_object({})).required}


def slug(text: str) -> str:
    """Convert a text to a path component, e.g. `SGD 0.1` to `SGD_0.1`."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("_.") or "_"


class StudyFolder(CellLogs):
    """The folder of a study at a scale.

    Args:
        study: the study.
        scale: its scale.
        summary_dir: the folder of all logs.
    """

    def __init__(self, study: Study, scale: str, summary_dir: Path):
        self.study, self.scale = study, scale
        tag = f"studies/{study.name}/{scale}"
        super().__init__(summary_dir / tag, tag)
        self.checkpoints: Dict[str, Any] = {}
        if study.checkpoints:
            known = self.folder / CHECKPOINTS_FILE
            if known.exists():
                self.checkpoints = read_json(known, _CHECKPOINTS)["checkpoints"]
            else:
                others = [StudyFolder(load(name), scale, summary_dir) for name in study.checkpoints.studies]
                self.checkpoints = chosen(
                    [
                        (each.study.name, each.log(cell), f"{each.tag}/cells/{cell.digest}", cell)
                        for each in others
                        for cell in each.cells
                        if each.state(cell).state == DONE
                    ],
                    study.checkpoints.count,
                )
        self.cells = study.cells(scale, self.checkpoints)

    def argv(self, cell: Cell, data_root: Path, summary_dir: Path) -> List[str]:
        """The command line of a cell, without its script.

        Args:
            cell: the cell.
            data_root: the folder of all datasets.
            summary_dir: the folder of all logs.
        """
        line = ["-t", f"{self.tag}/cells/{cell.digest}", *cell.argv]
        line += ["--summary_dir", str(summary_dir.expanduser().resolve())]
        return (
            [*line, "--data_root", str(data_root)] if cell.command in ("main.py", "run_script.py") else line
        )

    def content(self) -> Dict[str, Any]:
        """The content of study.json."""
        return {
            "study": self.study.name,
            "scale": self.scale,
            "cells": {
                cell.digest: {
                    "choices": dict(cell.choices),
                    "seed": cell.seed,
                    "command": cell.command,
                    "flags": dict(cell.flags),
                }
                for cell in self.cells
            },
        }

    def open(self, extend: bool = False) -> None:
        """Create the folder, or open the existing one.

        Args:
            extend: accept a folder with other cells; logs of cells that the study no longer has stay.

        Raises:
            UsageError: the study's cells have changed.
            DataError: the folder cannot be written.
        """
        file, now = self.folder / STUDY_FILE, self.content()
        if file.exists():
            stored = read_json(file, STUDY)
            before, after = stored["cells"], now["cells"]
            if before != after and not extend:
                removed = [digest for digest in before if digest not in after]
                new = [digest for digest in after if digest not in before]
                raise UsageError(
                    f"{file}: the study has changed: {len(new)} cells are new, {len(removed)} are gone"
                    f"{self._example(before, after, removed, new)}; give --extend to run the new ones "
                    "(the others' logs stay)"
                )
        try:
            for name in ("cells", "out", "failed", "used"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise files.disk_error(self.folder, error, "--summary_dir") from error
        if self.checkpoints:
            chosen_file = self.folder / CHECKPOINTS_FILE
            files.atomic_write(chosen_file, files.to_json({"checkpoints": self.checkpoints}), "--summary_dir")
        files.atomic_write(file, files.to_json(now), "--summary_dir")
        try:
            self._link()
        except OSError as error:
            raise files.disk_error(self.folder / LINKS, error, "--summary_dir") from error

    def _link(self) -> None:
        """Link each cell under a readable path; replace old links, since the study may have been extended."""
        shutil.rmtree(self.folder / LINKS, ignore_errors=True)
        for cell in self.cells:
            names = [slug(label) for label in cell.choices.values()]
            names += [] if cell.seed is None else [f"seed_{cell.seed}"]
            link = self.folder.joinpath(LINKS, *names)
            if os.path.lexists(link):  # two labels give the same slug
                link = link.with_name(f"{link.name}_{cell.digest}")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(self.log(cell), link.parent))

    @staticmethod
    def _example(
        before: Mapping[str, Any], after: Mapping[str, Any], removed: Sequence[str], new: Sequence[str]
    ) -> str:
        if not removed or not new:
            return ""
        where, was, now = files.first_difference(before[removed[0]], after[new[0]])
        return f" ({where} was {was}, now {now})"


class Runner:
    """Runs the cells of a study that are not done.

    Args:
        folder: folder of the study, opened.
        cells: the cells to run.
        command: returns the command of a cell.
        jobs: number of cells in parallel.
        memory: returns the memory of a cell, MB.
        limit: memory of all running cells together, MB.
        say: called with a line at the start and end of each cell.
    """

    def __init__(
        self,
        folder: StudyFolder,
        cells: Sequence[Cell],
        command: Callable[[Cell], List[str]],
        jobs: int,
        memory: Callable[[Cell], float],
        limit: float,
        say: Callable[[str], None] = functools.partial(print, flush=True),
    ):
        self.folder, self.cells, self.command, self.jobs = folder, cells, command, jobs
        self.memory, self.limit, self.say = memory, limit, say
        self._running: Dict[str, Tuple[Cell, subprocess.Popen, float]] = {}

    def run(self) -> int:
        """Run all cells that are not done.

        Returns:
            The number of cells that failed or were stopped.

        Raises:
            DataError: another process runs the study.
        """
        lock = files.lock_folder(self.folder.folder)
        if lock is None:
            raise DataError(f"{self.folder.folder}: another process runs this study: wait for it")
        left = [cell for cell in self.cells if self.folder.state(cell).state != DONE]
        total, failed = len(self.cells), 0
        self.say(f"{self.folder.tag}: {total - len(left)} of {total} cells are done")
        try:
            patience = time.monotonic() + STOP_LIMIT
            while left or self._running:
                while left:
                    # Trainings of a killed run may still hold their locks to save: run those cells last.
                    free = next((cell for cell in left if not files.is_locked(self.folder.log(cell))), None)
                    if free is None and time.monotonic() < patience:
                        break
                    chosen_next = free or left[0]
                    if not self._has_room(chosen_next):
                        break
                    self._start(chosen_next)
                    left.remove(chosen_next)
                time.sleep(POLL)
                failed += sum(self._poll(digest) for digest in list(self._running))
        finally:
            self._stop()
            os.close(lock)
        return failed

    def _has_room(self, cell: Cell) -> bool:
        if not self._running:
            return True
        taken = sum(self.memory(each) for each, _, _ in self._running.values())
        return len(self._running) < self.jobs and taken + self.memory(cell) <= self.limit

    def _start(self, cell: Cell) -> None:
        self.folder.forget_failure(cell)
        with open(self.folder.output(cell), "wb") as output:  # truncate: only errors of this try
            process = subprocess.Popen(
                self.command(cell),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=dying_with_parent(signal.SIGTERM),
            )
        self._running[cell.digest] = (cell, process, time.monotonic())
        self.say(f"{cell.digest} {cell.name}: begun")

    def _poll(self, digest: str) -> bool:
        """Poll a running cell; returns True when its command has failed or was stopped."""
        cell, process, begin = self._running[digest]
        code = self._reap(cell, process)
        if code is None:
            return False
        del self._running[digest]
        seconds = time.monotonic() - begin
        subject = f"{cell.digest} {cell.name}"
        if code == 0 and self.folder.state(cell).state == DONE:
            self.say(f"{subject}: done in {seconds:.0f} s")
            return False
        if code == EXIT_CHECKPOINTED:
            self.say(f"{subject}: stopped; the same command resumes it")
            return True
        error = self.folder.note_failure(cell, code)
        if self.folder.state(cell).state == UNAVAILABLE:
            self.say(f"{subject}: {UNAVAILABLE}: {error}")
            return False
        self.say(f"{subject}: failed: {error}")
        return True

    def _reap(self, cell: Cell, process: subprocess.Popen) -> Optional[int]:
        """Reap a command that has ended and record its processor time.

        Returns:
            Its exit code; None while it runs.
        """
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if not ended:
            return None
        process.returncode = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        self.folder.add_used(cell, usage.ru_utime + usage.ru_stime)
        return process.returncode

    def _stop(self) -> None:
        """Terminate the running commands; kill those that have not saved and ended in time."""
        for _, process, _ in self._running.values():
            process.terminate()
        deadline = time.monotonic() + STOP_LIMIT
        for cell, process, _ in self._running.values():
            while self._reap(cell, process) is None:
                if time.monotonic() > deadline:
                    process.kill()
                time.sleep(POLL)
        self._running.clear()
