"""One ROS graph as a child process: roslaunch on its own port, monitored and cleaned up.

Every process of the graph has a mark in its environment. All marked processes are killed at the end, even
if roslaunch, a node or the session itself was killed (see `keeper`).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Optional, TextIO

from nav_pkg.children import start_child
from nav_pkg.core import DataError, SimulatorError, UsageError
from nav_pkg.locks import flock
from nav_pkg.private import open_private, private_folder
from nav_pkg.reading import parse_object
from nav_pkg.schemas import LINE
from nav_pkg.sim.keeper import STOP_LIMIT, kill_marked
from nav_pkg.sim.network import LOOPBACK, check_master, listen_environment

FIRST_PORT, PORT_COUNT = 21311, 2000
_FATAL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EMFILE, errno.ENFILE)
"""Errors that every other port would cause, too."""
_SESSION_FIELDS = {"master": LINE.required, "folder": LINE.required, "address": LINE}


class Port:
    """A free TCP port for a ROS master, reserved while this object lives.

    The reservation keeps other sessions away between the check of the port and the master's start. It is an
    abstract Unix socket name: all users of the host see it, and so do cluster jobs with their own temporary
    folders. A file in the temporary folder describes the session on the port.
    """

    def __init__(self):
        folder = private_folder(_ports(), "TMPDIR")
        for offset in range(PORT_COUNT):
            number = FIRST_PORT + offset
            name = socket.socket(socket.AF_UNIX)
            lock: Optional[TextIO] = None
            try:
                lock = os.fdopen(
                    open_private(folder / str(number), os.O_RDWR | os.O_CREAT | os.O_APPEND), "a+"
                )
                name.bind(f"\0nav_pkg-port-{number}")
                if flock(lock.fileno()) is False:
                    raise BlockingIOError
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", number))
            except OSError as error:
                if lock is not None:
                    lock.close()
                name.close()
                if error.errno in _FATAL_ERRNOS:
                    raise DataError(f"{folder}: {error.strerror}; set TMPDIR to another folder") from None
                continue
            self.number, self._lock, self._name = number, lock, name
            return
        raise SimulatorError(
            f"no free port between {FIRST_PORT} and {FIRST_PORT + PORT_COUNT} for a ROS master"
        )

    def describe(self, session: Dict[str, str]) -> None:
        """Store a description of the session on this port, for `sessions`."""
        self._lock.truncate(0)
        self._lock.write(json.dumps(session))
        self._lock.flush()

    def release(self) -> None:
        """Release the port."""
        self._lock.close()
        self._name.close()


def _ports() -> Path:
    return Path(tempfile.gettempdir()) / f"nav_pkg-ports-{os.getuid()}"


def sessions() -> List[Dict[str, str]]:
    """List this user's sessions on this host, oldest first: `master` (URI), `folder` (log), `address`."""
    records = []
    files = list(private_folder(_ports(), "TMPDIR").glob("*")) if os.path.lexists(_ports()) else []
    for file in sorted(files, key=lambda file: file.lstat().st_mtime):
        try:
            opened = open_private(file, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:  # a link, or removed
            continue
        with os.fdopen(opened) as lock:
            if not flock(lock.fileno(), shared=True):  # a session holds it
                with contextlib.suppress(ValueError, DataError):  # not yet written, or incomplete
                    records.append(parse_object(lock.read(1 << 16), file, _SESSION_FIELDS))
    return records


class Graph:
    """A running `roslaunch nav_pkg graph.launch`.

    Args:
        arguments: the launch file's arguments.
        folder: log folder; roslaunch's output goes to `graph.log`, the nodes' logs to `ros/`.
        private: start a separate ROS master; otherwise use that of ROS_MASTER_URI.
        listen: address of this machine that all its processes listen on.
    """

    def __init__(self, arguments: Dict[str, str], folder: Path, private: bool = True, listen: str = LOOPBACK):
        self.log = folder / "graph.log"
        self._mark = secrets.token_hex(8)
        roslaunch = shutil.which("roslaunch")
        if roslaunch is None:
            raise UsageError("roslaunch is not on the PATH; run 'make setup' and 'source env.sh'")
        environment = listen_environment(os.environ, listen)
        if not private:
            check_master(environment.get("ROS_MASTER_URI", "http://localhost:11311"), listen)
        self._port = Port() if private else None
        environment.update(ROS_LOG_DIR=str(folder / "ros"), PYTHONUNBUFFERED="1")
        paths = [str(Path(__file__).resolve().parents[2]), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        command = [sys.executable, "-m", "nav_pkg.sim.keeper", self._mark, roslaunch]
        if self._port is not None:
            environment["ROS_MASTER_URI"] = f"http://{listen}:{self._port.number}"
            command += ["-p", str(self._port.number)]
        self.master = environment.get("ROS_MASTER_URI", "http://localhost:11311")
        arguments = dict(arguments, listen=listen)
        command += ["nav_pkg", "graph.launch"] + [f"{key}:={value}" for key, value in arguments.items()]
        if self._port is not None:
            self._port.describe({"master": self.master, "folder": str(folder), "address": listen})
        self._begin = self.log.stat().st_size if self.log.exists() else 0
        try:
            (folder / "ros").mkdir(parents=True, exist_ok=True)
            with open(self.log, "ab") as output:
                self._process = start_child(
                    command, signal.SIGINT, env=environment, stdout=output, stderr=subprocess.STDOUT
                )
        except OSError as error:
            raise DataError(f"{self.log}: {error.strerror}; make room on its disk") from None

    @property
    def running(self) -> bool:
        """Whether roslaunch still runs."""
        return self._process.poll() is None

    def stop(self, limit: float = STOP_LIMIT + 15.0) -> None:
        """Stop the graph: send SIGINT, then kill the processes that remain. None runs when this returns."""
        deadline = time.monotonic() + limit
        if self.running:
            self._process.send_signal(signal.SIGINT)
        while self.running and time.monotonic() < deadline:
            time.sleep(0.05)
        kill_marked(self._mark)
        self._process.wait(timeout=10)
        if self._port is not None:
            self._port.release()

    def output(self) -> str:
        """The output of this graph so far."""
        with open(self.log, "rb") as log:
            log.seek(self._begin)
            return log.read().decode(errors="replace")

    def failure(self) -> Failure:
        """The reason why the graph ended by itself, from the output of its nodes."""
        return Failure(self.output())


class Failure:
    """The first node of a graph that died.

    Attributes:
        node: name of the node that died first; empty if none did.
        code: its exit code (negative: the signal that killed it), or None.
        line: the last `error:` line before its death, or a sentence made from node and code.
    """

    def __init__(self, output: str):
        text = re.sub(r"\x1b\[[0-9;]*m|\x1b\][^\x07]*\x07", "", output)
        died = r"\[([\w/]+)-\d+\] (?:has died!\s+)?process has died \[pid \d+, exit code (-?\d+)"
        death = re.search(died, text)
        clean = re.search(r"REQUIRED process \[([\w/]+)-\d+\] has died!\s+process has finished cleanly", text)
        self.node: str = ""
        self.code: Optional[int] = None
        if death is not None and (clean is None or death.start() < clean.start()):
            self.node, self.code = death.group(1), int(death.group(2))
        elif clean is not None:
            self.node, self.code = clean.group(1), 0
        end = len(text) if death is None else death.start()
        errors = re.findall(r"^(?:\[ERROR\] .*?: |error: |\w*Exception: )(.+)$", text[:end], re.MULTILINE)
        if errors:
            self.line = errors[-1].strip()
        elif self.node:
            how = f"signal {-self.code}" if (self.code or 0) < 0 else f"exit code {self.code}"
            self.line = f"the node {self.node} died ({how})"
        else:
            self.line = "roslaunch ended without a message"
