"""The expert on hand-worked cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nav_pkg.control import Expert
from nav_pkg.control.expert import Sectors, avoidance, bearing_error, graded_avoidance, sectors
from nav_pkg.core import Command, DataError, Pose, UsageError
from nav_pkg.world import load_plan

FREE = np.full(360, np.inf, dtype=np.float32)


@pytest.fixture(scope="module")
def plan():
    return load_plan("esatv3")


def scan(**ranges):
    """A scan that is free but for rays given as a<degrees> (m for minus)."""
    out = FREE.copy()
    for name, value in ranges.items():
        out[180 + int(name[1:].replace("m", "-"))] = value
    return out


def towards(plan, index, distance, error):
    """A pose at a distance before a waypoint, on the route, with a bearing error in degrees."""
    x, y = plan.waypoints[index]
    before = plan.route.pose_at(plan.route.arc_of_waypoint(index) - distance)
    bearing = math.atan2(y - before.y, x - before.x)
    return Pose(before.x, before.y, 1.0, yaw=bearing - math.radians(error))


# Lidar sectors.


@pytest.mark.parametrize(
    ("degrees", "sector"),
    [(0, 1), (20, 1), (-20, 1), (21, 0), (50, 0), (-21, 2), (-50, 2), (51, None), (-51, None), (-180, None)],
)
def test_borders_of_the_sectors(degrees, sector):
    ranges = FREE.copy()
    ranges[180 + degrees] = 1.25
    expected = [5.0, 5.0, 5.0]
    if sector is not None:
        expected[sector] = 1.25
    assert sectors(ranges) == Sectors(*expected)


def test_odd_numbers_of_rays_have_their_middle_ahead():
    ranges = np.full(361, np.nan)
    ranges[180] = 2.0
    assert sectors(ranges) == Sectors(5.0, 2.0, 5.0)
    ranges = np.full(37, 4.0)  # 10 degrees apart
    ranges[18 + 3] = 1.0
    ranges[18 - 6] = 0.5  # 60 degrees to the right: not looked at
    assert sectors(ranges) == Sectors(1.0, 4.0, 4.0)


@pytest.mark.parametrize(
    ("value", "seen"),
    [(0.0, 5.0), (-1.0, 5.0), (math.nan, 5.0), (math.inf, 5.0), (7.0, 5.0), (-math.inf, 0.0), (0.12, 0.12)],
)
def test_odd_ranges(value, seen):
    assert sectors(scan(a0=value)).centre == pytest.approx(seen)


@pytest.mark.parametrize("bad", [np.zeros(0), np.zeros(1), np.zeros((2, 360)), np.zeros(5)])
def test_bad_scans(bad):
    with pytest.raises(DataError, match="lidar scan"):
        sectors(bad)


@pytest.mark.parametrize(
    ("found", "vote"),
    [
        ((5, 5, 5), 0),
        ((1, 2, 1), 0),
        ((1, 2, 2), 0),  # ahead equals the largest
        ((3, 1, 2), 1),
        ((2, 1, 3), -1),
        ((3, 1, 3), 1),  # left of two equals
        ((3, 2, 1), 1),
    ],
)
def test_avoidance_votes_for_the_freest_sector(found, vote):
    assert avoidance(Sectors(*found)) == vote


def test_graded_avoidance_has_the_same_sign_and_no_jump_at_its_border():
    assert graded_avoidance(Sectors(3, 1, 2)) == pytest.approx(0.5)  # 1 m ahead is half of 2 m
    assert graded_avoidance(Sectors(1.5, 1.25, 1)) == pytest.approx(0.25 * 0.375)
    assert graded_avoidance(Sectors(2, 1, 3)) == pytest.approx(-0.5)
    assert graded_avoidance(Sectors(5, 2, 5)) == 0
    assert graded_avoidance(Sectors(1, 2, 1)) == 0


# Waypoints.


def test_bearing_takes_the_short_way():
    assert bearing_error(Pose(0, 0, 0, yaw=math.radians(170)), -1, -0.1) == pytest.approx(
        math.radians(10) + math.atan2(0.1, 1), abs=1e-9
    )
    assert bearing_error(Pose(0, 0, 0, yaw=3 * math.pi), 1, 0) in (
        pytest.approx(math.pi),
        pytest.approx(-math.pi),
    )


@pytest.mark.parametrize(
    ("error", "yaw"),
    [(0, 0), (5, 0), (-5, 0), (4.999, 0), (5.001, 0.9), (-5.001, -0.9), (90, 0.9), (-179, -0.9), (180, 0.9)],
)
def test_dead_band(plan, error, yaw):
    expert = Expert(plan)
    pose = towards(plan, 1, 5.0, error)
    expert.reset(pose)
    assert expert.target == 1
    assert expert.command(FREE, pose).yaw == yaw


def test_the_five_turns(plan):
    """0.9 g + 0.1 a over all votes: exactly 0, 0.1, 0.8, 0.9, 1 and their negatives."""
    sides = {0: FREE, 1: scan(a0=1.0), -1: scan(a0=1.0, a30=2.0)}
    assert [avoidance(sectors(s)) for s in sides.values()] == list(sides)
    turns = {}
    for g in (-1, 0, 1):
        for a, ranges in sides.items():
            pose = towards(plan, 1, 5.0, 30 * g)
            expert = Expert(plan)
            turns[g, a] = expert.command(ranges, pose)
    assert {key: command.yaw for key, command in turns.items()} == {
        (-1, -1): -1.0, (-1, 0): -0.9, (-1, 1): -0.8, (0, -1): -0.1, (0, 0): 0.0,
        (0, 1): 0.1, (1, -1): 0.8, (1, 0): 0.9, (1, 1): 1.0,
    }  # fmt: skip


def test_weights(plan):
    pose = towards(plan, 1, 5.0, 30)
    avoid = scan(a0=1.0, a30=2.0)
    assert Expert(plan, goto_weight=0.0).command(avoid, pose).yaw == -1
    assert Expert(plan, goto_weight=1.0).command(avoid, pose).yaw == 1
    assert Expert(plan, goto_weight=0.5).command(avoid, pose).yaw == 0
    assert Expert(plan).goto_weight == plan.goto_weight == 0.9
    assert Expert(plan, goto_weight=0.0).command(None, pose).yaw == 0


def test_reached_within_half_a_metre(plan):
    """In the frame that reaches a waypoint there is no turn, whatever the bearing."""
    expert = Expert(plan)
    expert.reset(towards(plan, 1, 3.0, 0))
    expert.command(FREE, towards(plan, 1, 0.501, 40))
    assert expert.target == 1
    assert expert.command(FREE, towards(plan, 1, 0.5, 40)).yaw == 0
    assert expert.target == 2
    assert expert.command(FREE, towards(plan, 1, 0.499, 40)).yaw == 0.9


def test_the_list_is_cyclic(plan):
    last = len(plan.waypoints) - 1
    expert = Expert(plan)
    expert.reset(towards(plan, last, 1.0, 0))
    assert expert.target == last
    expert.command(FREE, towards(plan, last, 0.3, 0))
    assert expert.target == 0


def test_a_missed_waypoint(plan):
    """Past it by its reach along the route, 0.6 m beside it: the following one is the target."""
    expert = Expert(plan)
    x, y = plan.waypoints[7]  # between two northbound stretches
    ahead = plan.route.pose_at(plan.route.arc_of_waypoint(7) + 0.1).yaw
    beside = (0.6 * math.cos(ahead + math.pi / 2), 0.6 * math.sin(ahead + math.pi / 2))

    def at(past):
        return Pose(
            x + beside[0] + past * math.cos(ahead), y + beside[1] + past * math.sin(ahead), 1, yaw=ahead
        )

    expert.reset(at(-3.0))
    assert expert.target == 7
    for past in (-2.0, -1.0, 0.0, 0.49):
        expert.command(FREE, at(past))
        assert expert.target == 7
    # Turned back by the original rule in that frame; straight on by the new target's bearing.
    assert expert.command(FREE, at(0.51)).yaw == 0
    assert expert.target == 8


@pytest.mark.parametrize("reverse", [False, True])
def test_begins_at_the_waypoint_ahead(plan, reverse):
    for index in range(len(plan.waypoints)):
        neighbour = (index + (-1 if reverse else 1)) % len(plan.waypoints)
        arc = plan.route.arc_of_waypoint(index)
        expert = Expert(plan, reverse=reverse)
        for offset, target in ((0.0, neighbour), (0.2, neighbour), (-0.2, index)):
            point = plan.route.pose_at(arc - offset if reverse else arc + offset)
            expert.reset(Pose(point.x, point.y, 1.0))
            assert expert.target == target, (index, offset)


def test_the_first_command_resets(plan):
    expert = Expert(plan)
    expert.command(FREE, towards(plan, 12, 1.0, 0))
    assert expert.target == 12


# Speeds, heights, bad input.


def test_turn_speed(plan):
    expert = Expert(plan, speed=1.3, turn_speed=0.5)
    avoid = scan(a0=1.0)
    assert expert.command(avoid, towards(plan, 1, 5.0, 0)) == Command(1.3, 0, 0, 0.1)
    assert expert.command(FREE, towards(plan, 1, 5.0, 30)) == Command(0.5, 0, 0, 0.9)
    assert expert.command(FREE, towards(plan, 1, 5.0, -30)) == Command(0.5, 0, 0, -0.9)


@pytest.mark.parametrize(
    ("z", "up"), [(0.1, 1), (0.89, 1), (0.9, 0), (1.0, 0), (1.1, 0), (1.11, -1), (2, -1)]
)
def test_height(plan, z, up):
    pose = towards(plan, 1, 5.0, 0)._replace(z=z)
    assert Expert(plan).command(FREE, pose).z == up
    assert Expert(plan, continuous=True).command(FREE, pose).z == pytest.approx(max(-1, min(1, 1.0 - z)))


def test_continuous_turns_in_proportion(plan):
    s = 5.0  # on a stretch without bends
    point = plan.route.pose_at(s)
    for error, yaw in ((0.0, 0.0), (0.1, 0.9 * 0.15), (-0.2, -0.9 * 0.3), (2.0, 0.9)):
        pose = Pose(point.x, point.y, 1.0, yaw=point.yaw - error)
        assert Expert(plan, continuous=True).command(FREE, pose).yaw == pytest.approx(yaw, abs=1e-9)


@pytest.mark.parametrize("part", ["x", "y", "z", "yaw"])
def test_a_pose_that_is_no_pose(plan, part):
    expert = Expert(plan)
    good = towards(plan, 1, 5.0, 0)
    expert.command(FREE, good)
    assert not expert.command(FREE, good._replace(**{part: math.nan})).finite
    assert expert.command(FREE, good).finite
    with pytest.raises(DataError):
        expert.reset(good._replace(x=math.inf))


@pytest.mark.parametrize(
    "bad", [{"speed": 0}, {"speed": math.nan}, {"turn_speed": -1}, {"height": 0}, {"goto_weight": 1.1}]
)
def test_bad_settings(plan, bad):
    with pytest.raises(UsageError):
        Expert(plan, **bad)
