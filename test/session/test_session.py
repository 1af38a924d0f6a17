"""run_script's command line: whose a flag is, what is refused before anything is made."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nav_pkg.core import NavError, UsageError
from nav_pkg.session import arguments
from nav_pkg.session.session import Session

ROOT = Path(__file__).resolve().parents[2]


def test_flags_go_to_their_owner():
    line = "-t x --alpha 0.5 -m model --network tiny_net --discrete --tensorboard --online --pause_simulator"
    args, learner = arguments.split(line.split())
    assert (args.alpha, args.checkpoint_path, args.pause_simulator) == (0.5, "model", True)
    assert learner == ["--online", "--network", "tiny_net", "--discrete", "--tensorboard"]
    assert args.learns


@pytest.mark.parametrize("line", ["", "--online --no_training", "--online -e", "--no_training"])
def test_the_learner_learns_only_when_told_to(line):
    args, learner = arguments.split(["-t", "x", "-m", "model", *line.split()])
    assert not args.learns
    assert learner == ["--online", "--no_training"]


@pytest.mark.parametrize(
    ("line", "sizes", "speeds"),
    [
        ("", (640, 360, 160, 90), (0.8, 0.8)),
        ("--robot turtlebot3", (410, 308, 160, 120), (0.3, 0.3)),
        ("--robot turtlebot3 --width 200 --speed 0.2", (200, 308, 160, 120), (0.2, 0.3)),
        ("--robot drone_recovery --depth_width 80", (640, 360, 80, 90), (0.8, 0.8)),
    ],
)
def test_what_is_not_given_is_the_robot_s_own(line, sizes, speeds):
    args, _ = arguments.split(["-t", "x", *line.split()])
    assert (args.width, args.height, args.depth_width, args.depth_height) == sizes
    assert (args.speed, args.turn_speed, args.z_pos) == (*speeds, 1.0)


@pytest.mark.parametrize("flag", ["--summary_dir", "--data_root"])
@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb"])
def test_folders_that_roslaunch_can_not_take(flag, name):
    with pytest.raises(UsageError, match=f"{flag} .*: roslaunch takes no path with"):
        arguments.split(["-t", "x", flag, f"/tmp/{name}"])


def test_roslaunch_arguments_are_dropped():
    args, learner = arguments.split(["-t", "x", "__name:=collect", "__log:=/tmp/a b.log"])
    assert args.log_tag == "x"
    assert learner == ["--online", "--no_training"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--number_of_rums 3", "did you mean '--number_of_runs'"),
        ("--networks tiny_net", "did you mean '--network'"),
        ("--min_rgb 2000", "belongs to clean_dataset.py"),
        ("--wall_time_rec 3600", "belongs to dag_create_data.py"),
        ("--learning_rate 0.1", "--learning_rate has no effect in flight"),
        ("--online --no_training --learning_rate 0.1", "--learning_rate has no effect in flight"),
        ("--online --dataset x", "--dataset has no effect in flight"),
        ("--online --buffer_size 5", "--buffer_size 5: must be at least 64"),
        ("--online --checkpoint_path nowhere", "nowhere"),
        ("--alpha_decay 0.9", "--alpha_decay is 0.9; it must be left out"),
        ("--epsilon_decay 0.9", "--epsilon_decay is 0.9; it must be left out"),
        (
            "--online --network tiny_LSTM_net --buffer_size 64 --batch_size 64",
            "must be at least 73",
        ),
        ("--online --network tiny_LSTM_net --buffer_update_rule hard", "hard: leaves gaps"),
        ("--alpha nan", "--alpha"),
        ("--alpha 0.5", "needs a learner"),
        ("-e", "needs a learner"),
        ("--number_of_runs 0", "--number_of_runs is 0"),
        ("--number_of_runs 99999999999999999999", "it must be between 1 and 1000000"),
        ("--final_evaluation_runs 99999999999999999999", "it must be between 0 and 1000000"),
        ("--final_evaluation_runs -1", "--final_evaluation_runs is -1"),
        ("--evaluate_every 0", "--evaluate_every is 0"),
        ("--physics_step nan", "--physics_step is nan"),
        ("--control_delay 0.0123", "--control_delay is 0.0123"),
        ("--depth_width 0", "needs depth images"),
        ("--width 4", "--width has to be 16 to 4096"),
        ("--robot drome", "did you mean 'drone'"),
        ("--robot turtlebot3 --z_pos 1", "--z_pos 1 has no effect: turtlebot3 stays on the floor"),
        ("--robot turtlebot3 --noise gau --sigma_y 0.1", "--sigma_y 0.1 has no effect"),
        ("-w esatv4", "did you mean 'esatv3'"),
        ("-t ../elsewhere", "is not a name"),
        ("--checkpoint_path nowhere --alpha 0", "no such checkpoint"),
    ],
)
def test_refused_before_anything_is_made_or_deleted(tmp_path, line, message):
    folders = ["--summary_dir", str(tmp_path / "log"), "--data_root", str(tmp_path / "data")]
    with pytest.raises(NavError, match=message) as error:
        args, learner = arguments.split([*folders, "--owr", "-ds", *line.split()])
        Session(args, learner)
    assert error.value.code in (2, 3)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_world_file_that_does_not_parse(tmp_path):
    world = tmp_path / "bad.world"
    world.write_text("<sdf version='1.6'>\n<world></sdf>")
    args, learner = arguments.split(["-w", str(world)])
    with pytest.raises(NavError, match=r"bad.world, line 2"):
        Session(args, learner)


def test_one_line_and_exit_code():
    command = [sys.executable, str(ROOT / "scripts" / "run_script.py"), "--speeed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "error: run_script.py: unknown flag '--speeed'; did you mean '--speed'?\n"


def test_final_evaluations_fix_the_number_of_runs(tmp_path):
    def configuration(*line):
        args, learner = arguments.split([*line, "-t", "x"])
        session = Session.__new__(Session)
        session.args, session.learner_flags = args, learner
        return json.dumps(session._configuration(), sort_keys=True)

    assert configuration("-n", "3") == configuration("-n", "5")
    evaluations = ("-m", "model", "--final_evaluation_runs", "1")
    assert configuration("-n", "3", *evaluations) != configuration("-n", "5", *evaluations)


def test_default_tag_spares_a_named_dataset(tmp_path):
    (tmp_path / "data" / "precious" / "00000_esatv3").mkdir(parents=True)
    for file in ("dataset.json", "00000_esatv3/run.json"):
        (tmp_path / "data" / "precious" / file).write_text("{}")
    folders = ["--summary_dir", str(tmp_path / "log"), "--data_root", str(tmp_path / "data")]
    args, learner = arguments.split([*folders, "-ds", "--data_location", "precious"])
    with pytest.raises(UsageError, match="exists already"):
        Session(args, learner)
    assert (tmp_path / "data" / "precious" / "00000_esatv3" / "run.json").exists()


def test_a_job_s_own_folder_does_not_tell_sessions_apart(monkeypatch, tmp_path):
    """HTCondor gives every try of a job another scratch folder, and brings what an earlier one left."""
    configurations = []
    for number in (1, 2):
        monkeypatch.setenv("_CONDOR_SCRATCH_DIR", str(tmp_path / f"dir_{number}"))
        folders = [
            "--summary_dir",
            tmp_path / f"dir_{number}" / "log",
            "--data_root",
            tmp_path / f"dir_{number}",
        ]
        line = arguments.split(["-t", "x", *map(str, folders)])
        configurations.append(Session(*line, check_only=True)._configuration())
    assert configurations[0] == configurations[1] and str(tmp_path) not in json.dumps(configurations)
