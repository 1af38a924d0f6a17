"""Progress and state of a job, which `dag_status.py` reads.

The state file is `state/<name>.json` in the DAG's folder. It is kept from try to try of a job.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import Any, Dict, Optional

from nav_pkg import schemas
from nav_pkg.core import DataError, NavError
from nav_pkg.data import files


class Progress:
    """Progress of a command, counted from the files in its log folder.

    Args:
        folder: the log folder; None if the command has none.
        unit: `runs`, `episodes` or `frames`.
    """

    def __init__(self, folder: Optional[Path], unit: str):
        self.folder, self.unit = folder, unit
        self._sizes: Dict[Path, int] = {}
        self._counts: Dict[Path, int] = {}

    def count(self) -> int:
        """The number of units done; a file is read again only if its size has changed."""
        if self.folder is None:
            return 0
        if self.unit == "episodes":
            logs = self.folder.rglob("metrics.jsonl")
        else:
            logs = self.folder.rglob("runs.jsonl")
        for file in logs:
            with contextlib.suppress(OSError, DataError):
                size = file.stat().st_size
                if self._sizes.get(file) != size:
                    self._sizes[file], self._counts[file] = size, self._read(file)
        return sum(self._counts.values())

    def _read(self, file: Path) -> int:
        lines = files.read_small(file).decode("utf-8", "replace").splitlines()
        if self.unit == "episodes":
            return len(lines)
        done: Dict[Any, int] = {}
        for line in lines:
            with contextlib.suppress(DataError):
                run = files.parse_object(line, file, schemas.RUN, non_finite=True)
                if run.get("outcome") != "sim_failure" and not run.get("interrupted"):
                    done[run.get("run")] = run.get("frames") or 0
        return sum(done.values()) if self.unit == "frames" else len(done)


class State:
    """The state file of a job, `state/<name>.json`, which `dag_status.py` reads.

    Args:
        file: path of the state file.
        spec: spec of the job.
    """

    def __init__(self, file: Path, spec: Dict[str, Any]):
        self.file = file
        before: Dict[str, Any] = {}
        with contextlib.suppress(NavError):
            before = files.read_json(file, schemas.STATE)
        now, cluster = time.time(), _cluster()
        if before.get("cluster") != cluster:  # the node was submitted again
            before.update(failures=0, hangs=0)
        self.values: Dict[str, Any] = {
            "name": spec["name"],
            "host": socket.gethostname(),
            "tries": int(before.get("tries") or 0) + 1,
            "pid": os.getpid(),
            "begin": now,
            "done_before": 0,
            "cluster": cluster,
            "failures": int(before.get("failures") or 0),
            "hangs": int(before.get("hangs") or 0),
            "updated": now,
            "of": spec.get("total") or None,
            "last_line": "",
            "error_line": None,
            "suspended": 0.0,
            "exit_code": None,
            "status": "running",
        }

    def write(self, **values: Any) -> None:
        """Update values and write the file; ignore errors, because the command reports a full disk."""
        self.values.update(values, updated=time.time())
        with contextlib.suppress(NavError, OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            files.atomic_write(self.file, files.to_json(self.values))


def _cluster() -> Optional[int]:
    """The cluster id of the HTCondor job; None outside HTCondor."""
    with contextlib.suppress(OSError, ValueError):
        ad = Path(os.environ.get("_CONDOR_JOB_AD") or "/dev/null").read_text(errors="replace")
        numbers = [line.split("=")[1] for line in ad.splitlines() if line.startswith("ClusterId =")]
        return int(numbers[0]) if numbers else None
    return None
