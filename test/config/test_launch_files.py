"""Launch files whose arguments are settings: each reaches its command."""

import os
import shlex
from dataclasses import fields

import pytest

from nav_pkg.config import learner, session, setting
from nav_pkg.config.evaluation import make_evaluation_parser
from nav_pkg.config.flight import FlightConfig
from nav_pkg.config.launch_files import ARGUMENTS, LAUNCH_FILES, NEGATED
from nav_pkg.config.simulator import SimulatorConfig
from nav_pkg.core import ROOT

FIXED = {"online.launch": {"shard", "evaluation"}}


def graph(file, *arguments):
    """The nodes' words, by name, and the parameters of a launch file, by roslaunch's own reader."""
    roslaunch = pytest.importorskip("roslaunch")
    os.environ.setdefault("ROS_PACKAGE_PATH", str(ROOT))
    config = roslaunch.config.ROSLaunchConfig()
    loader = roslaunch.xmlloader.XmlLoader()
    loader.load(str(ROOT / "launch" / file), config, argv=list(arguments), verbose=False)
    words = {node.name: shlex.split(node.args) for node in config.nodes}
    return words, {key: param.value for key, param in config.params.items()}


def command_line(file, *arguments):
    """The words that a launch file gives its command."""
    return next(iter(graph(file, *arguments)[0].values()))


def other_value(each):
    """A word for a setting that is not its default."""
    if each.about.choices:
        return next(str(choice) for choice in each.about.choices if choice != each.default)
    return "0.25" if each.about.convert is float else "5" if each.about.convert is int else "other"


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
    launch_file = LAUNCH_FILES[file]
    for key, each in launch_file.settings.items():
        if key not in before:  # of the learner
            continue
        name = launch_file.names.get(key) or ARGUMENTS.get(key, key)
        given = other_value(each)
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


def test_each_setting_of_the_simulator_reaches_it():
    def simulator(*arguments):
        words = command_line("sim.launch", *arguments)
        return vars(setting.parse(SimulatorConfig, words, "simulator.py", ""))

    before = simulator()
    for key, each in setting.declared(SimulatorConfig).items():
        if key in ("gazebo_port", "start_limit", "verbose", "free_running", "real_time"):
            continue
        after = simulator(f"{key}:=true" if each.about.convert is None else f"{key}:={other_value(each)}")
        assert {other for other in before if before[other] != after[other]} == {key}
    chosen = {"seed": 123, "rate": 10.0, "free_running": True, "real_time": True}
    assert before == {**vars(SimulatorConfig()), **chosen}
    assert not simulator("lockstep:=true")["free_running"] and not simulator("real_time:=false")["real_time"]


def test_fly_has_the_defaults_of_guardian_and_learner():
    pytest.importorskip("rospy")
    from nav_pkg.ros.guardian import Parameters

    words, parameters = graph("fly.launch", "checkpoint:=mine", "bag:=false", "summary_dir:=/logs")
    guardian = {field.name: parameters[f"/guardian/{field.name}"] for field in fields(Parameters)}
    assert guardian == {**vars(Parameters()), "log_folder": "/logs/fly"}
    given = {"online": True, "no_training": True, "checkpoint_path": "mine", "summary_dir": "/logs"}
    flags = learner.parse(words["learner"])
    assert {
        key: value for key, value in flags.given.items() if value != learner.SETTINGS[key].default
    } == given
    for name in ("speed", "turn_speed", "device", "num_threads"):
        value = "cpu" if name == "device" else "2"
        changed, _ = graph("fly.launch", "checkpoint:=mine", "bag:=false", f"{name}:={value}")
        assert str(learner.parse(changed["learner"]).given[name]).startswith(value)
