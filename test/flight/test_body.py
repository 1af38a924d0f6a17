"""Robots that stay on the floor: their file, their runs, their commands."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nav_pkg.control import Expert
from nav_pkg.core import Actor, Command, DataError, Observation, Outcome, Pose, Velocity
from nav_pkg.flight.body import DRONE, Body
from nav_pkg.flight.episode import State
from nav_pkg.flight.schedule import FlightSchedule
from nav_pkg.sim.description import read_robot

TURTLE = Body.from_robot(read_robot("turtlebot3"))
EXPERT, LEARNER = Command(0.3, 0, 0, 0.2), Command(0.3, 0, 0.7, 0.1)


def make_observation(seconds, s, plan, depth=None):
    point = plan.route.pose_at(s)
    pose = Pose(point.x, point.y, plan.floor, yaw=point.yaw)
    return Observation(round(seconds * 1e9), pose, Velocity(), depth=depth)


def started(plan, **options):
    schedule = FlightSchedule(**options)
    run = schedule.runs_to_fly(TURTLE)[0]
    flight = schedule.flight(run, TURTLE)
    flight.begin(0, 123, make_observation(0, 5, plan))
    return flight


def test_the_robot_files():
    assert Body.from_robot(read_robot("drone")) == DRONE
    assert TURTLE.ground and TURTLE.name == "turtlebot3"
    assert (TURTLE.speed, TURTLE.turn_speed, TURTLE.min_depth) == (0.3, 0.3, 0.2)
    assert TURTLE.depth_rows == (0.0, 0.5)


@pytest.mark.parametrize(
    "entries, words",
    [
        ({"drive": "grond"}, "did you mean 'ground'"),
        ({"drive": True}, "drive is True"),
        ({"runs": {"sped": 1}}, "unknown key 'sped'; did you mean 'speed'"),
        ({"runs": {"speed": 0}}, "runs/speed is 0; it has to be a number above 0"),
        ({"runs": {"speed": "fast"}}, "runs/speed is 'fast'"),
        ({"runs": {"min_depth": math.inf}}, "runs/min_depth is inf"),
        ({"runs": {"depth_rows": [0.5, 0.2]}}, "two growing shares"),
        ({"runs": {"depth_rows": [0.5]}}, "two growing shares"),
        ({"runs": [1]}, "runs is"),
    ],
)
def test_entries_that_can_not_be(entries, words):
    with pytest.raises(DataError, match=words):
        Body.from_robot({"name": "odd", **entries})


def test_runs_begin_on_the_floor_and_at_once(plan):
    for start in ("varied", "exact", "start", "route"):
        schedule = FlightSchedule(runs=3, start=start)
        for driven, flown in zip(schedule.runs_to_fly(TURTLE), schedule.runs_to_fly()):
            assert driven.start == flown.start._replace(z=plan.floor) and flown.start.z > plan.floor
    flight = started(plan)
    first = flight.decide(make_observation(0, 5, plan), EXPERT, LEARNER)
    assert first.state is State.RUNNING and first.frame.index == 0 and first.frame.stamp == 0
    assert first.frame.applied == EXPERT


def test_nobody_commands_a_height(plan):
    flight = started(plan, alpha=0.0)
    decision = flight.decide(make_observation(0, 5, plan), EXPERT, LEARNER)
    assert decision.frame.actor is Actor.LEARNER
    assert decision.frame.applied == Command(0.3, 0.0, 0.0, 0.1)
    assert flight.run_metadata()["height"] is None
    expert = Expert(plan, speed=0.3, turn_speed=0.3, height=None)
    for z in (0.0, 1.0):
        pose = make_observation(0, 5, plan).pose._replace(z=z)
        assert expert.command(None, pose).z == 0.0
    assert math.isnan(expert.command(None, pose._replace(z=math.nan)).z)


def test_limits_fit_the_robot_and_flags_win(plan):
    episode = started(plan).episode
    assert episode.min_depth == 0.2 and episode.depth_rows == (0.0, 0.5)
    assert episode.max_duration == pytest.approx(260 * 2.7)
    assert episode.max_duration * TURTLE.speed > plan.route.length  # time for a lap
    episode = started(plan, min_depth=0.3, max_duration=12.0).episode
    assert (episode.min_depth, episode.max_duration) == (0.3, 12.0)
    schedule = FlightSchedule()
    flown = schedule.flight(schedule.runs_to_fly()[0]).episode
    assert (flown.min_depth, flown.max_duration, flown.height, flown.delay) == (0.5, 260.0, 1.0, 3.0)


def test_the_floor_in_the_image_is_no_obstacle(plan):
    depth = np.full((120, 160), 3.0, np.float32)
    depth[60:] = 0.15  # the floor just ahead
    flight = started(plan)
    assert flight.decide(make_observation(0, 5, plan, depth), EXPERT).state is State.RUNNING
    assert flight.decide(make_observation(0.1, 5, plan, depth), EXPERT).frame.nearest == pytest.approx(3.0)
    depth[59, 80] = 0.19
    decision = flight.decide(make_observation(0.2, 5, plan, depth), EXPERT)
    assert decision.outcome is Outcome.COLLISION


def test_it_is_trapped_when_it_stands_not_when_it_drives(plan):
    for speed, outcome in ((0.3, None), (0.02, Outcome.TRAPPED)):
        flight = started(plan)
        for i in range(150):
            decision = flight.decide(make_observation(0.1 * i, 5 + speed * 0.1 * i, plan), EXPERT)
        assert decision.outcome is outcome
