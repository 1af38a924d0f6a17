"""The learner's command line: the table, what it refuses, how it is passed on."""

import os
import subprocess
import sys

import pytest

from nav_pkg.config.learner import parse
from nav_pkg.core import UsageError


def test_the_published_command_lines_parse():
    line = (
        "--network tiny_net --discrete --dataset esatv3_expert_200K --turn_speed 0.8 --speed 0.8 "
        "--tensorboard --max_episodes 100 --batch_size 32 --learning_rate 0.01 --loss CrossEntropy "
        "--shifted_input --optimizer SGD --continue_training --checkpoint_path tiny_net_scratch"
    )
    args = parse(line.split())
    assert (args.batch_size, args.learning_rate, args.speed, args.shifted_input) == (32, 0.01, 0.8, True)
    line = (
        "--dataset esatv3_expert_500 --tensorboard --max_episodes 10 --learning_rate 0.01 --owr "
        "--network res18_net --discrete --loss CrossEntropy --checkpoint_path"
    )
    args = parse([*line.split(), ""])
    assert args.checkpoint_path == ""
    line = "--pause_simulator --online --alpha 1 --tensorboard --discrete --no_training"
    args = parse(line.split())
    assert args.online and args.alpha == 1


def test_defaults_of_the_published_learner():
    args = parse([])
    assert (args.network, args.loss, args.optimizer) == ("tiny_net", "MSE", "SGD")
    assert (args.learning_rate, args.batch_size, args.random_seed, args.action_quantity) == (0.1, 64, 123, 3)
    assert args.log_tag == "testing" and args.max_episodes == 1000 and not args.discrete


def test_roslaunch_arguments_are_passed_over():
    assert parse(["__name:=learner", "--network", "tiny_net", "__log:=/tmp/x"]).network == "tiny_net"


@pytest.mark.parametrize(
    "line, text",
    [
        ("--lerning_rate 0.1", "did you mean '--learning_rate'"),
        ("--learning 0.1", "unknown flag '--learning'"),  # no abbreviations
        ("--min_rgb 2000", "unknown flag '--min_rgb'"),
        ("stray", "unknown argument 'stray'"),
        ("--batch_size 0", "0 is not at least 1"),
        ("--num_threads 100000", "100000 is not 0 to 1024"),
        ("--batch_size many", "'many' is not a whole number"),
        ("--learning_rate 0", "0 is not above 0"),
        ("--learning_rate -0.1", "-0.1 is not above 0"),
        ("--learning_rate nan", "nan is not above 0"),
        ("--momentum inf", "inf is not at least 0"),
        ("--random_seed -1", "-1 is not 0 to 4294967295"),
        ("--alpha 2 --online", "2 is not at least 0 and at most 1"),
        ("--scale_means 1 2", "expected 3 arguments"),
        ("--device tpu", "invalid choice: 'tpu'"),
        ("-t ../elsewhere", "is not a name"),
        ("--alpha 0.5", "--alpha has no effect when training offline"),
        ("--online --no_training --loss MSE", "--loss has no effect in flight"),
        ("--online --no_training --dropout 0.5", "--dropout has no effect in flight"),
        ("--online --no_training --owr", "--owr has no effect in flight"),
        ("--online --no_training -t here", "--log_tag has no effect in flight"),
        ("--online --data_root data", "--data_root has no effect in flight"),
        ("--speed 5.1", "5.1 is not at least 0 and at most 5"),
        ("--continue_training", "needs a --checkpoint_path"),
        ("--time_length 0", "0 is not at least 1"),
        ("--time_length -2", "-2 is not at least 1"),
        ("--control_file supervised_info.txt", "--control_file is called --labels here"),
        ("--shift_control_indices=1", "--shift_control_indices is not needed"),
        ("--action_dim 1", "--action_dim is 1"),
        ("--lr_decay 0.5", "no effect without --lr_schedule"),
        ("--evaluate --checkpoint_path a --continue_training", "leave --continue_training out"),
        ("--create_scratch_checkpoint --checkpoint_path a", "makes fresh weights"),
        ("--online --no_training --amp", "--amp has no effect in flight"),
    ],
)
def test_what_would_be_ignored_or_cannot_be_is_refused(line, text):
    with pytest.raises(UsageError) as error:
        parse(line.split())
    assert text in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("words", [["--online"], ["--network", "tiny_net"]])
def test_threads_do_not_spin(words):
    """What tells torch's threads so is read when torch is loaded."""
    program = f"""
import os, sys, types
import nav_pkg.ros
learner = types.ModuleType("learner")
learner.main = lambda args: print(os.environ["OMP_WAIT_POLICY"], "torch" in sys.modules) or 0
sys.modules["nav_pkg.ros.learner"] = nav_pkg.ros.learner = learner
from nav_pkg.cli import main
from nav_pkg.learn.training import prechecks
prechecks.training = lambda args: sys.exit(learner.main(args))
sys.exit(main.main({words}))
"""
    without = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    for environment, wanted in ((without, "passive"), ({**without, "OMP_WAIT_POLICY": "active"}, "active")):
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (0, f"{wanted} False\n"), done.stderr


def test_flags_that_say_what_happens_anyway_are_taken_everywhere():
    assert parse(["--load_data_in_ram", "--pause_simulator"]).load_data_in_ram


def test_what_stands_on_the_command_line_and_what_is_a_default():
    words = ["--online", "--network=tiny_net", "__name:=learner", "--scale_means", "0", "0", "1"]
    assert parse(words).given == {"online": True, "network": "tiny_net", "scale_means": (0.0, 0.0, 1.0)}
