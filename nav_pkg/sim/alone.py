"""The simulator alone, until it is interrupted (`simulator.py`)."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import Iterator, Optional, Sequence

from nav_pkg.sim.description import SimulatorOptions
from nav_pkg.sim.gazebo import Gazebo
from nav_pkg.sim.network import ADDRESS_VARIABLE, listen_environment


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

    def show(line: str) -> None:
        if verbose or "[Err]" in line or "[nav_pkg]" in line:
            print(line, flush=True)

    with until_signal() as stop, Gazebo(options, port, start_limit, show) as gazebo:
        stop.wait(0)
        gazebo.wait(stop)


@contextlib.contextmanager
def until_signal() -> Iterator[threading.Event]:
    """A block of code that SIGINT, SIGTERM or SIGHUP ends; the event is set then."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: _interrupt(stop))
    with contextlib.suppress(_Interrupted):
        yield stop


def listen_on(address: str, arguments: Sequence[str]) -> None:
    """Let this program, with all that it imports later, listen on one address alone.

    It starts the program again in this process if its environment does not say so yet.

    Args:
        address: IPv4 address of this machine.
        arguments: the program's.

    Raises:
        UsageError: the library that restricts it is not built.
    """
    environment = listen_environment(os.environ, address)
    if any(os.environ.get(name) != environment[name] for name in (ADDRESS_VARIABLE, "ROS_IP", "LD_PRELOAD")):
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, sys.argv[0], *arguments], environment)


class _Interrupted(Exception):
    """A signal arrived during the start or the end of the simulator."""


def _interrupt(stop: threading.Event) -> None:
    """On the first signal, end the wait; it also interrupts a slow start."""
    if not stop.is_set():
        stop.set()
        raise _Interrupted
