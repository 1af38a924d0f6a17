"""Fly runs in embedded simulators: in this process, or in several processes side by side."""

from __future__ import annotations

import contextlib
import shutil
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence, Tuple

from nav_pkg.children import SuspensionWatch, start_process_pool
from nav_pkg.core import SimulatorError
from nav_pkg.flight.body import Body
from nav_pkg.flight.runlog import HEARTBEAT_SECONDS, RunLog
from nav_pkg.flight.schedule import RunPlan
from nav_pkg.session.embedded import EmbeddedFlights, Settings, prepare_dataset
from nav_pkg.session.limits import COMMIT_LIMIT, STALL_LIMIT, START_LIMIT
from nav_pkg.sim import description

FOLDER = "heartbeats"
"""Subfolder of a log folder with the heartbeats of processes that fly side by side."""

OnStates = Callable[[Mapping[str, Optional[Mapping[str, Any]]]], None]


class FlightPool:
    """The simulators of a session.

    Args:
        settings: the session's.
        jobs: number of processes; 1: this one.
        log: takes the heartbeats.
        on_states: called with the newest heartbeats by name, a few times a second.

    Raises:
        UsageError, DataError, SimulatorError: as `EmbeddedFlights`.
    """

    def __init__(self, settings: Settings, jobs: int, log: RunLog, on_states: OnStates):
        self._settings, self._log, self._on_states = settings, log, on_states
        self._jobs = jobs
        self._pool: Any = None
        self._failed = True  # until all runs are flown
        self._remove_heartbeats()  # of a session that was killed
        prepare_dataset(settings)
        self._flights = EmbeddedFlights(settings, self._on_state) if jobs == 1 else None

    def fly(self, numbers: Sequence[int]) -> Iterator[Dict[str, Any]]:
        """Fly these runs of the schedule; yield the description of each, in order, when it is on disk.

        Raises:
            SimulatorError: a process ended or stalled, or its simulator did not start.
            NavError: the recorder or the learner failed.
        """
        body = Body.from_robot(description.read_robot(self._settings.options.robot))
        wanted = set(numbers)
        runs = [run for run in self._settings.schedule.runs_to_fly(body) if run.run in wanted]
        if self._flights is not None:
            yield from map(self._flights.fly, runs)
        else:
            yield from self._side_by_side(runs)
        self._failed = False

    def _side_by_side(self, runs: Sequence[RunPlan]) -> Iterator[Dict[str, Any]]:
        jobs = min(self._jobs, len(runs))
        try:
            self._pool, _ = start_process_pool(jobs)
        except OSError as error:
            raise SimulatorError(
                f"{jobs} processes cannot be started: {error.strerror}; give fewer --jobs"
            ) from None
        waiting, due = list(reversed(runs)), [run.run for run in reversed(runs)]
        flying: Dict[Future, RunPlan] = {}
        done: Dict[int, Dict[str, Any]] = {}
        watch = _Watch()
        try:
            while due:
                while waiting and len(flying) < jobs:
                    run = waiting.pop()
                    flying[self._pool.submit(_fly, self._settings, run)] = run
                for future in wait(flying, HEARTBEAT_SECONDS, FIRST_COMPLETED)[0]:
                    done[flying.pop(future).run] = future.result()
                while due and due[-1] in done:
                    yield done.pop(due.pop())
                states = {run.run: _heartbeat(self._settings, run.run).state() for run in flying.values()}
                watch.check(states)
                self._show(states)
        except BrokenProcessPool:
            raise SimulatorError("a process that flies was killed, or has no memory left") from None

    def _on_state(self, state: Dict[str, Any]) -> None:
        self._log.write_heartbeat(force=True, **state)  # EmbeddedFlights limits the rate
        self._on_states({"": self._log.state()})

    def _show(self, states: Mapping[int, Optional[Dict[str, Any]]]) -> None:
        """Pass on the heartbeats of the runs that fly now; the session's is that of the first one."""
        known = {f"run {run}": states[run] for run in sorted(states) if states[run] is not None}
        if known:
            first = next(iter(known.values())) or {}
            self._log.write_heartbeat(**{k: v for k, v in first.items() if k not in ("pid", "wall")})
            self._on_states(known)

    def _remove_heartbeats(self) -> None:
        shutil.rmtree(self._settings.log_folder / FOLDER, ignore_errors=True)

    def __enter__(self) -> FlightPool:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._flights is not None:
            self._flights.close()
        if self._pool is not None:
            self._pool.shutdown(kill_workers=self._failed)
        self._remove_heartbeats()


class _Watch:
    """Notices a process that stands still."""

    def __init__(self) -> None:
        self._changed: Dict[int, Tuple[Any, float]] = {}  # by run: what the heartbeat said, and since when
        self._suspension = SuspensionWatch()

    def check(self, states: Mapping[int, Optional[Mapping[str, Any]]]) -> None:
        """Raise SimulatorError if a run's heartbeat has not changed within its limit."""
        now, suspended = time.monotonic(), self._suspension.poll()
        for run, state in states.items():
            key = None if state is None else (state["state"], state["stamp"])
            before, since = self._changed.get(run, (None, now))
            self._changed[run] = (key, now if key != before or suspended else since)
            limit = START_LIMIT if state is None else STALL_LIMIT
            if state is not None and state["state"] == "ended":
                limit = COMMIT_LIMIT
            if now - self._changed[run][1] > limit:
                raise SimulatorError(f"run {run}: nothing new within {limit:g} s")


def _heartbeat(settings: Settings, run: int) -> RunLog:
    """Where a process writes the heartbeat of a run."""
    return RunLog(settings.log_folder / FOLDER / str(run))


_flights: Optional[EmbeddedFlights] = None
"""The simulator of this process, one of several."""
_heartbeat_log: Optional[RunLog] = None


def _fly(settings: Settings, run: RunPlan) -> Dict[str, Any]:
    """Fly a run in this process, whose simulator is kept for the next one."""
    global _flights, _heartbeat_log
    _heartbeat_log = _heartbeat(settings, run.run)
    if _flights is None:
        _flights = EmbeddedFlights(settings, _write_heartbeat)
    return _flights.fly(run)


def _write_heartbeat(state: Dict[str, Any]) -> None:
    assert _heartbeat_log is not None
    with contextlib.suppress(OSError):  # the recorder reports a full disk
        _heartbeat_log.write_heartbeat(force=True, **state)
