"""The simulator alone, until it is interrupted (`simulator.py`)."""

from __future__ import annotations

import signal
import threading
from typing import Optional

from nav_pkg.sim.description import SimulatorOptions
from nav_pkg.sim.gazebo import Gazebo


def run_until_stopped(
    options: SimulatorOptions, port: Optional[int] = None, start_limit: float = 90.0, verbose: bool = False
) -> None:
    """Run Gazebo until SIGINT, SIGTERM or SIGHUP.

    Args:
        options: world, robot and the rest.
        port: TCP port of Gazebo's own master; None for a free one.
        start_limit: seconds that the start may take.
        verbose: print all that Gazebo prints, not only errors.

    Raises:
        SimulatorError: the simulator failed.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: _interrupt(stop))

    def show(line: str) -> None:
        if verbose or "[Err]" in line or "[nav_pkg]" in line:
            print(line, flush=True)

    try:
        with Gazebo(options, port, start_limit, show) as gazebo:
            stop.wait(0)
            gazebo.wait(stop)
    except _Interrupted:
        pass


class _Interrupted(Exception):
    """A signal arrived during the start or the end of the simulator."""


def _interrupt(stop: threading.Event) -> None:
    """On the first signal, end the wait; it also interrupts a slow start."""
    if not stop.is_set():
        stop.set()
        raise _Interrupted
