"""Send files from a job to the submitting host by HTCondor's chirp, without a shared file system.

The files are the job's state, which dag_status.py shows, and the output of a removed job, which HTCondor
would delete. If chirp fails, the job continues without it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
from pathlib import Path
from typing import Any, Callable

EVERY = 20.0
"""Seconds between two transfers of the state."""
LIMIT = 10.0
"""Seconds for the submitting host to answer."""
MODE = 0o644


class Uplink:
    """The connection of a job to the submitting host.

    Args:
        state: the job's state file.
        remote: its path on the submitting host, relative to the DAG's folder.
    """

    def __init__(self, state: Path, remote: str):
        self._state, self._remote = state, remote
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def fetch(self) -> None:
        """Fetch the state that an earlier try of the job sent from any host."""
        self._state.parent.mkdir(parents=True, exist_ok=True)
        if not self._state.exists():
            self._say(lambda chirp: chirp.fetch(self._remote, str(self._state)))

    def start(self) -> None:
        """Start to send the state every `EVERY` seconds."""
        if _connected():
            with contextlib.suppress(ImportError):  # import before the main thread forks for the command
                importlib.import_module("htcondor2.htchirp")
        self._thread.start()

    def end(self) -> None:
        """Send the state for the last time."""
        self._ended.set()
        self._thread.join(2 * LIMIT)
        self._send()

    def _keep(self) -> None:
        while not self._ended.is_set():
            self._send()
            self._ended.wait(EVERY)

    def _send(self) -> None:
        self.send_file(self._state, self._remote)

    def send_file(self, file: Path, remote: str) -> None:
        """Copy a file to the submitting host atomically.

        Args:
            file: the file on this host.
            remote: its path on the submitting host, relative to the DAG's folder.
        """
        beside = f"{remote}.{os.getpid()}.tmp"

        def put(chirp: Any) -> None:
            chirp.putfile(str(file), beside, MODE)
            chirp.rename(beside, remote)

        self._say(put)

    def _say(self, send: Callable[[Any], None]) -> None:
        if not _connected():
            return
        with contextlib.suppress(Exception):  # any failure: the job continues without chirp
            from htcondor2.htchirp import HTChirp  # native code, needed only here

            with HTChirp(timeout=LIMIT) as chirp:
                send(chirp)


def _connected() -> bool:
    """Whether this process runs as an HTCondor job with chirp."""
    return os.path.isfile(os.environ.get("_CONDOR_CHIRP_CONFIG", ""))
