"""Measures of a flight, against values worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from nav_pkg.flight import measures
from nav_pkg.flight.latency import Latencies
from nav_pkg.world.route import Route

SQUARE = Route(np.array([[0.0, 0], [10, 0], [10, 10], [0, 10]]))


def frames(x, y, yaw=None, actor=None):
    n = len(x)
    return SimpleNamespace(
        x=np.array(x, float),
        y=np.array(y, float),
        applied_yaw=np.array(yaw if yaw is not None else [0.0] * n, float),
        stamp=np.arange(n) * 100_000_000,
        actor=np.array(actor if actor is not None else ["learner"] * n),
    )


def make_run(outcome="collision", **more):
    known = {"distance": 8.0, "duration": 10.0, "frames": 4, "progress": 8.0, "laps": 0.2, "mean_speed": 0.8}
    return {"run": 0, "outcome": outcome, "nearest": 0.4, "imitation_loss": 0.5, **known, **more}


def test_deviation_is_the_distance_to_the_route_on_either_side():
    deviation = measures.lateral_deviation(np.array([1.0, 2, 3]), np.array([0.5, -1.5, 0]), SQUARE)
    assert deviation == pytest.approx([0.5, 1.5, 0])


def test_deviation_follows_the_stretch_that_is_flown():
    # A long flat loop: 30 m out, 4 m across, 30 m back; halfway across the return stretch is nearer.
    route = Route(np.array([[0.0, 0], [30, 0], [30, 4], [0, 4]]))
    deviation = measures.lateral_deviation(np.array([15.0, 15, 15]), np.array([0.0, 1.0, 2.5]), route)
    assert deviation == pytest.approx([0, 1, 2.5])


def test_steering_change_is_total_variation_over_time():
    stamp = np.arange(4) * 100_000_000
    # |1-0| + |-1-1| + |-1+1| = 3 rad/s in 0.3 s
    assert measures.steering_change(np.array([0.0, 1, -1, -1]), stamp) == pytest.approx(10)
    assert measures.steering_change(np.array([0.5, 0.5, 0.5, 0.5]), stamp) == 0
    assert measures.steering_change(np.array([1.0]), stamp[:1]) is None


def test_takeovers_are_stretches():
    e, n, o = "expert", "learner", "none"
    assert measures.takeovers([e, e, n, e, o, e, n]) == 3
    assert measures.takeovers([n, n, o]) == 0
    assert measures.takeovers([]) == 0


def test_a_run():
    e, n = "expert", "learner"
    result = measures.run_measures(
        make_run(), frames([1, 2, 3, 4], [0, 1, 0, 3], [0, 1, 1, 0], [n, e, e, n]), SQUARE
    )
    assert result["lateral_mean"] == pytest.approx(1.0)
    assert result["lateral_max"] == pytest.approx(3.0)
    # linear between the sorted 0, 0, 1, 3: 0.95 * 3 = 2.85, so 1 + 0.85 * 2
    assert result["lateral_p95"] == pytest.approx(2.7)
    assert result["steering_change"] == pytest.approx(2 / 0.3)
    assert (result["takeovers"], result["takeovers_per_minute"], result["expert_share"]) == (1, 6.0, 0.5)
    assert result["collision_free_distance"] == 8.0
    assert result["outcome"] == "collision"


def test_a_condition_counts_neither_aborted_runs_nor_failures():
    def run(outcome, distance, duration, change, frames, **more):
        run_facts = make_run(outcome, distance=distance, duration=duration, frames=frames)
        return {
            **run_facts,
            "collision_free_distance": distance,
            "steering_change": change,
            "takeovers": 1,
            "expert_share": 0.25,
            **more,
        }

    runs = [
        run("success", 30.0, 30.0, 1.0, 300),
        run("collision", 10.0, 10.0, 5.0, 100, expert_share=0.65),
        run("aborted", 500.0, 500.0, 100.0, 5000),
    ]
    deviations = [np.array([0.0, 0.2]), np.array([0.4, 0.6]), np.array([9.0])]
    result = measures.condition_measures(runs, deviations)
    assert (result["runs"], result["counted"], result["successes"], result["collisions"]) == (3, 2, 1, 1)
    assert result["success_rate"] == 0.5
    assert (result["success_low"], result["success_high"]) == pytest.approx((0.0945, 0.9055), abs=1e-4)
    assert result["collision_free_distance"] == 20
    assert result["distance_per_collision"] == 40
    assert result["lateral_mean"] == pytest.approx(0.3)
    assert result["lateral_max"] == pytest.approx(0.6)
    assert result["steering_change"] == pytest.approx((30 * 1 + 10 * 5) / 40)
    assert result["takeovers_per_minute"] == pytest.approx(60 * 2 / 40)
    assert result["expert_share"] == pytest.approx((300 * 0.25 + 100 * 0.65) / 400)


def test_a_condition_without_a_run_knows_nothing():
    result = measures.condition_measures([], [])
    assert result["success_rate"] is None
    assert result["lateral_mean"] is None
    assert (result["success_low"], result["success_high"]) == (0, 1)


def test_timing_is_apart_and_counts_failures_apart():
    timed = {"wall_seconds": 10.0, "simulated_seconds": 40.0}
    net = {"inference_frames": 100, "inference_p50": 0.004, "inference_p99": 0.009, "deadline_misses": 1}
    log = [
        {"run": 0, "outcome": "sim_failure", "wall_seconds": 99.0, "simulated_seconds": 1.0},
        {"run": 0, "outcome": "success", **timed, **net},
        {"run": 1, "outcome": "collision", **timed, **net, "inference_p50": 0.006, "inference_p99": 0.02},
    ]
    timing = measures.timing(log)
    assert timing["simulator_failures"] == 1
    assert timing["real_time_ratio"] == 4
    assert (timing["inference_p50"], timing["inference_p99"]) == (0.005, 0.02)
    assert (timing["deadline_misses"], timing["inference_frames"]) == (2, 200)
    assert measures.timing([])["real_time_ratio"] is None


def test_latencies_of_a_run():
    latencies = Latencies()
    assert latencies.statistics() == {}
    for milliseconds in range(1, 102):  # 1 to 101 ms: the median is 51, the 99th percentile 100
        latencies.add(milliseconds / 1000)
    statistics = latencies.statistics()
    assert (statistics["inference_p50"], statistics["inference_p99"]) == (0.051, 0.1)
    assert (statistics["inference_frames"], statistics["deadline_misses"]) == (101, 51)
    latencies.clear()
    assert latencies.statistics() == {}


def test_ranks_share_their_mean():
    assert measures.ranks([10, 30, 20, 20]).tolist() == [1, 4, 2.5, 2.5]


def test_rank_correlation_by_hand():
    # Differences of the ranks 1, -1, 0: 1 - 6 * 2 / (3 * 8) = 0.5
    assert measures.rank_correlation([1, 2, 3], [20, 10, 90]) == {"points": 3, "rho": pytest.approx(0.5)}
    assert measures.rank_correlation([1, 2, 3, None], [3, 2, 1, 5]) == {"points": 3, "rho": -1.0}
    # With ties: ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: covariance 4.5, sums of squares 4.5 and 5
    tied = measures.rank_correlation([1, 2, 2, 3], [1, 2, 3, 4])
    assert tied["rho"] == pytest.approx(4.5 / np.sqrt(4.5 * 5))


def test_rank_correlation_says_nothing_where_nothing_can_be_said():
    assert measures.rank_correlation([1, 2], [1, 2]) == {"points": 2, "rho": None}
    assert measures.rank_correlation([1, 1, 1], [1, 2, 3]) == {"points": 3, "rho": None}
