"""Progress of flights: share of the lap, simulation speed, time left.

The source is the heartbeat that each session's supervisor writes (`RunLog.beat`). All commands that monitor
sessions use this module and show the same values.
"""

from __future__ import annotations

import math
import os
import sys
import time
from typing import Any, Callable, Dict, List, Mapping, Optional

from tqdm import tqdm

from nav_pkg.data.progress import say

EVERY = 30.0
"""Wall seconds between progress lines when stderr is no terminal."""
LEAST = 1.0
"""Wall seconds that a run must have lasted before its pace is shown."""
FORMAT = "{desc}: {n_fmt}/{total_fmt} runs [{elapsed}<{remaining}{postfix}]"


def bar(total: int, done: int, label: str) -> tqdm:
    """Make the progress bar over a number of runs; it is disabled when stderr is no terminal."""
    width = os.get_terminal_size(sys.stderr.fileno()).columns if sys.stderr.isatty() else 0
    return tqdm(
        total=total,
        initial=done,
        desc=label,
        unit="run",
        bar_format=FORMAT,
        dynamic_ncols=bool(width),
        ncols=None if width else 80,  # for terminals that report size 0
        nrows=None if width else 24,
        disable=not sys.stderr.isatty(),
    )


class Lap:
    """The current lap of a session, from its heartbeats.

    A heartbeat holds `run`, `state`, `stamp` (s, simulated), `wall` (s), `progress` (m) and `pid`. Where
    known it also holds `lap` (m, length of a whole lap) and `limit` (s, simulated, longest duration of the
    run). When a network learns in flight it also holds `loss` and `updates`.
    """

    def __init__(self) -> None:
        self._first: Optional[Mapping[str, Any]] = None
        self._last: Optional[Mapping[str, Any]] = None

    def update(self, state: Optional[Mapping[str, Any]]) -> None:
        """Add the newest heartbeat."""
        same = self._first is not None and state is not None
        same = same and all(self._first.get(key) == state.get(key) for key in ("run", "pid", "state"))
        if not same or _number(state, "stamp") < _number(self._first, "stamp"):
            self._first = state
        self._last = state

    @property
    def flies(self) -> bool:
        """Whether the run is in state `running`."""
        return self._last is not None and self._last.get("state") == "running"

    @property
    def share(self) -> Optional[float]:
        """Share of the lap that is done, 0 to 1; None while unknown."""
        return _share(self._last)

    @property
    def pace(self) -> Optional[float]:
        """Simulated seconds per wall second of this run; None before the run has lasted LEAST."""
        wall = self._passed("wall")
        return self._passed("stamp") / wall if wall >= LEAST else None

    @property
    def left(self) -> Optional[float]:
        """Wall seconds left at the current pace, at most what the run's limit allows; None while unknown."""
        wall, flown = self._passed("wall"), self._passed("progress")
        estimates = []
        if wall >= LEAST and flown > 0 and self.share is not None:
            estimates.append((1 - self.share) * _number(self._last, "lap") * wall / flown)
        limit = _number(self._last, "limit")
        if self.pace and limit > 0:
            estimates.append(max(0.0, limit - self._passed("stamp")) / self.pace)
        return min(estimates) if estimates else None

    def text(self) -> str:
        """The progress as text, e.g. `run 3: 42 %, 3.1 x real time, 0:35 left`.

        It is empty before the first heartbeat.
        """
        if self._last is None:
            return ""
        run, state = self._last.get("run"), self._last.get("state")
        if state != "running":
            return f"run {run}: {state}"
        parts = ["flies" if self.share is None else f"{100 * self.share:.0f} %"]
        if self.pace is not None:
            parts.append(f"{self.pace:.1f} x real time")
        if self.left is not None:
            parts.append(f"{_minutes(self.left)} left")
        return f"run {run}: {', '.join(parts)}{learning_sign(self._last)}"

    def _passed(self, key: str) -> float:
        if not self.flies:
            return 0.0
        return max(0.0, _number(self._last, key) - _number(self._first, key))


def learning_sign(state: Mapping[str, Any]) -> str:
    """Loss and number of gradient steps in a heartbeat, as text; empty when nothing learns."""
    if not state.get("updates"):
        return ""
    loss = "not finite" if state.get("loss") is None else format(state["loss"], ".3g")
    return f", loss {loss} after {state['updates']} gradient steps"


def _number(state: Optional[Mapping[str, Any]], key: str, default: float = 0.0) -> float:
    value = (state or {}).get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return default
    return float(value)


def _share(state: Optional[Mapping[str, Any]]) -> Optional[float]:
    lap = _number(state, "lap")
    return min(1.0, max(0.0, _number(state, "progress") / lap)) if lap > 0 else None


def _minutes(seconds: float) -> str:
    return tqdm.format_interval(math.ceil(seconds))


class FlightProgress:
    """Shows the current laps: in the progress bar on a terminal, else as a line every EVERY seconds.

    Args:
        line: the progress bar. If it is disabled, lines are written to stderr instead.
        clock: returns wall seconds.
    """

    def __init__(self, line: tqdm, clock: Callable[[], float] = time.monotonic):
        self._bar, self._clock = line, clock
        self._laps: Dict[str, Lap] = {}
        self._printed_at = clock()
        self._shown = ""

    def end(self) -> None:
        """Close the bar after the last run, without the text of the last lap."""
        self._laps = {}
        self._bar.set_postfix_str("")
        self._bar.close()

    def update(self, states: Mapping[str, Optional[Mapping[str, Any]]]) -> None:
        """Show the newest heartbeats.

        Args:
            states: the heartbeats by name of the session; a single session's name is empty.
        """
        self._laps = {
            name: self._laps.get(name, Lap()) for name, state in states.items() if state is not None
        }
        for name, lap in self._laps.items():
            lap.update(states[name])
        if not self._bar.disable:
            shown = self._line()
            if shown != self._shown:
                self._shown = shown
                self._bar.set_postfix_str(shown)
        elif self._clock() - self._printed_at >= EVERY:
            self._printed_at = self._clock()
            for name, lap in self._laps.items():
                if lap.flies:
                    say(f"{name} {lap.text()}" if name else lap.text())

    def _line(self) -> str:
        laps = [lap for lap in self._laps.values() if lap.text()]
        if len(laps) < 2:
            return laps[0].text() if laps else ""
        shares: List[str] = ["-" if lap.share is None else f"{100 * lap.share:.0f} %" for lap in laps]
        paces = [lap.pace for lap in laps if lap.pace is not None]
        left = [lap.left for lap in laps if lap.left is not None]
        parts = [f"{len(laps)} fly: {', '.join(shares)}"]
        if paces:
            parts.append(f"{sum(paces):.1f} x real time")
        if left:
            parts.append(f"{_minutes(max(left))} left")
        return ", ".join(parts)
