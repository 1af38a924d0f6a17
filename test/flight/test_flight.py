"""The supervisor's brain: decisions, books; start poses; metrics."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nav_pkg.control import CommandDelay, Mixer, make_noise, run_seed
from nav_pkg.core import (
    CONTROL_PERIOD_NS,
    Actor,
    Command,
    DataError,
    Observation,
    Outcome,
    Pose,
    UsageError,
    Velocity,
)
from nav_pkg.flight.episode import Episode, State
from nav_pkg.flight.flight import Flight
from nav_pkg.flight.metrics import success_rate, summary, wilson_interval
from nav_pkg.flight.starts import start_pose
from nav_pkg.world import known_worlds, load_plan
from nav_pkg.world.plan import StartPose

EXPERT, LEARNER = Command(0.8, 0, 0, 0.9), Command(0.8, 0, 0.7, 0.4)


def make_observation(seconds, s, plan, z=1.0, contact=False):
    point = plan.route.pose_at(s)
    return Observation(
        round(seconds * 1e9), Pose(point.x, point.y, z, yaw=point.yaw), Velocity(), contact=contact
    )


def started(plan, *args, **kwargs):
    flight = Flight(plan, *args, **kwargs)
    flight.begin(3, 512, make_observation(0, 5, plan, z=0.1))
    return flight


def test_idle_climbs_straight_up_through_the_delay(plan):
    flight = started(plan)
    first = flight.decide(make_observation(0, 5, plan, z=0.1), EXPERT, LEARNER)
    assert (first.state, first.frame, first.outcome) == (State.IDLE, None, None)
    assert first.segments == ((Command(), CONTROL_PERIOD_NS),)
    second = flight.decide(make_observation(0.1, 5, plan, z=0.8), EXPERT)
    assert second.segments == ((Command(z=0.9), CONTROL_PERIOD_NS),)
    assert not flight.has_frames


def test_frames_and_segments(plan):
    flight = started(plan, None, None, CommandDelay(30_000_000))
    flight.decide(make_observation(2.9, 5, plan, z=1.0))
    decision = flight.decide(make_observation(3.0, 5, plan, z=1.0), EXPERT)
    frame = decision.frame
    assert (frame.index, frame.stamp, frame.expert, frame.learner) == (0, 0, EXPERT, None)
    assert (frame.applied, frame.actor, frame.progress) == (EXPERT, Actor.EXPERT, 0)
    assert math.isnan(frame.nearest)
    assert decision.segments == ((Command(), 30_000_000), (EXPERT, 70_000_000))
    frame = flight.decide(make_observation(3.1, 5.5, plan), EXPERT).frame
    assert (frame.index, frame.stamp) == (1, 100_000_000)
    assert frame.progress == pytest.approx(0.5, abs=1e-6)


def test_the_end(plan):
    flight = started(plan)
    flight.decide(make_observation(3.0, 5, plan), EXPERT)
    decision = flight.decide(make_observation(3.1, 5.1, plan, contact=True), EXPERT)
    assert (decision.state, decision.frame, decision.outcome) == (State.ENDED, None, Outcome.COLLISION)
    assert decision.reason == flight.run_metadata()["reason"] != ""
    assert decision.segments == ((Command(), CONTROL_PERIOD_NS),)
    assert flight.run_metadata()["frames"] == 1
    flight.begin(4, 512, make_observation(0, 5, plan, z=0.1))
    assert flight.run_metadata()["outcome"] is None
    assert flight.run_metadata()["frames"] == 0


def test_the_learner_steers_only_the_turn(plan):
    flight = started(plan, None, Mixer(0.0))
    frame = flight.decide(make_observation(3.0, 5, plan, z=1.2), EXPERT, LEARNER).frame
    assert frame.learner == LEARNER
    assert frame.applied == LEARNER._replace(z=-1.0)
    assert frame.actor is Actor.LEARNER


def test_missing_commands(plan):
    flight = started(plan)
    frame = flight.decide(make_observation(3.0, 5, plan), None).frame
    assert all(math.isnan(v) for v in frame.expert)
    assert (frame.applied, frame.actor) == (Command(), Actor.NONE)
    flight.decide(make_observation(3.1, 5.1, plan), EXPERT)
    flight.decide(make_observation(3.2, 5.2, plan), Command(yaw=math.inf))
    facts = flight.run_metadata()
    assert facts["replaced"] == 2
    assert facts["actors"] == {"expert": 1, "learner": 0, "none": 2}
    assert facts["labels"] == {"left": 1, "straight": 0, "right": 0}


def test_observe_counts_once(plan):
    flight = started(plan)
    observation = make_observation(3.0, 5, plan)
    assert flight.observe(observation) is State.RUNNING
    assert flight.observe(observation) is State.RUNNING
    assert flight.decide(observation, EXPERT).frame.index == 0


def test_not_begun(plan):
    with pytest.raises(UsageError, match="begin"):
        Flight(plan).decide(make_observation(0, 5, plan))


def test_facts(plan):
    mixer = Mixer(1.0, make_noise("ou", sigma_yaw=0.1))
    own = {"speed": 0.8, "expert": "continuous", "outcome": "mine"}
    flight = started(plan, Episode(plan, max_duration=100), mixer, CommandDelay(50_000_000), metadata=own)
    assert flight.started
    for i, turn in enumerate((0.9, 0.5, -0.5, 0.0)):
        flight.decide(
            make_observation(3 + i / 10, 5 + i / 10, plan), Command(0.8, 0, 0, turn), Command(0.8, 0, 0, 0.5)
        )
    facts = flight.run_metadata()
    json.dumps(facts, allow_nan=False)
    expected = {
        "run": 3, "seed": 512, "run_seed": run_seed(512, 3), "world": "esatv3", "world_hash": plan.digest,
        "expert": "continuous", "speed": 0.8, "alpha": 1.0, "control_delay": 0.05, "control_rate": 10.0,
        "noise": {"kind": "ou", "sigma_x": 0, "sigma_y": 0, "sigma_z": 0, "sigma_yaw": 0.1, "theta": 0.05},
        "outcome": None, "frames": 4, "nearest": None, "replaced": 0, "max_duration": 100,
        "labels": {"left": 1, "straight": 2, "right": 1},
    }  # fmt: skip
    assert {key: facts[key] for key in expected} == expected
    assert facts["duration"] == pytest.approx(0.3)
    assert facts["progress"] == pytest.approx(0.3, abs=1e-6)
    assert facts["laps"] == pytest.approx(0.3 / plan.route.length, abs=1e-6)
    assert facts["mean_speed"] == pytest.approx(1.0, abs=1e-6)
    assert facts["imitation_loss"] == pytest.approx((0.16 + 0 + 1 + 0.25) / 4)
    assert facts["start_pose"][2] == 0.1
    flight.abort("power cut")
    assert flight.run_metadata()["outcome"] == "aborted"


def test_the_plans_own_limits(plan):
    facts = Flight(plan).run_metadata()
    assert (facts["max_duration"], facts["min_depth"], facts["height"]) == (260, 0.5, 1.0)
    assert facts["control_delay"] == 0.1


# Start poses.


@pytest.mark.parametrize("mode", ["exact", "start"])
def test_the_start(plan, mode):
    pose = start_pose(plan, 1, 7, mode)
    assert pose == Pose(-50, -3, 0.1)
    assert start_pose(plan, 2, 8, mode, reverse=True).yaw == pytest.approx(math.pi)


@pytest.mark.parametrize("world", known_worlds())
@given(seed=st.integers(0, 2**32 - 1), run=st.integers(0, 10_000), reverse=st.booleans())
def test_varied_starts_keep_clear(world, seed, run, reverse):
    plan = load_plan(world)
    pose = start_pose(plan, seed, run, reverse=reverse)
    assert pose == start_pose(plan, seed, run, "varied", reverse)
    assert pose.z == plan.floor + plan.spawn_height
    for height in (0.1, 0.5, 1.0, 1.5):
        assert plan.inside(pose.x, pose.y, height)
        assert plan.clearance(pose.x, pose.y, height) >= 0.6
    begin = plan.start_pose
    assert math.dist(pose[:2], begin[:2]) <= 2.4
    turned = math.remainder(pose.yaw - begin.yaw - (math.pi if reverse else 0), 2 * math.pi)
    assert abs(turned) <= math.radians(10) + 1e-9


def test_no_two_runs_start_alike(plan):
    poses = [start_pose(plan, seed, run) for seed in (1, 512) for run in range(200)]
    for part in range(2):
        assert len({pose[part] for pose in poses}) == len({pose.yaw for pose in poses}) == 400


def test_a_tight_start_is_varied_by_what_its_room_allows(plan):
    """A start pose between two walls, nearer than the room that others keep."""
    tight = dataclasses.replace(plan, start_pose=StartPose(-57.5, -4.0, 0.0))
    room = tight.clearance(-57.5, -4.0)
    assert room < 0.6
    poses = [start_pose(tight, 1, run) for run in range(50)]
    assert len(set(poses)) == 50
    assert all(tight.clearance(pose.x, pose.y) >= room - 1e-9 for pose in poses)


@pytest.mark.parametrize("reverse", [False, True])
def test_starts_along_the_route(plan, reverse):
    poses = [start_pose(plan, 5, run, "route", reverse) for run in range(300)]
    assert poses[17] == start_pose(plan, 5, 17, "route", reverse)
    assert len(set(poses)) == 300
    arcs = []
    for pose in poses:
        assert pose.z == 0.1
        assert plan.inside(pose.x, pose.y)
        assert plan.clearance(pose.x, pose.y) >= 0.6
        s, offset = plan.route.project(pose.x, pose.y)
        assert abs(offset) <= 0.3 + 1e-9
        arcs.append(s)
    counts = [sum(s // (plan.route.length / 4) == q for s in arcs) for q in range(4)]
    assert min(counts) > 50
    headed = [math.cos(p.yaw - plan.route.pose_at(s).yaw) for p, s in zip(poses, arcs) if abs(s - 80) < 30]
    assert all((c < -0.9) if reverse else (c > 0.9) for c in headed)


def test_unknown_start(plan):
    with pytest.raises(UsageError, match="did you mean 'route'"):
        start_pose(plan, 0, 0, "rout")
    with pytest.raises(UsageError):
        start_pose(plan, -1, 0, "route")


# Metrics.


@pytest.mark.parametrize(
    ("successes", "runs", "low", "high"),
    # By R: prop.test(k, n, correct = FALSE)$conf.int
    [(10, 10, 0.72247, 1.0), (0, 10, 0.0, 0.27753), (5, 10, 0.23659, 0.76341), (0, 0, 0, 1)],
)
def test_wilson(successes, runs, low, high):
    assert wilson_interval(successes, runs) == pytest.approx((low, high), abs=1e-5)


def test_wilson_bad():
    for bad in ((3, 2), (-1, 2), (1, 2, 1.0)):
        with pytest.raises(UsageError):
            wilson_interval(*bad)


def test_summary():
    runs = [
        {"run": 0, "outcome": "success", "frames": 100, "progress": 192.0, "nearest": 0.7,
         "imitation_loss": 0.1, "labels": {"left": 10, "straight": 80, "right": 10}},
        {"run": 1, "outcome": "collision", "frames": 300, "progress": 96.0, "nearest": None,
         "imitation_loss": 0.5, "labels": {"left": 100, "straight": 100, "right": 100}},
        {"run": 2, "outcome": "sim_failure", "frames": 999, "progress": 1.0, "nearest": 0.01},
        {"run": 3, "outcome": "aborted"},
    ]  # fmt: skip
    totals = summary(runs)
    assert (totals["runs"], totals["counted"], totals["successes"], totals["success_rate"]) == (4, 2, 1, 0.5)
    assert totals["outcomes"]["sim_failure"] == totals["outcomes"]["aborted"] == 1
    assert (totals["frames"], totals["progress"], totals["nearest"]) == (400, 144.0, 0.7)
    assert totals["imitation_loss"] == pytest.approx(0.4)
    assert totals["label_shares"] == {"left": 0.275, "straight": 0.45, "right": 0.275}
    assert success_rate(runs) == 0.5
    assert success_rate(runs[2:]) is None
    assert summary([])["success_rate"] is None
    json.dumps(totals, allow_nan=False)
    with pytest.raises(DataError, match="run 9"):
        summary([{"run": 9, "outcome": "won"}])
