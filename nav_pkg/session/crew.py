"""Fly runs in embedded simulators: in this process, or in several processes side by side."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence

from nav_pkg.children import start_process_pool
from nav_pkg.core import SimulatorError
from nav_pkg.flight.body import Body
from nav_pkg.flight.runlog import HEARTBEAT_SECONDS, RunLog
from nav_pkg.flight.schedule import RunPlan
from nav_pkg.session.embedded import EmbeddedFlights, Settings
from nav_pkg.sim import description

FOLDER = "flying"
"""Subfolder of a log folder with the heartbeats of processes that fly side by side."""

OnStates = Callable[[Mapping[str, Optional[Mapping[str, Any]]]], None]


class Crew:
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
        self._flights = EmbeddedFlights(settings, self._on_state) if jobs == 1 else None
        self._pool: Any = None

    def fly(self, numbers: Sequence[int]) -> Iterator[Dict[str, Any]]:
        """Fly these runs of the schedule; yield the description of each when it is on disk.

        Raises:
            SimulatorError: a process ended, or its simulator did not start.
            NavError: the recorder or the learner failed.
        """
        body = Body.from_robot(description.read_robot(self._settings.options.robot))
        wanted = set(numbers)
        runs = [run for run in self._settings.schedule.runs_to_fly(body) if run.run in wanted]
        if self._flights is not None:
            yield from map(self._flights.fly, runs)
        else:
            yield from self._side_by_side(runs)

    def _side_by_side(self, runs: Sequence[RunPlan]) -> Iterator[Dict[str, Any]]:
        jobs = min(self._jobs, len(runs))
        try:
            self._pool, _ = start_process_pool(jobs)
            waiting = list(reversed(runs))
            flying: Dict[Future, RunPlan] = {}
            while waiting or flying:
                while waiting and len(flying) < jobs:
                    run = waiting.pop()
                    flying[self._pool.submit(_fly, self._settings, run)] = run
                done, _ = wait(flying, HEARTBEAT_SECONDS, FIRST_COMPLETED)
                for future in sorted(done, key=lambda each: flying[each].run):
                    del flying[future]
                    yield future.result()
                self._show([run.run for run in flying.values()])
        except BrokenProcessPool:
            raise SimulatorError("a process that flies was killed, or has no memory left") from None
        except OSError as error:
            raise SimulatorError(
                f"{jobs} processes cannot be started: {error.strerror}; give fewer --jobs"
            ) from None

    def _on_state(self, state: Dict[str, Any]) -> None:
        state = {key: value for key, value in state.items() if key != "wall"}
        self._log.write_heartbeat(force=True, **state)
        self._on_states({"": self._log.state()})

    def _show(self, running: Sequence[int]) -> None:
        """Pass on the heartbeats of the runs that fly now; the session's is that of the first one."""
        states = {}
        for run in sorted(running):
            state = _heartbeat(self._settings, run).state()
            if state is not None:
                states[f"run {run}"] = state
        if states:
            first = next(iter(states.values()))
            self._log.write_heartbeat(**{k: v for k, v in first.items() if k not in ("pid", "wall")})
            self._on_states(states)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._flights is not None:
            self._flights.close()
        if self._pool is not None:
            self._pool.shutdown(kill_workers=True)
        folder = self._settings.log_folder / FOLDER
        for file in folder.glob("*/state*"):
            file.unlink()
        for empty in [*folder.glob("*"), folder]:
            with contextlib.suppress(OSError):
                empty.rmdir()


def _heartbeat(settings: Settings, run: int) -> RunLog:
    """Where a process writes the heartbeat of a run."""
    return RunLog(settings.log_folder / FOLDER / str(run))


_mine: Optional[EmbeddedFlights] = None
"""The simulator of this process, one of several."""
_current: Optional[RunLog] = None


def _fly(settings: Settings, run: RunPlan) -> Dict[str, Any]:
    """Fly a run in this process, whose simulator is kept for the next one."""
    global _mine, _current
    _current = _heartbeat(settings, run.run)
    if _mine is None:
        os.environ["LP_NUM_THREADS"] = "0"
        _mine = EmbeddedFlights(settings, _beat)
    return _mine.fly(run)


def _beat(state: Dict[str, Any]) -> None:
    assert _current is not None
    _current.write_heartbeat(force=True, **{k: v for k, v in state.items() if k != "wall"})
