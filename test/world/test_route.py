"""The route: projection and its inverse, on hand-worked cases and at random."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nav_pkg.core import DataError
from nav_pkg.world import Route, load_plan

ROUTE = load_plan("esatv3").route
SQUARE = Route(np.array([[0, 0], [10, 0], [10, 10], [0, 10]]))


def apart(a: float, b: float, route: Route) -> float:
    """Distance between two arc lengths round the loop."""
    gap = abs(a - b) % route.length
    return min(gap, route.length - gap)


def test_length_of_the_loop():
    assert ROUTE.length == pytest.approx(191.65, abs=0.01)
    assert SQUARE.length == 40


def test_square_by_hand():
    assert SQUARE.pose_at(0) == (0, 0, 0)
    assert SQUARE.pose_at(12.5) == pytest.approx((10, 2.5, math.pi / 2))
    assert SQUARE.pose_at(25) == pytest.approx((5, 10, math.pi))
    assert SQUARE.pose_at(-1) == pytest.approx((0, 1, -math.pi / 2))
    assert SQUARE.project(4, 1) == pytest.approx((4, 1))
    assert SQUARE.project(4, -1) == pytest.approx((4, -1))
    assert SQUARE.project(0, 5) == pytest.approx((35, 0))
    assert SQUARE.arc_of_waypoint(3) == 30 and SQUARE.arc_of_waypoint(4) == 0


def test_near_keeps_to_its_own_stretch():
    # A point in the middle is 4.9 m from the near side and 5.1 m from the far side.
    assert SQUARE.project(5, 4.9).s == pytest.approx(5)
    assert SQUARE.project(5, 4.9, near=25).s == pytest.approx(25)
    # The window reaches over the start of the loop, both ways.
    assert SQUARE.project(1, 0.2, near=39).s == pytest.approx(1)
    assert SQUARE.project(0.2, 1, near=1).s == pytest.approx(39)


@given(st.floats(-1000, 1000))
def test_projecting_a_point_of_the_route_gives_its_arc_length(s):
    x, y, yaw = ROUTE.pose_at(s)
    for near in (None, s, s + 4, s - 4):
        projection = ROUTE.project(x, y, near)
        assert 0 <= projection.s < ROUTE.length
        assert apart(projection.s, s, ROUTE) < 1e-6
        assert abs(projection.offset) < 1e-9
    assert -math.pi <= yaw <= math.pi


@given(st.floats(0, 191.6), st.floats(-0.5, 0.5))
def test_offset_is_positive_to_the_left(s, offset):
    x, y, yaw = ROUTE.pose_at(s)
    projection = ROUTE.project(x - offset * math.sin(yaw), y + offset * math.cos(yaw), near=s)
    assert abs(projection.offset) <= abs(offset) + 1e-9
    # Away from the corners the nearest point is the one that was left.
    if min(apart(s, ROUTE.arc_of_waypoint(i), ROUTE) for i in range(27)) > 1:
        assert projection.offset == pytest.approx(offset, abs=1e-9)
        assert apart(projection.s, s, ROUTE) < 1e-6


@given(st.floats(-100, 100), st.floats(-100, 100))
def test_projection_is_the_nearest_point(x, y):
    projection = ROUTE.project(x, y)
    others = [math.dist((x, y), ROUTE.pose_at(s)[:2]) for s in np.arange(0, ROUTE.length, 2.0)]
    assert abs(projection.offset) <= min(others) + 1e-9


@pytest.mark.parametrize(
    "points", [[[0, 0], [1, 0]], [[0, 0], [1, 0], [1, 0]], [[0, 0], [1, math.nan], [1, 1]], [1, 2, 3]]
)
def test_bad_waypoints(points):
    with pytest.raises(DataError):
        Route(np.array(points, dtype=float))


def test_a_position_must_be_finite():
    with pytest.raises(ValueError, match="not finite"):
        ROUTE.project(math.nan, 0)
