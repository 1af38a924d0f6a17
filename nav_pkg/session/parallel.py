"""Run several sessions of run_script in parallel: start, monitor and stop them together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Optional, Sequence

from nav_pkg.children import start_child
from nav_pkg.core import ROOT, DataError
from nav_pkg.session.steps import StepFailed

POLL = 0.25
"""Seconds between two polls."""
END_LIMIT = 60.0
"""Wall seconds that a session has to shut down its graph after an interrupt."""


@dataclass
class ParallelSession:
    """A session to run.

    Attributes:
        title: its name in error messages.
        arguments: the arguments of run_script.py.
        output: the file for its stdout and stderr.
    """

    title: str
    arguments: List[str]
    output: Path


class _Running:
    """A running session; the kernel sends it SIGINT when this process dies for any reason."""

    def __init__(self, job: ParallelSession):
        self.job = job
        try:
            job.output.parent.mkdir(parents=True, exist_ok=True)
            with open(job.output, "ab") as output:
                self._begin = output.tell()
                # Only we forward Ctrl-C: a second SIGINT would interrupt its shutdown.
                self.process = start_child(
                    [sys.executable, ROOT / "scripts" / "run_script.py", *job.arguments],
                    signal.SIGINT,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=dict(os.environ, PYTHONUNBUFFERED="1"),
                )
        except OSError as error:
            raise DataError(f"{job.output}: {error.strerror}; make room on its disk") from None

    def failure(self) -> StepFailed:
        """The error of the session: its last `error:` line and its exit code."""
        code = self.process.returncode
        with open(self.job.output, "rb") as output:
            output.seek(self._begin)
            lines = output.read().decode(errors="replace").splitlines()
        errors = [line[7:] for line in lines if line.startswith("error: ")]
        text = (errors or [f"exit code {code}, see {self.job.output}"])[-1]
        return StepFailed(f"{self.job.title}: {text}", code if code > 0 else 1)


def run_sessions(
    jobs: Sequence[ParallelSession],
    most: int,
    on_poll: Optional[Callable[[Sequence[ParallelSession]], None]] = None,
) -> None:
    """Run sessions in parallel; when a session ends, the next one starts.

    Args:
        jobs: the sessions, in order.
        most: number of sessions that run in parallel.
        on_poll: called a few times a second with the running sessions, and once more after the last one
            has ended.

    Raises:
        StepFailed: a session failed; all other sessions have been stopped.
        KeyboardInterrupt: Ctrl-C; all sessions have been stopped.
    """
    waiting, running = list(jobs), []  # type: List[ParallelSession], List[_Running]
    try:
        while waiting or running:
            while waiting and len(running) < most:
                running.append(_Running(waiting.pop(0)))
            time.sleep(POLL)
            for session in list(running):
                if session.process.poll() is None:
                    continue
                running.remove(session)
                if session.process.returncode:
                    raise session.failure()
            if on_poll is not None:
                on_poll([session.job for session in running])
    except BaseException:
        _end(running)
        raise


def _end(running: Sequence[_Running]) -> None:
    """Interrupt all sessions at the same time and wait for them; kill those that do not end."""
    for number, limit in ((signal.SIGINT, END_LIMIT), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
        for session in running:
            if session.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    session.process.send_signal(number)
        deadline = time.monotonic() + limit
        while any(session.process.poll() is None for session in running):
            if time.monotonic() > deadline:
                break
            with contextlib.suppress(KeyboardInterrupt):  # a further Ctrl-C: the sessions are ending already
                time.sleep(0.1)
        else:
            return
