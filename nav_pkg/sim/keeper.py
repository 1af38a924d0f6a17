"""Runs roslaunch and kills all remaining processes of its graph when roslaunch or the session ends.

An interrupted roslaunch that is still starting nodes may leave nodes and the ROS master running. A session
that is killed cannot clean up. Therefore a separate process does:

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

MARK_VARIABLE = "NAV_PKG_GRAPH"
"""Environment variable of all processes of a graph."""

STOP_LIMIT = 20.0
"""Seconds for roslaunch to stop its nodes (it waits 15 s after SIGINT)."""

_POLL = 0.05


def marked(mark: str) -> List[int]:
    """Process ids of all processes with a mark."""
    wanted = f"{MARK_VARIABLE}={mark}".encode()
    pids = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                environment = Path("/proc", entry, "environ").read_bytes().split(b"\0")
                zombie = b") Z" in Path("/proc", entry, "stat").read_bytes()
            except OSError:
                continue
            if wanted in environment and not zombie:
                pids.append(int(entry))
    return pids


def kill_marked(mark: str, limit: float = 10.0) -> None:
    """Kill all processes with a mark. None of them runs when this returns.

    Raises:
        SimulatorError: they do not end within the limit.
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
    """Run a command until it ends or this process gets SIGINT or SIGTERM, then kill all marked processes.

    Returns:
        The command's exit code.
    """
    signals: List[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: signals.append(number))
    process = subprocess.Popen(
        list(command), env={**os.environ, MARK_VARIABLE: mark}, preexec_fn=dying_with_parent(signal.SIGINT)
    )
    deadline = float("inf")
    while process.poll() is None and time.monotonic() < deadline:
        if signals and deadline == float("inf"):
            process.send_signal(signal.SIGINT)
            deadline = time.monotonic() + STOP_LIMIT
        time.sleep(_POLL)
    kill_marked(mark)
    return process.wait()


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1], sys.argv[2:]))
