"""Taking over and handing back, frame by frame."""

import math

import pytest

from nav_pkg.control.takeover import Takeover
from nav_pkg.core import UsageError


def test_by_distance_with_a_way_back():
    takeover = Takeover(distance=1.0)
    deviations = [0.2, 0.9, 1.0, 1.1, 0.9, 0.6, 0.5, 0.9, 1.01]
    flown = [takeover.update(deviation, 3.0) for deviation in deviations]
    assert flown == [False, False, False, True, True, True, False, False, True]
    assert takeover.count == 2


def test_by_clearance():
    takeover = Takeover(clearance=0.8)
    clearances = [1.0, 0.79, 0.9, 0.99, 1.0, 0.8]
    assert [takeover.update(5.0, c) for c in clearances] == [False, True, True, True, False, False]


def test_both_must_be_well_before_it_hands_back():
    takeover = Takeover(distance=1.0, clearance=0.8)
    assert takeover.update(1.5, 2.0)
    assert takeover.update(0.4, 0.9)  # back on the route, but still near a wall
    assert not takeover.update(0.4, 1.0)


def test_never_by_default_and_nothing_seen_is_free():
    assert not Takeover().update(100.0, 0.0)
    assert not Takeover(clearance=0.5).update(0.0, math.nan)


def test_reset_gives_it_back():
    takeover = Takeover(distance=1.0)
    takeover.update(2.0, 1.0)
    takeover.reset()
    assert not takeover.active and takeover.count == 0


@pytest.mark.parametrize("distance, clearance", [(-1.0, 0.0), (0.0, math.nan), (math.inf, 0.0)])
def test_bad_limits(distance, clearance):
    with pytest.raises(UsageError, match="--takeover_"):
        Takeover(distance, clearance)
