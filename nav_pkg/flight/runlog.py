"""The log of runs on disk: what the supervisor writes and whoever watches it reads, without ROS.

`runs.jsonl` holds one line a finished run, appended and flushed to disk before the next run
begins. `state.json` is a heartbeat, replaced atomically a few times a wall second.
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
        folder: the log folder; made when missing.
    """

    def __init__(self, folder: os.PathLike):
        self.folder = Path(folder)
        self.runs_file = self.folder / "runs.jsonl"
        self.state_file = self.folder / "state.json"
        self._last_beat = 0.0
        self.folder.mkdir(parents=True, exist_ok=True)

    def append(self, facts: Dict[str, Any]) -> None:
        """Add a finished run; on disk when this returns. A line cut short by a crash is closed first.

        Raises:
            DataError: it cannot be written.
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
        """Bytes in the log: it has changed when this has."""
        return self.runs_file.stat().st_size if self.runs_file.exists() else 0

    def runs(self) -> List[Dict[str, Any]]:
        """All finished runs in order of flight, failed attempts included.

        Raises:
            DataError: the file is something else.
        """
        if not os.path.lexists(self.runs_file):
            return []
        # what is not even JSON was cut short by a crash: that run was not finished
        runs, _ = read_json_lines(self.runs_file, schemas.RUN, strict="; remove this line, or use --owr")
        return runs

    def finished(self) -> Dict[int, Dict[str, Any]]:
        """The runs by number that need not be flown (again): no simulator failures, nothing interrupted.

        A run that the operator aborted by the supervisor's service is finished, one that was open
        when the session was stopped is not.
        """
        return {
            run["run"]: run
            for run in self.runs()
            if run["outcome"] != str(Outcome.SIM_FAILURE) and not run.get("interrupted")
        }

    def beat(self, force: bool = False, **state: Any) -> None:
        """Replace the heartbeat, at most every HEARTBEAT_SECONDS unless forced."""
        now = time.monotonic()
        if not force and now - self._last_beat < HEARTBEAT_SECONDS:
            return
        self._last_beat = now
        temporary = self.state_file.with_suffix(".tmp")
        with contextlib.suppress(OSError):  # a full disk is the recorder's to report
            temporary.write_text(json.dumps(dict(state, pid=os.getpid(), wall=time.time())))
            os.replace(temporary, self.state_file)

    def state(self) -> Optional[Dict[str, Any]]:
        """The newest heartbeat, or None."""
        try:
            return read_json(self.state_file, schemas.HEARTBEAT)
        except DataError:
            return None
