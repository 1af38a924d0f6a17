"""Settings: fields of dataclasses that become flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import pytest

from nav_pkg.config import cleaning, evaluation, flight
from nav_pkg.config.cleaning import CleaningConfig
from nav_pkg.config.dataset import GatherConfig
from nav_pkg.config.evaluation import EvaluationConfig
from nav_pkg.config.flight import FlightConfig
from nav_pkg.config.learner import LearnerConfig
from nav_pkg.config.parser import Parser, by_flag
from nav_pkg.config.session import SessionConfig
from nav_pkg.config.setting import add_arguments, declared, from_values, setting, to_argv
from nav_pkg.config.types import integer
from nav_pkg.core import UsageError
from nav_pkg.flight.conditions import DIRECTIONS


@dataclass(frozen=True)
class Camera:
    """Camera."""

    width: int = setting(640, "width, pixels", integer(16), short="-w")
    height: int = setting(360, "height, pixels", integer(16), of_robot=True)


@dataclass(frozen=True)
class Whole(Camera):
    """HTCondor."""

    means: Optional[Tuple[int, ...]] = setting(None, "means", integer(0), alias="--averages", nargs="+")
    names: Tuple[str, ...] = setting(("a",), "names", str, nargs="+", required=True)
    fast: bool = setting(False, "100 % as fast as it can", effect="flight")
    made: str = setting(lambda: "later", "made when it is asked for", str)


def parsed(*words, **how):
    parser = Parser(prog="x.py")
    add_arguments(parser, Whole, **how)
    return vars(parser.parse_args(words))


def test_flags_become_a_configuration():
    values = parsed("-w", "32", "--averages", "1", "2", "--names", "b", "--fast")
    assert values["height"] is None  # the robot's
    config = from_values(Whole, {**values, "height": 20, "other": 1})
    assert config == Whole(32, 20, (1, 2), ("b",), True, "later")
    assert parsed("--names", "b", only_given=True) == {"names": ["b"]}
    assert set(parsed(keys=["fast"])) == {"fast"}


def test_what_is_refused():
    with pytest.raises(UsageError, match="argument -w/--width: 3 is not at least 16"):
        parsed("--width", "3", "--names", "b")
    with pytest.raises(UsageError, match="argument --means/--averages: expected at least one"):
        parsed("--means", "--names", "b")
    with pytest.raises(UsageError, match="required: --names"):
        parsed()


def test_the_help_is_in_groups(capsys):
    with pytest.raises(SystemExit):
        parsed("--help")
    text = capsys.readouterr().out
    assert "\ncamera:\n" in text and "\nHTCondor:\n" in text
    assert "height, pixels (the robot's own; drone: 360)" in text and "100 % as fast" in text


def test_what_is_declared():
    settings = declared(Whole)
    assert list(settings) == ["width", "height", "means", "names", "fast", "made"]
    assert settings["width"].group == "Camera" and settings["made"].default == "later"
    assert settings["fast"].flag == "--fast" and settings["fast"].about.effect == "flight"


def test_command_lines_that_mean_the_same():
    """Rounds of DAgger and DAGs that an earlier version began have their flags in another order."""
    assert by_flag(["--bag", "--noise", "ou", "--sigma_y=0.1"]) == by_flag(
        ["--sigma_y", "0.1", "--bag", "--noise", "ou"]
    )
    assert by_flag(["--bag", "--noise", "ou"]) != by_flag(["--bag", "--noise", "uni"])
    assert by_flag(["--scale_means", "-0.5", "0", "1"]) == {"--scale_means": ["-0.5", "0", "1"]}


def test_names_that_stand_elsewhere_too():
    assert sorted(DIRECTIONS) == sorted(evaluation.DIRECTIONS)
    assert all(name in declared(flight.FlightConfig)["start"].about.help for name in flight.START_MODES)


def test_settings_that_two_configurations_share():
    assert declared(LearnerConfig)["noise"].about.help == declared(FlightConfig)["noise"].about.help
    assert (LearnerConfig().alpha, FlightConfig().alpha) == (0.0, 1.0)
    assert declared(EvaluationConfig)["summary_dir"].about == declared(SessionConfig)["summary_dir"].about


def test_settings_become_a_command_line():
    config = SessionConfig(log_tag="mine", create_dataset=True, random_seed=123)
    assert to_argv(config) == ["-t", "mine", "-ds"]
    assert to_argv(config, "random_seed") == ["-t", "mine", "-ds", "--random_seed", "123"]
    gathered = GatherConfig(dataset=("a", "b"), destination="c")
    assert to_argv(gathered) == ["a", "b", "--destination", "c"]
    words = to_argv(CleaningConfig(sources=("a", "b"), min_rgb=5, move=True))
    parsed = cleaning.parse(words)
    assert parsed.sources == ("a", "b") and parsed.min_rgb == 5 and parsed.placement == "move"


def test_at_most_one_of_those_that_exclude_each_other():
    with pytest.raises(UsageError, match="not allowed with argument"):
        cleaning.parse(["--copy", "--move"])
