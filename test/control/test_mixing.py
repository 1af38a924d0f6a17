"""Seeds, noise, mixing."""

from __future__ import annotations

import argparse
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nav_pkg.config.learner import SETTINGS
from nav_pkg.control import CommandLimits, HeightKeeper, Mixer, generator, make_noise, run_seed
from nav_pkg.core import Actor, Command, UsageError
from nav_pkg.flight.schedule import FlightSchedule

EXPERT, LEARNER = Command(0.8, 0, 0, 0.9), Command(0.8, 0, 0, -0.5)


# Seeds.


def test_streams_are_stable():
    """Numbers that must never change: recorded runs depend on them."""
    assert run_seed(0, 0) == 3833950113
    assert run_seed(512, 3) == 3888384732
    assert generator(1, "start", 2).integers(2**32, size=2).tolist() == [1750528833, 3907865805]


def test_streams_differ():
    def first(*args):
        return generator(*args).random()

    draws = [
        first(0),
        first(1),
        first(0, "a"),
        first(0, "a", "b"),
        first(0, "ab"),
        first(0, 1),
        first(0, "1"),
    ]
    assert len(set(draws)) == len(draws)
    assert first(0, np.int64(3)) == first(0, 3)
    assert len({run_seed(s, r) for s in range(30) for r in range(30)}) == 900
    assert all(0 <= run_seed(s, 7) < 2**32 for s in range(50))


@pytest.mark.parametrize("bad", [(-1,), (0.5,), ("a",), (0, 0.5), (0, None)])
def test_bad_streams(bad):
    with pytest.raises(UsageError):
        generator(*bad)


def test_bad_runs():
    with pytest.raises(UsageError):
        run_seed(0, -1)


# Height.


def test_height_keeper():
    assert [HeightKeeper(2.0).command(z) for z in (1.8, 1.9, 2.1, 2.2)] == [1, 0, 0, -1]
    smooth = HeightKeeper(2.0, smooth=True, gain=2.0)
    assert [smooth.command(z) for z in (0, 1.75, 2, 9)] == [1, 0.5, 0, -1]
    assert math.isnan(smooth.command(math.nan))
    with pytest.raises(UsageError):
        HeightKeeper(-1)


# Noise.


def samples(kind, count, **settings):
    noise = make_noise(kind, generator=generator(1, "test"), **settings)
    return np.array([noise.sample(i) for i in range(count)])


def test_ornstein_uhlenbeck_against_theory():
    theta, sigma = 0.05, 0.3
    x = samples("ou", 200_000, sigma_yaw=sigma, theta=theta)[:, 3]
    assert abs(x[0]) < 5 * sigma  # one step from zero
    deviation = sigma / math.sqrt(2 * theta - theta**2)
    assert x[1000:].std() == pytest.approx(deviation, rel=0.05)
    assert abs(x.mean()) < 0.1
    for lag in (1, 10, 30):
        correlation = np.corrcoef(x[:-lag], x[lag:])[0, 1]
        assert correlation == pytest.approx((1 - theta) ** lag, abs=0.03)
    residual = x[1:] - (1 - theta) * x[:-1]
    assert residual.std() == pytest.approx(sigma, rel=0.01)


def test_uniform_and_gaussian():
    x = samples("uni", 50_000, sigma_x=0.2, sigma_yaw=0.6)
    assert (np.abs(x[:, 0]) <= 0.2).all()
    assert (x[:, 1:3] == 0).all()
    assert x[:, 3].std() == pytest.approx(0.6 / math.sqrt(3), rel=0.02)
    x = samples("gau", 50_000, sigma_y=0.2, sigma_z=0.4)
    assert x[:, 1].std() == pytest.approx(0.2, rel=0.02)
    assert x[:, 2].std() == pytest.approx(0.4, rel=0.02)
    assert np.corrcoef(x[:, 1], x[:, 2])[0, 1] == pytest.approx(0, abs=0.02)


def test_noise_begins_again():
    noise = make_noise("ou", sigma_yaw=0.5, generator=generator(3))
    first = [noise.sample(i)[3] for i in range(5)]
    noise.reset(generator(3))
    assert [noise.sample(i)[3] for i in (4, 0, 2)] == [first[4], first[0], first[2]]


def test_bad_noise():
    with pytest.raises(UsageError, match="did you mean 'gau'"):
        make_noise("gauss")
    with pytest.raises(UsageError, match="sigma_yaw"):
        make_noise("ou", sigma_yaw=-1)
    with pytest.raises(UsageError, match="theta"):
        make_noise("ou", theta=0)
    with pytest.raises(UsageError, match="generator"):
        make_noise("ou", sigma_x=1).sample(0)
    assert not make_noise("none", sigma_yaw=1.0).sample(5).any()


# Mixing.


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.5, 1.0])
def test_share_of_the_expert(alpha):
    mixer = Mixer(alpha)
    mixer.reset(1)
    count = 20_000
    share = sum(mixer.mix(EXPERT, LEARNER)[1] is Actor.EXPERT for _ in range(count)) / count
    assert abs(share - alpha) <= 4 * math.sqrt(alpha * (1 - alpha) / count)


