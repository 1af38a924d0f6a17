"""The episode's rules at their edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nav_pkg.core import CONTROL_PERIOD_NS, Observation, Outcome, Pose, UsageError, Velocity
from nav_pkg.flight.episode import Episode, State, nearest_depth

SECOND = 1_000_000_000


def make_observation(stamp, pose, depth=None, contact=False):
    image = None if depth is None else np.full((4, 6), depth, np.float32)
    return Observation(stamp, pose, Velocity(), depth=image, contact=contact)


class Driver:
    """Takes an episode along the route, 0.1 s at a time."""

    def __init__(self, plan, s=10.0, **settings):
        self.plan, self.s = plan, s
        self.stamp = 5 * SECOND
        self.episode = Episode(plan, **settings)
        self.episode.reset(make_observation(self.stamp, self.pose(0.1)))

    def pose(self, z=1.0, **angles):
        point = self.plan.route.pose_at(self.s)
        return Pose(point.x, point.y, z, yaw=point.yaw)._replace(**angles)

    def climb(self):
        self.stamp += 3 * SECOND
        assert self.episode.update(make_observation(self.stamp, self.pose())) is State.RUNNING
        return self.episode

    def move(self, way=0.08, depth=None, contact=False, **pose):
        self.s += way
        self.stamp += CONTROL_PERIOD_NS
        return self.episode.update(make_observation(self.stamp, self.pose(**pose), depth, contact))


# Idle.


@pytest.mark.parametrize(
    ("z", "waited", "state"),
    [
        (0.9, 3.0, State.RUNNING),
        (0.899, 3.0, State.IDLE),
        (0.9, 2.999999999, State.IDLE),
        (2.0, 1.0, State.IDLE),
        (0.5, 29.999999999, State.IDLE),
        (0.5, 30.0, State.ENDED),
        (0.9, 30.0, State.RUNNING),
    ],
)
def test_take_off(plan, z, waited, state):
    episode = Episode(plan)
    pose = Pose(-50, -3, 0.1)
    episode.reset(make_observation(7, pose))
    assert episode.state is State.IDLE
    assert episode.update(make_observation(7, pose)) is State.IDLE
    assert episode.update(make_observation(7 + round(waited * SECOND), pose._replace(z=z))) is state
    assert episode.index == (0 if state is State.RUNNING else -1)
    if state is State.ENDED:
        assert episode.outcome is Outcome.SIM_FAILURE
        assert "0.50 m" in episode.reason and "30.0 s" in episode.reason


def test_idle_forgives_floor_and_contacts_but_not_tipping(plan):
    drive = Driver(plan)
    assert drive.move(0, depth=0.1, contact=True, z=0.1) is State.IDLE
    assert drive.move(0, z=0.1, roll=2.0) is State.ENDED
    assert drive.episode.outcome is Outcome.SIM_FAILURE


def test_frame_zero(plan):
    drive = Driver(plan)
    drive.move(1.0)  # pushed about while climbing: neither way nor progress
    episode = drive.climb()
    assert (episode.index, episode.progress, episode.distance, episode.duration) == (0, 0, 0, 0)
    assert episode.start == drive.stamp
    drive.move(0.5)
    assert episode.index == 1
    assert episode.progress == pytest.approx(0.5, abs=1e-6)
    assert episode.distance == pytest.approx(0.5, abs=1e-6)
    assert episode.duration == pytest.approx(0.1)


# Running.


def test_a_whole_lap_over_the_end_of_the_loop(plan):
    length = plan.route.length
    drive = Driver(plan, s=length - 3.0)
    episode = drive.climb()
    progress = [0.0]
    while drive.move(0.8) is State.RUNNING:
        progress.append(episode.progress)
    assert (np.diff(progress) >= 0).all()
    assert np.diff(progress).max() < 0.81
    assert episode.outcome is Outcome.SUCCESS
    assert length <= episode.progress < length + 0.8
    assert episode.laps >= 1
    assert episode.index == len(progress) - 1 == math.ceil(length / 0.8) - 1
    assert f"{length:.1f} m" in episode.reason


def test_back_and_forth_adds_nothing(plan):
    drive = Driver(plan)
    episode = drive.climb()
    for _ in range(40):
        drive.move(0.8)
    for _ in range(20):
        for way in (-0.8, 0.8):
            drive.move(way)
    assert episode.progress == pytest.approx(32, abs=1e-6)
    assert episode.distance == pytest.approx(64, abs=0.5)


def test_the_wrong_way_round_never_succeeds(plan):
    drive = Driver(plan)
    episode = drive.climb()
    for _ in range(250):
        assert drive.move(-0.8) is State.RUNNING
    assert episode.progress == 0
    reverse = Driver(plan, reverse=True)
    reverse.climb()
    while reverse.move(-0.8) is State.RUNNING:
        pass
    assert reverse.episode.outcome is Outcome.SUCCESS


@pytest.mark.parametrize(
    ("depth", "ends"), [(0.5, False), (0.4999, True), (0.6, False), (math.nan, False), (0, False)]
)
def test_nearest_depth_ends(plan, depth, ends):
    drive = Driver(plan)
    drive.climb()
    assert drive.move(depth=depth) is (State.ENDED if ends else State.RUNNING)
    if ends:
        assert drive.episode.outcome is Outcome.COLLISION
        assert "0.500 m" in drive.episode.reason and "limit 0.5 m" in drive.episode.reason


def test_frame_zero_may_collide(plan):
    drive = Driver(plan)
    drive.stamp += 3 * SECOND
    assert drive.episode.update(make_observation(drive.stamp, drive.pose(), contact=True)) is State.ENDED
    assert drive.episode.outcome is Outcome.COLLISION
    assert drive.episode.index == -1


def test_nearest_overall(plan):
    drive = Driver(plan)
    episode = drive.climb()
    assert math.isnan(episode.nearest_overall)
    for depth in (2.0, 0.7, math.nan, 1.5):
        drive.move(depth=depth)
    assert episode.nearest == 1.5
    assert episode.nearest_overall == pytest.approx(0.7)


def test_nearest_depth_of_images():
    image = np.array([[3.0, 0.0, np.nan], [np.inf, -np.inf, -1.0], [9.0, 8.0, 0.2]], np.float32)
    assert nearest_depth(image) == pytest.approx(0.2)
    assert nearest_depth(image, (0.0, 0.6)) == 3.0
    assert math.isnan(nearest_depth(image, (0.34, 0.66)))
    assert math.isnan(nearest_depth(None))
    assert math.isnan(nearest_depth(np.zeros((0, 0), np.float32)))


@pytest.mark.parametrize(
    ("angles", "ends"),
    [
        ({"roll": math.pi / 2}, False),
        ({"roll": -1.58}, True),
        ({"pitch": math.pi / 2}, False),
        ({"pitch": 1.6}, True),
        ({"roll": 3.1}, True),
    ],
)
def test_upside_down(plan, angles, ends):
    drive = Driver(plan)
    drive.climb()
    assert drive.move(**angles) is (State.ENDED if ends else State.RUNNING)
    assert drive.episode.outcome is (Outcome.UPSIDE_DOWN if ends else None)


@pytest.mark.parametrize("part", ["x", "z", "roll"])
def test_a_pose_that_is_not_finite(plan, part):
    drive = Driver(plan)
    drive.climb()
    assert drive.move(**{part: math.nan}) is State.ENDED
    assert drive.episode.outcome is Outcome.SIM_FAILURE


def test_stamps_must_grow(plan):
    drive = Driver(plan)
    drive.climb()
    assert drive.episode.update(make_observation(drive.stamp, drive.pose())) is State.ENDED
    assert drive.episode.outcome is Outcome.SIM_FAILURE


def test_timeout_at_exactly_the_limit(plan):
    drive = Driver(plan, max_duration=2.0)
    drive.climb()
    for _ in range(19):
        assert drive.move() is State.RUNNING
    assert drive.move() is State.ENDED
    assert drive.episode.outcome is Outcome.TIMEOUT
    assert drive.episode.duration == 2.0
    assert drive.episode.index == 19


@pytest.mark.parametrize(("speed", "trapped"), [(0.0, True), (0.049, True), (0.051, False)])
def test_trapped(plan, speed, trapped):
    drive = Driver(plan)
    drive.climb()
    for _ in range(99):
        assert drive.move(speed / 10) is State.RUNNING
    assert drive.move(speed / 10) is (State.ENDED if trapped else State.RUNNING)
    assert drive.episode.outcome is (Outcome.TRAPPED if trapped else None)


def test_trapped_later_and_however_much_it_shakes(plan):
    drive = Driver(plan)
    drive.climb()
    for _ in range(50):
        drive.move(0.8)
    for _ in range(49):
        assert drive.move(0.2) is State.RUNNING
        assert drive.move(-0.2) is State.RUNNING
    drive.move(0.2)
    assert drive.move(-0.2) is State.ENDED
    assert drive.episode.outcome is Outcome.TRAPPED


def test_there_and_back_is_not_trapped(plan):
    drive = Driver(plan)
    drive.climb()
    for i in range(400):
        assert drive.move(0.08 if (i // 20) % 2 == 0 else -0.08) is State.RUNNING


# Precedence.


def test_precedence(plan):
    """All at once, then without the first: the documented order."""
    length = plan.route.length

    def last_frame(**values):
        # A lap that is complete in the frame of the time limit.
        steps = 241
        drive = Driver(plan, max_duration=steps / 10)
        drive.climb()
        for _ in range(steps - 1):
            assert drive.move(length / steps * (1 - 1e-6)) is State.RUNNING
        drive.move(length / steps * 1.01, **values)
        return drive.episode.outcome

    assert last_frame(x=math.nan, roll=3.0, contact=True, depth=0.1) is Outcome.SIM_FAILURE
    assert last_frame(roll=3.0, contact=True, depth=0.1) is Outcome.UPSIDE_DOWN
    assert last_frame(contact=True) is Outcome.COLLISION
    assert last_frame(depth=0.1) is Outcome.COLLISION
    assert last_frame() is Outcome.SUCCESS

    drive = Driver(plan, max_duration=10)
    drive.climb()
    while drive.move(0) is State.RUNNING:
        pass
    assert drive.episode.outcome is Outcome.TRAPPED


def test_ended_stays_ended(plan):
    drive = Driver(plan)
    episode = drive.climb()
    drive.move(0.5)
    episode.abort("enough")
    assert (episode.state, episode.outcome, episode.reason) == (State.ENDED, Outcome.ABORTED, "enough")
    assert drive.move(0.5, contact=True) is State.ENDED
    episode.abort("again", Outcome.SIM_FAILURE)
    assert episode.outcome is Outcome.ABORTED
    assert episode.progress == pytest.approx(0.5, abs=1e-6)
    episode.reset(make_observation(0, drive.pose()))
    assert (episode.state, episode.outcome, episode.reason, episode.progress) == (State.IDLE, None, "", 0)


@pytest.mark.parametrize(
    "bad",
    [
        {"height": 0},
        {"height": 2.5},
        {"max_duration": 0},
        {"min_depth": -1},
        {"delay": -1},
        {"delay": 31},
        {"depth_rows": (0.5, 0.5)},
        {"max_duration": math.nan},
    ],
)
def test_bad_limits(plan, bad):
    with pytest.raises(UsageError):
        Episode(plan, **bad)
