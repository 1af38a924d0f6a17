"""Closed loops: the expert flies whole laps of esatv3 over the kinematic robot."""

from __future__ import annotations

import math

import pytest

from nav_pkg.control import CommandDelay, Expert, Mixer, make_noise
from nav_pkg.core import CONTROL_PERIOD_NS, Actor, Command, Outcome, Pose, SimulatorError, UsageError
from nav_pkg.flight.episode import Episode, State
from nav_pkg.flight.flight import Flight
from nav_pkg.flight.rollout import fly
from nav_pkg.flight.starts import start_pose


def lap(plan, simulator, *, mixer=None, periods=1, run=0, mode="exact", reverse=False, pilot=None, **expert):
    """Fly one run; its facts."""
    episode = Episode(plan, reverse=reverse)
    flight = Flight(plan, episode, mixer, CommandDelay(round(periods * CONTROL_PERIOD_NS)))
    pose = start_pose(plan, 1, run, mode, reverse)
    captain = Expert(plan, reverse=reverse, **expert)
    return fly(simulator, flight, captain, pilot, run=run, seed=1, pose=pose)


def straight(facts):
    """Share of straight labels."""
    return facts["labels"]["straight"] / facts["frames"]


@pytest.mark.parametrize("run", range(4))
@pytest.mark.parametrize("reverse", [False, True])
def test_bang_bang_completes_the_lap_from_anywhere(plan, kinematic, run, reverse):
    simulator = kinematic(depth=True)
    facts = lap(plan, simulator, run=run, mode="route", reverse=reverse)
    assert facts["outcome"] == "success", facts["reason"]
    assert facts["nearest"] >= 0.65
    assert simulator.wall > 0.65
    assert 235 <= facts["duration"] <= 245
    assert 0.60 <= straight(facts) <= 0.80
    assert facts["replaced"] == 0
    assert facts["frames"] == facts["actors"]["expert"]


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("continuous", "periods"), [(False, 0), (False, 2), (True, 0), (True, 1), (True, 2)])
def test_both_kinds_keep_clear_at_other_delays(plan, kinematic, continuous, periods, reverse):
    simulator = kinematic(depth=True)
    settings = dict(run=8 + periods, mode="route", reverse=reverse, continuous=continuous)
    facts = lap(plan, simulator, periods=periods, **settings)
    assert facts["outcome"] == "success", facts["reason"]
    assert min(facts["nearest"], simulator.wall) > 0.55
    assert 235 <= facts["duration"] <= 250


@pytest.mark.slow
def test_latency_decides_the_balance_of_classes(plan, kinematic):
    none = straight(lap(plan, kinematic(yaw_lag=0.0), periods=0))
    two = straight(lap(plan, kinematic(yaw_lag=0.1), periods=2))
    assert none > 0.9
    assert two < 0.5


def test_the_wrong_way_is_no_progress(plan, kinematic):
    """An expert that flies against the counted direction gets nowhere and runs out of time."""
    episode = Episode(plan, max_duration=20)
    flight = Flight(plan, episode)
    backwards = Expert(plan, reverse=True)
    simulator = kinematic()
    observation = simulator.reset(start_pose(plan, 1, 0, "exact", reverse=True), 0)
    flight.begin(0, 1, observation)
    while True:
        decision = flight.decide(observation, backwards.command(observation.scan, observation.pose))
        if decision.state is State.ENDED:
            break
        observation = simulator.step(decision.segments)
    assert decision.outcome is Outcome.TIMEOUT
    assert episode.progress < 0.1
    assert episode.distance > 12


@pytest.mark.parametrize("pose", [(-20.8, -3.4, math.pi / 2), (-20.1, -4.0, math.pi), (-57.0, 10.6, 0.0)])
@pytest.mark.parametrize("delay", [0.0, 0.3])
def test_a_missed_waypoint_is_given_up(plan, pose, delay):
    """Beside a waypoint and turned away, at twice the speed, the robot must not circle for ever."""
    x, y, yaw = pose
    expert = Expert(plan, speed=1.6, turn_speed=1.6)
    expert.reset(Pose(x - 2, y, 1.0))
    way = CommandDelay(round(delay * 1e9))
    first = expert.target
    for _ in range(600):
        command = expert.command(None, Pose(x, y, 1.0, yaw=yaw))
        for applied, duration in way.push(command):
            yaw += applied.yaw * duration / 1e9
            x += applied.x * math.cos(yaw) * duration / 1e9
            y += applied.x * math.sin(yaw) * duration / 1e9
    assert (expert.target - first) % len(plan.waypoints) >= 2


def test_same_seed_same_flight(plan, kinematic):
    def fly_it(run):
        mixer = Mixer(0.5, make_noise("ou", sigma_yaw=0.1))
        frames = []
        flight = Flight(plan, Episode(plan, max_duration=15), mixer)
        fly(
            kinematic(),
            flight,
            Expert(plan),
            lambda observation: Command(0.8, 0, 0, 0.2),
            lambda frame, observation: frames.append(frame),
            run=run,
            seed=7,
        )
        return repr(frames)

    assert fly_it(0) == fly_it(0)
    assert fly_it(0) != fly_it(1)


def test_pilot_alone_into_the_wall(plan, kinematic):
    """A pilot that turns left for ever meets a wall, by depth; it never sees the take-off."""
    stamps = []

    def pilot(observation):
        stamps.append(observation.stamp)
        return Command(0.8, 0, 5.0, 0.15)

    facts = lap(plan, kinematic(depth=True), mixer=Mixer(alpha=0.0), pilot=pilot)
    assert facts["outcome"] == "collision"
    assert facts["nearest"] < 0.5
    assert len(stamps) == facts["frames"] == facts["actors"]["learner"]
    assert stamps[0] == 3_000_000_000
    assert facts["imitation_loss"] > 0


def test_a_delay_of_a_part_of_a_period(plan, kinematic):
    facts = fly(
        kinematic(), Flight(plan, Episode(plan, max_duration=5), None, CommandDelay(25_000_000)), Expert(plan)
    )
    assert facts["outcome"] == "timeout"
    assert facts["actors"][str(Actor.EXPERT)] == 50


def test_direction_must_agree(plan, kinematic):
    with pytest.raises(UsageError, match="same way"):
        fly(kinematic(), Flight(plan), Expert(plan, reverse=True))


def test_a_failing_simulator_is_not_the_pilots_fault(plan, kinematic):
    simulator = kinematic()
    step = simulator.step

    def failing(segments):
        if simulator.stamp > 4e9:
            raise SimulatorError("the simulator died")
        return step(segments)

    simulator.step = failing
    facts = fly(simulator, Flight(plan), Expert(plan))
    assert facts["outcome"] == "sim_failure"
    assert facts["reason"] == "the simulator died"
    assert facts["frames"] == 12


def test_interrupt_aborts(plan, kinematic):
    def stop(frame, observation):
        raise KeyboardInterrupt

    flight = Flight(plan)
    with pytest.raises(KeyboardInterrupt):
        fly(kinematic(), flight, Expert(plan), on_frame=stop)
    assert flight.run_metadata()["outcome"] == "aborted"
