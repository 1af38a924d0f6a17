"""Life signs of flights: how far a lap is, how fast it is simulated, how much time is left.

They come from the heartbeat that each session's supervisor writes (`RunLog.beat`), so that all commands that
watch sessions show the same.
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
"""Wall seconds between plain lines, where there is no terminal."""
LEAST = 1.0
"""Wall seconds of a run before which no pace is shown."""
FORMAT = "{desc}: {n_fmt}/{total_fmt} runs [{elapsed}<{remaining}{postfix}]"


def bar(total: int, done: int, what: str) -> tqdm:
    """The line of a number of runs on a terminal; elsewhere it shows nothing."""
    width = os.get_terminal_size(sys.stderr.fileno()).columns if sys.stderr.isatty() else 0
    return tqdm(
        total=total,
        initial=done,
        desc=what,
        unit="run",
        bar_format=FORMAT,
        dynamic_ncols=bool(width),
        ncols=None if width else 80,  # a terminal that does not know its size
        nrows=None if width else 24,
        disable=not sys.stderr.isatty(),
    )


class Lap:
    """The lap that a session flies, as its heartbeats tell.

    A heartbeat holds `run`, `state`, `stamp` (s, simulated), `wall` (s), `progress` (m) and `pid`; where
    they are known `lap` (m, of a whole one), `limit` (s, simulated, that the run may take) and `loss` and
    `updates`, where a net learns in flight.
    """

    def __init__(self) -> None:
        self._first: Optional[Mapping[str, Any]] = None
        self._last: Optional[Mapping[str, Any]] = None

    def take(self, state: Optional[Mapping[str, Any]]) -> None:
        """Take the newest heartbeat."""
        same = self._first is not None and state is not None
        same = same and all(self._first.get(key) == state.get(key) for key in ("run", "pid", "state"))
        if not same or _number(state, "stamp") < _number(self._first, "stamp"):
            self._first = state
        self._last = state

    @property
    def flies(self) -> bool:
        """Whether the run is on its way."""
        return self._last is not None and self._last.get("state") == "running"

    @property
    def share(self) -> Optional[float]:
        """How much of the lap is done, 0 to 1; None while that is not known."""
        return _share(self._last)

    @property
    def pace(self) -> Optional[float]:
        """Simulated by wall seconds of this run; None before it has lasted LEAST."""
        wall = self._passed("wall")
        return self._passed("stamp") / wall if wall >= LEAST else None

    @property
    def left(self) -> Optional[float]:
        """Wall seconds left at the present pace; at most what the run's limit allows."""
        wall, flown = self._passed("wall"), self._passed("progress")
        found = []
        if wall >= LEAST and flown > 0 and self.share is not None:
            found.append((1 - self.share) * _number(self._last, "lap") * wall / flown)
        limit = _number(self._last, "limit")
        if self.pace and limit > 0:
            found.append(max(0.0, limit - self._passed("stamp")) / self.pace)
        return min(found) if found else None

    def text(self) -> str:
        """For instance `run 3: 42 %, 3.1 x real time, 0:35 left`; empty before the first heartbeat."""
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
    """What a heartbeat says of learning in flight; empty where nothing learns."""
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
    """Shows the laps that fly: in a bar's line on a terminal, elsewhere in a line every EVERY seconds.

    Args:
        line: the bar; one that is disabled shows nothing, and lines are written to stderr.
        clock: wall seconds.
    """

    def __init__(self, line: tqdm, clock: Callable[[], float] = time.monotonic):
        self._bar, self._clock = line, clock
        self._laps: Dict[str, Lap] = {}
        self._told = clock()
        self._shown = ""

    def end(self) -> None:
        """All has been flown: the last lap is not shown any more."""
        self._laps = {}
        self._bar.set_postfix_str("")
        self._bar.close()

    def look(self, states: Mapping[str, Optional[Mapping[str, Any]]]) -> None:
        """Take the newest heartbeats, by the session's name (empty where there is one session)."""
        self._laps = {
            name: self._laps.get(name, Lap()) for name, state in states.items() if state is not None
        }
        for name, lap in self._laps.items():
            lap.take(states[name])
        if not self._bar.disable:
            shown = self._line()
            if shown != self._shown:
                self._shown = shown
                self._bar.set_postfix_str(shown)
        elif self._clock() - self._told >= EVERY:
            self._told = self._clock()
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
