"""Several sessions of run_script side by side: started, watched, and ended together."""

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
"""Seconds between two looks."""
END_LIMIT = 60.0
"""Wall seconds for a session to end its graph after it was interrupted."""


@dataclass
class Job:
    """A session to fly.

    Attributes:
        title: names it in an error.
        arguments: of run_script.py.
        output: file that gets what it prints.
    """

    title: str
    arguments: List[str]
    output: Path


class _Running:
    """A session that flies; it is interrupted when this process dies, however it dies."""

    def __init__(self, job: Job):
        self.job = job
        try:
            job.output.parent.mkdir(parents=True, exist_ok=True)
            with open(job.output, "ab") as output:
                self._begin = output.tell()
                # Ctrl-C reaches it from us alone: a second one would cut its own ending short.
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
        """Why it ended, in its own words and with its own code."""
        code = self.process.returncode
        with open(self.job.output, "rb") as output:
            output.seek(self._begin)
            lines = output.read().decode(errors="replace").splitlines()
        errors = [line[7:] for line in lines if line.startswith("error: ")]
        text = (errors or [f"exit code {code}, see {self.job.output}"])[-1]
        return StepFailed(f"{self.job.title}: {text}", code if code > 0 else 1)


def run_jobs(
    jobs: Sequence[Job], at_once: int, on_look: Optional[Callable[[Sequence[Job]], None]] = None
) -> None:
    """Run sessions, so many at once; each next one as soon as one has ended.

    Args:
        jobs: in order.
        at_once: how many simulators run side by side.
        on_look: called with those that run a few times a second, and once all have ended.

    Raises:
        StepFailed: a session ended with an error; the others have been ended by then.
        KeyboardInterrupt: likewise.
    """
    waiting, running = list(jobs), []  # type: List[Job], List[_Running]
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(_Running(waiting.pop(0)))
            time.sleep(POLL)
            for one in list(running):
                if one.process.poll() is None:
                    continue
                running.remove(one)
                if one.process.returncode:
                    raise one.failure()
            if on_look is not None:
                on_look([one.job for one in running])
    except BaseException:
        _end(running)
        raise


def _end(running: Sequence[_Running]) -> None:
    """Interrupt all sessions at once and wait for them; kill what does not end."""
    for number, limit in ((signal.SIGINT, END_LIMIT), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
        for one in running:
            if one.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    one.process.send_signal(number)
        deadline = time.monotonic() + limit
        while any(one.process.poll() is None for one in running):
            if time.monotonic() > deadline:
                break
            with contextlib.suppress(KeyboardInterrupt):  # impatience: they are ending already
                time.sleep(0.1)
        else:
            return
