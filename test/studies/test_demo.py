"""The demo's commands are commands, its steps report their own errors, its folder is its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nav_pkg.cli import demo as command
from nav_pkg.config import cleaning, learner
from nav_pkg.config import demo as demo_config
from nav_pkg.core import UsageError
from nav_pkg.data.files import lock_folder
from nav_pkg.session import arguments
from nav_pkg.session.steps import Pace, StepFailed, run_step
from nav_pkg.studies import demo


def make_demo(*argv):
    return demo.Demo(demo_config.parse(list(argv)))


@pytest.mark.parametrize(
    "argv", [(), ("--quick",), ("--runs", "5", "--output", "a b", "--max_duration", "5")]
)
def test_the_command_lines_are_taken_by_their_own_parsers(argv):
    plan = make_demo(*argv)
    for line in (plan.collect(demo.EXPERT, 2), plan.collect(demo.NOISY, 6), plan.fly()):
        args, _ = arguments.split(line[2:])
        arguments.schedule(args)
        assert args.create_dataset and str(args.data_root).endswith("/data")
    assert args.evaluation and args.alpha == 0 and args.checkpoint_path == demo.TRAINING
    cleaned = cleaning.make_parser().parse_args(plan.clean()[2:])
    assert cleaned.val_len == cleaned.test_len == 1
    trained = learner.parse(plan.train()[2:])
    assert trained.discrete and trained.dataset == cleaned.destination == demo.CLEAN


def test_noise_moves_the_robot_not_the_expert_and_seeds_differ():
    plan = make_demo()
    expert, _ = arguments.split(plan.collect(demo.EXPERT, 2)[2:])
    noisy, _ = arguments.split(plan.collect(demo.NOISY, 6)[2:])
    flown, _ = arguments.split(plan.fly()[2:])
    assert expert.noise == "none" and noisy.noise == "ou" and noisy.sigma_yaw > 0 and noisy.alpha == 1
    assert flown.noise == "none" and flown.start == "route"
    assert len({expert.random_seed, noisy.random_seed, flown.random_seed}) == 3


@pytest.mark.parametrize(
    "argv", [("--runs", "2"), ("--flights", "0"), ("--episodes", "0"), ("--time_limit", "0")]
)
def test_numbers_that_cannot_be(argv):
    with pytest.raises(UsageError, match=argv[0]):
        make_demo(*argv)


def test_nothing_is_deleted_before_all_is_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "run_step", lambda *_: pytest.fail("a step was run"))
    folder = tmp_path / "demo"
    demo.start_over(folder)
    (folder / "data" / "collect").mkdir(parents=True)
    for words, text in (
        (["--width", "3"], "--width has to be"),
        (["--quick", "--runs", "4"], "--runs has no effect"),
    ):
        with pytest.raises(UsageError, match=text):
            command.main(["--output", str(folder), *words])
    lock = lock_folder(folder)
    with pytest.raises(UsageError, match="in use by another demo"):
        command.main(["--output", str(folder)])
    os.close(lock)
    assert (folder / "data" / "collect").exists()


def test_only_its_own_output_is_deleted(tmp_path):
    folder = tmp_path / "demo"
    demo.start_over(folder)
    (folder / "data" / "collect").mkdir(parents=True)
    (folder / "report.html").write_text("old")
    (folder / "mine.txt").write_text("kept")
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "run.json").write_text("kept")
    (folder / "log").symlink_to(precious)
    demo.start_over(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["demo.json", "log", "mine.txt"]
    assert (precious / "run.json").exists()
    with pytest.raises(UsageError, match="not made by the demo"):
        demo.start_over(precious)
    assert (precious / "run.json").exists()
    with pytest.raises(UsageError, match="is a file"):
        demo.start_over(precious / "run.json")


def test_a_failed_step_ends_with_its_message_and_code(capfd):
    code = "import sys; print('out'); print('error: no such thing', file=sys.stderr); sys.exit(3)"
    with pytest.raises(StepFailed, match="train: no such thing") as failed:
        run_step([sys.executable, "-c", code], "train")
    assert failed.value.code == 3
    output = capfd.readouterr()
    assert "out" in output.out and "error: no such thing" in output.err


def test_a_step_that_dies_of_a_signal():
    with pytest.raises(StepFailed) as failed:
        run_step([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], "fly")
    assert failed.value.code == 1 and "-9" in str(failed.value)


def test_a_step_that_works():
    assert 0 < run_step([sys.executable, "-c", "pass"], "nothing") < 30


def test_a_step_is_not_left_alone_by_a_killed_command(tmp_path):
    file = tmp_path / "pid"
    step = (
        f"import os, pathlib, time; pathlib.Path({str(file)!r}).write_text(str(os.getpid())); time.sleep(120)"
    )
    code = (
        f"from nav_pkg.session.steps import run_step; run_step([{sys.executable!r}, '-c', {step!r}], 'train')"
    )
    command = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    command.kill()
    command.wait()
    stat = Path("/proc", file.read_text(), "stat")
    while stat.exists() and ") Z" not in stat.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_pace_counts_time_within_runs(tmp_path):
    pace = Pace(tmp_path / "log")
    pace.poll()
    (tmp_path / "log").mkdir()
    pace.poll()
    for state, run, stamp, wall in (
        ("idle", 0, 1.0, 100.0),
        ("running", 0, 5.0, 101.0),
        ("running", 0, 9.0, 102.0),
        ("ended", 0, 0.0, 103.0),
        ("idle", 1, 20.0, 110.0),
        ("running", 1, 22.0, 110.5),
        ("running", 2, 40.0, 150.0),
    ):
        beat = {"state": state, "run": run, "stamp": stamp, "wall": wall, "pid": 1}
        (tmp_path / "log" / "state.json").write_text(json.dumps(beat))
        pace.poll()
    assert pace.simulated == pytest.approx(10.0) and pace.wall == pytest.approx(2.5)


def test_the_demo_stops_where_a_step_fails(tmp_path, monkeypatch, capsys):
    def failing(command, title, pace=None):
        raise StepFailed(f"{title}: no simulator", 4)

    monkeypatch.setattr(demo, "run_step", failing)
    with pytest.raises(StepFailed) as failed:
        command.main(["--output", str(tmp_path / "demo")])
    assert failed.value.code == 4
    assert "$ python " in capsys.readouterr().out


def test_fewer_laps_where_the_time_is_short(tmp_path, monkeypatch, capsys):
    """A lap of 200 s: four fit a quarter of an hour, with the start of the simulator."""
    flown = []
    now = [0.0]

    def flying(command, title, pace=None):
        runs = int(command[command.index("-n") + 1])
        before = 1 if "laps of the expert" in title else 0
        wall = 10.0 + 200.0 * (runs - before)
        if pace is not None:
            pace.simulated, pace.wall = 240.0 * (runs - before), 200.0 * (runs - before)
        flown.append((title, runs - before))
        now[0] += wall
        return wall

    monkeypatch.setattr(demo, "run_step", flying)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    plan = make_demo("--output", str(tmp_path / "demo"))
    demo.start_over(plan.folder)
    plan._collect_all()
    assert sum(runs for _, runs in flown) == 4
    assert "4 laps fit 15 minutes, so 4 instead of 8" in plan.notes[0]
    assert now[0] <= 900
    record = json.loads((tmp_path / "demo" / "demo.json").read_text())
    assert len(record["steps"]) == len(flown) and record["notes"] == plan.notes


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--seed", "-1"), ("--network", "foo_net"), ("--world", "nowhere"), ("--learning_rate", "-1")],
)
def test_bad_values_are_refused_before_an_earlier_demo_is_deleted(tmp_path, flag, value):
    (tmp_path / "demo.json").write_text("{}")
    (tmp_path / "report.html").write_text("the last one")
    with pytest.raises(UsageError):
        command.main(["--output", str(tmp_path), flag, value])
    assert (tmp_path / "report.html").read_text() == "the last one"
