"""Launch files whose arguments are settings: each reaches its command."""

import os
import shlex
from dataclasses import fields

import pytest

from nav_pkg.config import learner, session
from nav_pkg.config.evaluation import make_evaluation_parser
from nav_pkg.config.flight import FlightConfig
from nav_pkg.config.launch_files import ARGUMENTS, LAUNCH_FILES, NEGATED
from nav_pkg.core import ROOT

FIXED = {"online.launch": {"shard", "evaluation"}}


def command_line(file, *arguments):
    """The words that a launch file gives its command, by roslaunch's own reader."""
    roslaunch = pytest.importorskip("roslaunch")
    os.environ.setdefault("ROS_PACKAGE_PATH", str(ROOT))
    config = roslaunch.config.ROSLaunchConfig()
    loader = roslaunch.xmlloader.XmlLoader()
    loader.load(str(ROOT / "launch" / file), config, argv=list(arguments), verbose=False)
    return shlex.split(config.nodes[0].args)


def values(words):
    """The settings of a session on a command line, by key."""
    parsed, rest = session.make_parser().parse_known_args(words)
    learner.make_parser().parse_args(rest)
    return vars(parsed)


@pytest.mark.parametrize("file", ["collect.launch", "online.launch"])
def test_every_setting_of_a_flight_is_an_argument(file):
    assert {field.name for field in fields(FlightConfig)} - FIXED.get(file, set()) <= {
        *LAUNCH_FILES[file].settings
    }


@pytest.mark.parametrize("file", ["collect.launch", "online.launch"])
def test_each_setting_reaches_run_script(file):
    before = values(command_line(file))
    made = LAUNCH_FILES[file]
    for key, each in made.settings.items():
        if key not in before:  # of the learner
            continue
        name = made.names.get(key) or ARGUMENTS.get(key, key)
        given = "0.25" if each.about.convert is float else "5" if each.about.convert is int else "other"
        if key in NEGATED:
            name, given = NEGATED[key][0], "false"
        elif isinstance(each.default, bool):
            given = "true"
        after = values(command_line(file, f"{name}:={given}"))
        assert {other for other in before if before[other] != after[other]} == {key}


def test_evaluate_takes_several_values():
    words = command_line("evaluate.launch", "checkpoint:=a b", "control_delays:=0 0.2", "epsilon:=0.5")
    parsed, rest = make_evaluation_parser().parse_known_args(words)
    assert parsed.checkpoint_path == ["a", "b"] and parsed.control_delays == [0, 0.2]
    assert rest[-2:] == ["--epsilon", "0.5"]


@pytest.mark.parametrize("file", ["collect.launch", "online.launch"])
def test_a_path_may_hold_spaces(file):
    words = command_line(file, "checkpoint:=/logs/my training", "data_root:=/my data")
    parsed, _ = session.make_parser().parse_known_args(words)
    assert str(parsed.data_root) == "/my data" and "/logs/my training" in words
