"""Joining by exact stamp."""

import threading
import time

import pytest

from nav_pkg.core import SimulatorError

StampSynchronizer = pytest.importorskip("nav_pkg.ros.synchronizer").StampSynchronizer


def test_complete_stamp_is_returned():
    join = StampSynchronizer()
    join.add("b", 100, "b100")
    join.add("a", 200, "a200")
    join.add("a", 100, "a100")
    assert join.wait(100, ["a", "b"], 0.1) == {"a": "a100", "b": "b100"}


def test_missing_channels_are_named():
    join = StampSynchronizer()
    join.add("/scan", 1_500_000_000, 1)
    with pytest.raises(SimulatorError, match=r"waited 0.05 s for /depth with stamp 1.500 s"):
        join.wait(1_500_000_000, ["/scan", "/depth"], 0.05)


def test_near_stamps_do_not_match():
    join = StampSynchronizer()
    join.add("a", 100_000_001, 1)
    with pytest.raises(SimulatorError):
        join.wait(100_000_000, ["a"], 0.05)


def test_wait_wakes_up():
    join = StampSynchronizer()
    threading.Timer(0.05, join.add, ("a", 7, "x")).start()
    begin = time.monotonic()
    assert join.wait(7, ["a"], 30.0) == {"a": "x"}
    assert time.monotonic() - begin < 20


def test_forgotten_stamps_stay_forgotten():
    join = StampSynchronizer()
    for stamp in range(100):
        join.add("a", stamp, stamp)
    join.forget(90)
    join.add("a", 5, "late")
    assert len(join) == 9


def test_close_ends_waits():
    join = StampSynchronizer()
    threading.Timer(0.05, join.close, ("ROS shut down",)).start()
    with pytest.raises(SimulatorError, match="ROS shut down"):
        join.wait(1, ["a"], 30.0)


def test_newest_later_stamp():
    join = StampSynchronizer()
    join.add("a", 10, 1)
    join.add("a", 30, 1)
    join.add("b", 40, 1)
    assert join.wait_newer(10, "a", 0.1) == 30
    with pytest.raises(SimulatorError, match="a later than"):
        join.wait_newer(30, "a", 0.05)
