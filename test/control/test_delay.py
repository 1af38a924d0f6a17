"""The control delay: segments by hand and by property."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nav_pkg.control import CommandDelay
from nav_pkg.core import CONTROL_PERIOD_NS, Command, UsageError

MS = 1_000_000


def commands(count):
    return [Command(x=float(i + 1)) for i in range(count)]


def flown(delay_ms, count=4):
    """Segments as (number of the command, milliseconds); 0 is the initial command."""
    delay = CommandDelay(round(delay_ms * MS))
    return [[(int(c.x), ns / MS) for c, ns in delay.push(command)] for command in commands(count)]


def test_by_hand():
    assert flown(0) == [[(1, 100)], [(2, 100)], [(3, 100)], [(4, 100)]]
    assert flown(100) == [[(0, 100)], [(1, 100)], [(2, 100)], [(3, 100)]]
    assert flown(200) == [[(0, 100)], [(0, 100)], [(1, 100)], [(2, 100)]]
    assert flown(30) == [[(0, 30), (1, 70)], [(1, 30), (2, 70)], [(2, 30), (3, 70)], [(3, 30), (4, 70)]]
    assert flown(130)[:3] == [[(0, 100)], [(0, 30), (1, 70)], [(1, 30), (2, 70)]]
    assert flown(99.999999)[0] == [(0, 99.999999), (1, 0.000001)]


def test_reset():
    delay = CommandDelay(250 * MS)
    for command in commands(5):
        delay.push(command)
    delay.reset(Command(z=1.0))
    assert [delay.push(c) for c in commands(3)] == [
        [(Command(z=1.0), 100 * MS)],
        [(Command(z=1.0), 100 * MS)],
        [(Command(z=1.0), 50 * MS), (Command(x=1.0), 50 * MS)],
    ]
    assert delay.seconds == 0.25


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 5 * CONTROL_PERIOD_NS), st.integers(1, 3 * CONTROL_PERIOD_NS), st.integers(1, 12))
def test_every_command_begins_exactly_after_the_delay(delay_ns, period_ns, count):
    delay = CommandDelay(delay_ns, period_ns)
    now, began, order = 0, {}, []
    for index, command in enumerate(commands(count)):
        segments = delay.push(command)
        assert sum(ns for _, ns in segments) == period_ns
        assert all(ns > 0 for _, ns in segments)
        at = now
        for executed, ns in segments:
            order.append(executed.x)
            began.setdefault(int(executed.x), at)
            at += ns
        now += period_ns
        assert now == (index + 1) * period_ns
    assert order == sorted(order)
    for number, at in began.items():
        assert at == (0 if number == 0 else (number - 1) * period_ns + delay_ns)
    # None is left out: all that have had their time were executed.
    due = [n for n in range(1, count + 1) if (n - 1) * period_ns + delay_ns < now]
    assert sorted(n for n in began if n) == due


@pytest.mark.parametrize("bad", [(-1,), (0.1,), (0, 0), ("a",)])
def test_bad_delays(bad):
    with pytest.raises(UsageError):
        CommandDelay(*bad)
