"""The log of runs on disk, without ROS: written by the supervisor and read by monitors.

`runs.jsonl` has one line per finished run, appended and flushed to disk before the next run
begins. `state.json` is a heartbeat, replaced atomically a few times per wall second.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Any, Dict, List, Optional

from nav_pkg import schemas
from nav_pkg.core import DataError, Outcome
from nav_pkg.reading import read_json, read_json_lines

HEARTBEAT_SECONDS = 0.25


class RunLog:
    """The run log in a log folder.

    Args:
        folder: the log folder; created if missing.
    """

    def __init__(self, folder: os.PathLike):
        self.folder = Path(folder)
        self.runs_file = self.folder / "runs.jsonl"
        self.state_file = self.folder / "state.json"
        self._last_heartbeat = 0.0
        self.folder.mkdir(parents=True, exist_ok=True)

    def append(self, facts: Dict[str, Any]) -> None:
        """Append a finished run; on disk when this returns. A line cut short by a crash is ended first.

        Raises:
            DataError: writing failed.
        """
        try:
            self._append(facts)
        except OSError as error:
            remedy = "make room on its disk" if error.errno in (ENOSPC, EDQUOT) else "check --summary_dir"
            raise DataError(f"{self.runs_file}: {error.strerror}; {remedy}") from None

    def _append(self, facts: Dict[str, Any]) -> None:
        with open(self.runs_file, "ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(json.dumps(facts, sort_keys=True).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def size(self) -> int:
        """Size of the log, bytes; the log has changed if its size has."""
        return self.runs_file.stat().st_size if self.runs_file.exists() else 0

    def runs(self) -> List[Dict[str, Any]]:
        """All finished runs in the order flown, including failed attempts.

        Raises:
            DataError: the file has other content.
        """
        if not os.path.lexists(self.runs_file):
            return []
        # a line that is not JSON was cut short by a crash: its run is not finished
        runs, _ = read_json_lines(self.runs_file, schemas.RUN, strict="; remove this line, or use --owr")
        return runs

    def finished(self) -> Dict[int, Dict[str, Any]]:
        """The runs, by number, that are complete: without simulator failures and interrupted runs.

        A run that the operator aborted through the supervisor's service is complete; a run in progress
        when the session was stopped is not.
        """
        return {
            run["run"]: run
            for run in self.runs()
            if run["outcome"] != str(Outcome.SIM_FAILURE) and not run.get("interrupted")
        }

    def write_heartbeat(self, force: bool = False, **state: Any) -> None:
        """Replace the heartbeat, at most every HEARTBEAT_SECONDS unless forced."""
        now = time.monotonic()
        if not force and now - self._last_heartbeat < HEARTBEAT_SECONDS:
            return
        self._last_heartbeat = now
        temporary = self.state_file.with_suffix(".tmp")
        with contextlib.suppress(OSError):  # the recorder reports a full disk
            temporary.write_text(json.dumps(dict(state, pid=os.getpid(), wall=time.time())))
            os.replace(temporary, self.state_file)

    def state(self) -> Optional[Dict[str, Any]]:
        """The newest heartbeat; None if it cannot be read."""
        try:
            return read_json(self.state_file, schemas.HEARTBEAT)
        except DataError:
            return None
