"""The flights of a session and the log of runs."""

import json
import math

import pytest

from nav_pkg.control.seeds import run_seed
from nav_pkg.core import DataError, UsageError
from nav_pkg.flight.runlog import RunLog
from nav_pkg.flight.schedule import FlightSchedule


def test_run_has_the_same_plan_wherever_a_session_begins():
    whole = FlightSchedule(runs=5, seed=512, start="route").runs_to_fly()
    rest = FlightSchedule(runs=9, seed=512, start="route", first_run=3).runs_to_fly()
    assert rest[:2] == whole[3:]
    assert [plan.seed for plan in whole] == [run_seed(512, run) for run in range(5)]
    assert whole[3].name == "00003_esatv3"


def test_evaluation_runs():
    schedule = FlightSchedule(
        runs=10, evaluate_every=4, final_evaluation_runs=2, alpha=0.5, noise="ou", sigma_yaw=0.2
    )
    plans = schedule.runs_to_fly()
    assert [plan.run for plan in plans if plan.evaluation] == [3, 7, 8, 9]
    assert schedule.flight(plans[3]).mixer.alpha == 0
    assert schedule.flight(plans[3]).mixer.noise.kind == "none"
    assert schedule.flight(plans[4]).mixer.alpha == 0.5
    assert schedule.flight(plans[4]).mixer.noise.kind == "ou"


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("alpha", 1.5),
        ("alpha", float("nan")),
        ("runs", 0),
        ("speed", 0.0),
        ("speed", float("inf")),
        ("z_pos", 2.4),
        ("control_delay", -0.1),
        ("control_delay", 0.0123),
        ("physics_step", 0.03),
        ("physics_step", 0.0),
        ("noise", "pink"),
        ("sigma_yaw", -1.0),
        ("start", "home"),
        ("expert", "human"),
        ("world", "esatv4"),
    ],
)
def test_bad_values_are_named(flag, value):
    with pytest.raises(UsageError) as error:
        FlightSchedule(**{flag: value}).check()
    assert str(value) in str(error.value)
    assert "\n" not in str(error.value)


def test_run_log_counts_what_need_not_be_flown_again(tmp_path):
    log = RunLog(tmp_path / "log")
    log.append({"run": 0, "outcome": "success"})
    log.append({"run": 1, "outcome": "sim_failure"})
    log.append({"run": 1, "outcome": "collision"})
    log.append({"run": 2, "outcome": "aborted", "interrupted": True})
    log.append({"run": 3, "outcome": "aborted"})
    log.append({"run": 4, "outcome": "sim_failure"})
    assert sorted(RunLog(tmp_path / "log").finished()) == [0, 1, 3]


def test_run_log_survives_a_line_cut_short(tmp_path):
    log = RunLog(tmp_path)
    log.append({"run": 0, "outcome": "success"})
    whole = log.runs_file.read_bytes()
    for cut in range(1, len(whole)):
        log.runs_file.write_bytes(whole + whole[:cut])
        log.append({"run": 7, "outcome": "timeout"})
        kept = [run["run"] for run in log.runs()]
        assert kept[0] == 0
        assert kept[-1] == 7


def test_run_log_refuses_another_file(tmp_path):
    (tmp_path / "runs.jsonl").write_text(json.dumps({"loss": 1}) + "\n")
    with pytest.raises(DataError, match=r"runs\.jsonl: line 1: run is missing; .*--owr"):
        RunLog(tmp_path).runs()


def test_heartbeat(tmp_path):
    log = RunLog(tmp_path)
    assert log.state() is None
    log.write_heartbeat(run=3, state="running", stamp=1.5)
    assert log.state()["run"] == 3
    log.write_heartbeat(run=4)  # too soon: not written
    assert log.state()["run"] == 3
    log.write_heartbeat(force=True, run=5)
    assert log.state()["run"] == 5


@pytest.mark.parametrize(
    "kind, changed, expected",
    [
        ("constant", {}, [0.8, 0.8, 0.8]),
        ("linear", {"alpha_end": 0.2, "alpha_runs": 3}, [0.8, 0.6, 0.4, 0.2, 0.2]),
        ("exponential", {"alpha_decay": 0.5}, [0.8, 0.4, 0.2, 0.1]),
        ("exponential", {"alpha_decay": 0.5, "alpha_end": 0.3}, [0.8, 0.4, 0.3, 0.3]),
    ],
)
def test_alpha_over_the_runs(kind, changed, expected):
    flights = FlightSchedule(runs=9, alpha=0.8, alpha_schedule=kind, final_evaluation_runs=1, **changed)
    flights.check()
    assert [flights.alpha_of(run) for run in range(len(expected))] == pytest.approx(expected)
    assert flights.alpha_of(8) == 0.0  # an evaluation
    flight = flights.flight(flights.runs_to_fly()[1])
    assert flight.run_metadata()["alpha"] == pytest.approx(expected[1])


def test_epsilon_falls_with_the_runs():
    flights = FlightSchedule(runs=4, alpha=0.0, epsilon=0.5, epsilon_decay=1.0)
    assert [flights.epsilon_of(run) for run in range(3)] == pytest.approx(
        [0.5, 0.5 / math.e, 0.5 / math.e**2]
    )
    assert flights.flight(flights.runs_to_fly()[1]).run_metadata()["epsilon"] == pytest.approx(0.5 / math.e)


@pytest.mark.parametrize(
    "changed, text",
    [
        ({"alpha_schedule": "cosine"}, "--alpha_schedule is 'cosine'"),
        ({"alpha_end": 1.5}, "--alpha_end is 1.5"),
        ({"alpha_runs": 0}, "--alpha_runs is 0"),
        ({"epsilon": -0.1}, "--epsilon is -0.1"),
        ({"epsilon_decay": math.nan}, "--epsilon_decay is nan"),
        ({"takeover_distance": -1.0}, "--takeover_distance -1.0"),
    ],
)
def test_bad_mixing(changed, text):
    with pytest.raises(UsageError, match=text):
        FlightSchedule(**changed).check()