def test_neighbouring_frames_are_independent():
    mixer = Mixer(0.5)
    picks = np.array([mixer.mix(EXPERT, LEARNER)[1] is Actor.EXPERT for _ in range(20_000)], float)
    assert abs(np.corrcoef(picks[:-1], picks[1:])[0, 1]) < 0.03


def test_draws_depend_on_seed_and_index_alone():
    def mixer(seed):
        new_mixer = Mixer(0.5, make_noise("ou", sigma_yaw=0.1), epsilon=0.3)
        new_mixer.reset(seed)
        return new_mixer

    all_at_once = [mixer(5).mix(EXPERT, LEARNER, i) for i in range(50)]
    first = mixer(5)
    assert [first.mix(EXPERT, LEARNER) for _ in range(50)] == all_at_once
    assert [first.mix(EXPERT, LEARNER, i) for i in (30, 30, 2)] == [all_at_once[i] for i in (30, 30, 2)]
    holes = mixer(5)
    for i in range(50):
        holes.mix(None if i % 3 else EXPERT, LEARNER if i % 2 else None)
    assert holes.mix(EXPERT, LEARNER, 49) == all_at_once[49]
    first.reset(5)
    assert first.mix(EXPERT, LEARNER) == all_at_once[0]
    assert [mixer(6).mix(EXPERT, LEARNER, i) for i in range(50)] != all_at_once


def test_noise_does_not_change_who_flies():
    plain, noisy = Mixer(0.5), Mixer(0.5, make_noise("gau", sigma_yaw=0.2), epsilon=0.5)
    for _ in range(200):
        assert plain.mix(EXPERT, LEARNER)[1] is noisy.mix(EXPERT, LEARNER)[1]


def test_exploring():
    mixer = Mixer(0.0, epsilon=0.25)
    turns = np.array([mixer.mix(EXPERT, LEARNER)[0].yaw for _ in range(8000)])
    explored = turns != LEARNER.yaw
    assert explored.mean() == pytest.approx(0.25, abs=0.02)
    assert np.abs(turns[explored]).max() <= 1
    assert turns[explored].std() == pytest.approx(1 / math.sqrt(3), rel=0.05)
    expert = Mixer(1.0, epsilon=1.0)
    assert {expert.mix(EXPERT, None) for _ in range(20)} == {(EXPERT, Actor.EXPERT)}


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("bad", [None, Command(yaw=math.nan), Command(x=math.inf), Command(z=-math.inf)])
def test_nobodys_command(alpha, bad):
    mixer = Mixer(alpha, make_noise("gau", sigma_yaw=0.5, sigma_x=0.5))
    pair = (bad, LEARNER) if alpha else (EXPERT, bad)
    assert mixer.mix(*pair) == (Command(), Actor.NONE)
    assert mixer.replaced == 1
    assert mixer.mix(EXPERT, LEARNER)[1] is not Actor.NONE
    assert mixer.replaced == 1
    mixer.reset(0)
    assert mixer.replaced == 0


def test_limits():
    mixer = Mixer(1.0, limits=CommandLimits(x=1.0, y=0.5, z=0.25, yaw=1.0))
    assert mixer.mix(Command(5, -5, 5, -5), None)[0] == Command(1, -0.5, 0.25, -1)
    assert mixer.mix(Command(-5, 0.5, 0, 1), None)[0] == Command(-1, 0.5, 0, 1)
    assert CommandLimits().clip(EXPERT) == EXPERT


def test_every_speed_that_is_accepted_is_flown():
    fastest = CommandLimits().x
    assert Mixer(1.0).mix(Command(x=fastest), None)[0].x == fastest
    for flag in ("speed", "turn_speed"):
        FlightSchedule(**{flag: fastest}).check()
        assert SETTINGS[flag].about.convert(str(fastest)) == fastest
        with pytest.raises(UsageError):
            FlightSchedule(**{flag: fastest + 0.01}).check()
        with pytest.raises(argparse.ArgumentTypeError):
            SETTINGS[flag].about.convert(str(fastest + 0.01))
    assert fastest >= 5


numbers = st.floats(-1e3, 1e3)


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(numbers, numbers, numbers, numbers),
    st.sampled_from(["ou", "uni", "gau"]),
    st.integers(0, 2**32),
)
def test_never_beyond_the_limits(command, kind, seed):
    mixer = Mixer(0.5, make_noise(kind, 2, 2, 2, 2))
    mixer.reset(seed)
    applied, _ = mixer.mix(Command(*command), Command(*command))
    assert applied.finite
    assert abs(applied.x) <= 5 and abs(applied.y) <= 1 and abs(applied.z) <= 1 and abs(applied.yaw) <= 1


@pytest.mark.parametrize("bad", [{"alpha": 1.1}, {"alpha": math.nan}, {"epsilon": -0.1}])
def test_bad_probabilities(bad):
    with pytest.raises(UsageError):
        Mixer(**bad)
    with pytest.raises(UsageError):
        CommandLimits(yaw=math.inf)
    with pytest.raises(UsageError):
        Mixer().mix(EXPERT, None, -1)
