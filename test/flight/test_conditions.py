"""Conditions of an evaluation, and shards of a session's runs."""

import pytest

from nav_pkg.core import UsageError
from nav_pkg.flight.conditions import Condition, conditions, labels
from nav_pkg.flight.schedule import FlightSchedule


def test_all_combinations_once_in_order():
    combinations = conditions(["a", "b"], ["w"], ["forward", "reverse"], [0.0, 0.1, 0.0], ["none"])
    assert len(combinations) == 8
    assert combinations[0] == Condition("a", "w", "forward", 0.0, "none")
    assert combinations[-1].folder == "b/w_reverse_delay0.1_none"


def test_folders_are_names_and_differ():
    combinations = conditions(["a"], ["w"], ["forward"], [0.0, 0.1, 0.15], ["none", "noise:0.1", "noise:0.2"])
    folders = [condition.folder for condition in combinations]
    assert len(set(folders)) == 9
    assert "a/w_forward_delay0.15_noise0.2" in folders


def test_labels_are_short_and_differ():
    by_checkpoint = labels(
        ["tiny/first", "/x/y/tiny/first/my-model", "/logs/b c", "tiny/first", "tiny_first", "./net"]
    )
    assert by_checkpoint == {
        "tiny/first": "tiny_first",
        "/x/y/tiny/first/my-model": "tiny_first_2",
        "/logs/b c": "logs_b_c",
        "tiny_first": "tiny_first_3",
        "./net": "net",
    }


def test_shards_share_the_runs_out_and_leave_each_as_it_is():
    whole = FlightSchedule(runs=7, start="route").runs_to_fly()
    shards = [FlightSchedule(runs=7, start="route", shard=f"{k}/3").runs_to_fly() for k in (1, 2, 3)]
    assert [[plan.run for plan in shard] for shard in shards] == [[0, 3, 6], [1, 4], [2, 5]]
    assert sorted((plan for shard in shards for plan in shard), key=lambda plan: plan.run) == whole


def test_a_shard_goes_on_at_its_first_run_left():
    schedule = FlightSchedule(runs=7, shard="2/3", first_run=4)
    assert schedule.run_numbers() == [1, 4]
    assert [plan.run for plan in schedule.runs_to_fly()] == [4]


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "-1/2", "١/٢"])
def test_a_shard_that_can_not_be(shard):
    with pytest.raises(UsageError, match="--shard is"):
        FlightSchedule(shard=shard).check()
