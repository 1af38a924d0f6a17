"""Keeps a ROS graph: runs roslaunch, and leaves nothing of the graph behind, whoever dies first.

A roslaunch that is interrupted while it starts its nodes may leave some of them, and the ROS master, to
themselves; and a session that is killed cannot look after them. So a process of its own does.

    python -m nav_pkg.sim.keeper MARK COMMAND ...
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import List, Sequence

from nav_pkg.children import dying_with_parent
from nav_pkg.core import SimulatorError

MARK = "NAV_PKG_GRAPH"
"""Variable in the environment of all processes of a graph."""

PATIENCE = 20.0
"""Seconds that roslaunch has to end its nodes (it gives them 15 to heed SIGINT)."""

_POLL = 0.05


def marked(mark: str) -> List[int]:
    """The process numbers of all processes that carry a mark."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                environment = Path("/proc", entry, "environ").read_bytes().split(b"\0")
                zombie = b") Z" in Path("/proc", entry, "stat").read_bytes()
            except OSError:
                continue
            if wanted in environment and not zombie:
                found.append(int(entry))
    return found


def kill_marked(mark: str, limit: float = 10.0) -> None:
    """Kill all processes that carry a mark; none of them runs when this returns.

    Raises:
        SimulatorError: they do not die.
    """
    deadline = time.monotonic() + limit
    while True:
        left = marked(mark)
        if not left:
            return
        for number in left:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise SimulatorError(f"processes {left} could not be killed within {limit:g} s")
        time.sleep(_POLL)


def keep(mark: str, command: Sequence[str]) -> int:
    """Run a command until it ends or this process is asked to (SIGINT, SIGTERM); then nothing marked is left.

    Returns:
        The command's exit code.
    """
    asked: List[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: asked.append(number))
    process = subprocess.Popen(
        list(command), env={**os.environ, MARK: mark}, preexec_fn=dying_with_parent(signal.SIGINT)
    )
    deadline = float("inf")
    while process.poll() is None and time.monotonic() < deadline:
        if asked and deadline == float("inf"):
            process.send_signal(signal.SIGINT)
            deadline = time.monotonic() + PATIENCE
        time.sleep(_POLL)
    kill_marked(mark)
    return process.wait()


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1], sys.argv[2:]))
