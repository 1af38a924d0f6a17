"""The folders of a session: nothing deleted that is in use, foreign or not asked for."""

import json
import subprocess
import sys

import numpy as np
import pytest

from nav_pkg.core import Actor, Command, DataError, Frame, Pose, UsageError, Velocity
from nav_pkg.data.writer import RunWriter, create_dataset
from nav_pkg.flight.schedule import FlightSchedule
from nav_pkg.session.folders import Folders

SCHEDULE = FlightSchedule(runs=3, seed=5, start="route")


def folders(tmp_path, configuration=None, schedule=SCHEDULE, tag="tag"):
    return Folders(
        tmp_path / "log" / tag, tmp_path / "data" / "set", configuration or {"random_seed": 5}, schedule
    )


def record(dataset, run, schedule=SCHEDULE, outcome="timeout"):
    """A committed run with the facts that a session of this schedule records."""
    create_dataset(dataset, {"robot": "test"})
    plan = schedule.runs_to_fly()[run]
    facts = {**schedule.flight(plan).run_metadata(), "run": run, "seed": schedule.seed, "run_seed": plan.seed}
    writer = RunWriter(dataset, plan.name, facts)
    command = Command(0.8)
    frame = Frame(0, 0, command, None, command, Actor.EXPERT, Pose(0, 0, 1), Velocity(), 2.0, 0.0)
    writer.add(frame, np.zeros((16, 16, 3), np.uint8), np.ones((4, 4), np.float32), np.ones(9, np.float32))
    return writer.commit({**facts, "outcome": outcome, "frames": 1})


def test_folders_in_use_are_refused(tmp_path):
    first = folders(tmp_path)
    with pytest.raises(UsageError, match="in use by another session"):
        folders(tmp_path)
    with pytest.raises(UsageError, match="in use by another session"):
        folders(tmp_path, tag="other")  # another log, the same dataset
    first.close()
    folders(tmp_path).close()


def test_a_dead_session_holds_nothing(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from nav_pkg.session.folders import Folders;"
        "from nav_pkg.flight.schedule import FlightSchedule;"
        f"f = Folders(Path({str(tmp_path)!r}) / 'log' / 'tag', None, {{}}, FlightSchedule());"
        "f.open(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == -9
    folders(tmp_path).close()


def test_begin_anew_leaves_other_logs_and_datasets(tmp_path):
    session_folders = folders(tmp_path)
    session_folders.open()
    inner = tmp_path / "log" / "tag" / "inner"
    inner.mkdir()
    (inner / "my-model").write_text("weights")
    run = record(tmp_path / "data" / "set", 0)
    session_folders.start_over(dataset_too=False)
    assert (inner / "my-model").read_text() == "weights"
    assert not (tmp_path / "log" / "tag" / "run_conf.json").exists()
    assert run.is_dir()
    with pytest.raises(UsageError, match=r"exists already; --owr replaces it"):
        session_folders.open()
    (tmp_path / "log" / "tag" / "run_conf.json").write_text("{}")
    session_folders.start_over(dataset_too=True)
    assert not run.exists()


def test_begin_anew_refuses_folders_that_are_not_ours(tmp_path):
    log = tmp_path / "log" / "tag"
    log.mkdir(parents=True)
    (log / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="not made by run_script"):
        folders(tmp_path).start_over(dataset_too=True)
    assert (log / "thesis.tex").exists()


def test_begin_anew_refuses_a_dataset_that_is_recorded_into(tmp_path):
    dataset = tmp_path / "data" / "set"
    create_dataset(dataset, {"robot": "test"})
    writer = RunWriter(dataset, "00000_esatv3", {})
    with pytest.raises(DataError, match="another process is writing"):
        folders(tmp_path).start_over(dataset_too=True)
    writer.abort()


def test_other_flags_are_named(tmp_path):
    session_folders = folders(tmp_path)
    session_folders.open().append({"run": 0, "outcome": "success"})
    session_folders.close()
    with pytest.raises(UsageError, match=r"--random_seed 5, now 6"):
        folders(tmp_path, {"random_seed": 6}).open()


def test_a_session_of_an_earlier_version_had_the_defaults_of_later_settings(tmp_path):
    session_folders = folders(tmp_path)
    session_folders.open().append({"run": 0, "outcome": "success"})
    session_folders.close()
    same = folders(tmp_path, {"random_seed": 5, "takeover_distance": 0.0})
    same.open()
    same.close()
    with pytest.raises(UsageError, match=r"--takeover_distance 0.0, now 2.0"):
        folders(tmp_path, {"random_seed": 5, "takeover_distance": 2.0}).open()


@pytest.mark.parametrize("learner", [[], ["--speed", "0.8"]])
def test_a_log_folder_that_was_moved_is_continued(tmp_path, learner):
    def configuration(logs):
        words = ["--summary_dir", str(logs), *learner] if learner else []
        return {"random_seed": 5, "summary_dir": str(logs), "learner": words}

    session_folders = folders(tmp_path, configuration(tmp_path / "log"))
    session_folders.open().append({"run": 0, "outcome": "timeout"})
    session_folders.close()
    (tmp_path / "log").rename(tmp_path / "elsewhere")
    place = tmp_path / "elsewhere"
    moved_folders = Folders(place / "tag", None, configuration(place), SCHEDULE)
    assert len(moved_folders.open().runs()) == 1
    moved_folders.close()


def test_a_failed_start_binds_nobody(tmp_path):
    session_folders = folders(tmp_path)
    session_folders.open()
    session_folders.close()
    session_folders = folders(tmp_path, {"random_seed": 6})
    session_folders.open()
    assert json.loads((tmp_path / "log" / "tag" / "run_conf.json").read_text()) == {"random_seed": 6}


def test_runs_committed_before_a_crash_are_adopted(tmp_path):
    session_folders = folders(tmp_path)
    log = session_folders.open()
    record(tmp_path / "data" / "set", 1)
    session_folders.adopt(log)
    assert sorted(session_folders.finished(log)) == [1]
    session_folders.adopt(log)
    assert len(log.runs()) == 1


def test_runs_of_other_settings_are_not_adopted(tmp_path):
    session_folders = folders(tmp_path)
    log = session_folders.open()
    record(tmp_path / "data" / "set", 1, FlightSchedule(runs=3, seed=5, start="route", alpha=0.5))
    with pytest.raises(DataError, match=r"recorded with alpha 0.5, this session has 1.0"):
        session_folders.adopt(log)


def test_a_run_that_is_gone_is_flown_again(tmp_path):
    session_folders = folders(tmp_path)
    log = session_folders.open()
    log.append({"run": 0, "name": "00000_esatv3", "outcome": "timeout", "frames": 30})
    log.append({"run": 1, "name": "00001_esatv3", "outcome": "aborted", "frames": 0})
    assert sorted(session_folders.finished(log)) == [1]


def test_unwritable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file"):
        Folders(tmp_path / "file" / "tag", None, {}, SCHEDULE)
