"""The parts of launch files that follow from the settings; `reference.py` writes them.

`graph.launch` hands every setting of a flight to the supervisor. `collect.launch`, `online.launch` and
`evaluate.launch` each start one command and hand its settings over as flags:

    roslaunch nav_pkg collect.launch runs:=2 reverse:=true  ->  run_script.py --number_of_runs 2 --reverse ...

A new field of `FlightConfig` or `SessionConfig` becomes an argument of all these files.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Dict, List, Mapping, Tuple
from xml.sax.saxutils import quoteattr

from nav_pkg.config.evaluation import FIXED_BY_EVALUATION, EvaluationConfig
from nav_pkg.config.flight import FlightConfig
from nav_pkg.config.learner import LearnerConfig
from nav_pkg.config.session import SessionConfig
from nav_pkg.config.setting import Declared, declared

ARGUMENTS = {
    "log_tag": "tag",
    "number_of_runs": "runs",
    "random_seed": "seed",
    "checkpoint_path": "checkpoint",
    "worlds": "world",
    "graphics": "gui",
}
"""By key of a setting: the launch files' name for it, where that is another."""
NEGATED = {
    "free_running": ("lockstep", "simulated time waits for every answer; false: real time"),
    "shared_master": ("private", "own ROS master; false: the one of this roslaunch"),
}
"""By key of a switch: the argument that turns it off, with its help."""
ENVIRONMENT = {
    "summary_dir": "$(optenv NAV_PKG_LOG ~/.local/share/nav_pkg/log)",
    "data_root": "$(optenv NAV_PKG_DATA ~/.local/share/nav_pkg/data)",
}
"""By key: defaults that roslaunch reads from the environment."""
NO_ARGUMENTS = ("create_dataset", "data_location", "auto_go", "pause_simulator", "no_training")
"""Keys of settings that a launch file sets itself, or that have no effect."""


@dataclass(frozen=True)
class LaunchFile:
    """A launch file that starts one command.

    Attributes:
        settings: by key, the settings of the command that are arguments.
        always: keys whose flag is given to the command at every value. Other flags are given only where
            the value is not the command's default, so that a new setting changes no command line.
        defaults: by key, defaults that differ from the command's.
        helps: by key, help texts that differ from the settings' own.
        names: by key, names of arguments that differ from those of the other launch files.
    """

    settings: Mapping[str, Declared]
    always: Tuple[str, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    helps: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def lines(self) -> List[str]:
        """The launch file's arguments, and `flags` and `changed`, the flags that they give."""
        lines = [self._argument(each) for each in self.settings.values()]
        text = " ".join(self._flag(self.settings[key]) for key in self.always)
        lines.append(f'  <arg name="flags" value={quoteattr(text)}/>')
        others = [self._changed(each) for key, each in self.settings.items() if key not in self.always]
        joined = " +\n      ".join(others)
        return [*lines, *f'  <arg name="changed" value="$(eval\n      {joined})"/>'.split("\n")]

    def _name(self, key: str) -> str:
        return self.names.get(key) or ARGUMENTS.get(key, key)

    def _argument(self, each: Declared) -> str:
        about, key = each.about, each.key
        if key in NEGATED:
            name, text = NEGATED[key]
            return _arg(name, "true", self.helps.get(key, text))
        text = self.helps.get(key, about.help)
        if about.choices:
            text += f": {', '.join(about.choices)}"
        if key not in self.helps and isinstance(each.default, tuple):
            text += "; several are separated by spaces"
        if about.required and key not in self.defaults:
            return f"  <arg name={quoteattr(self._name(key))} doc={quoteattr(text)}/>"
        if about.of_robot:
            text += f"; empty: the robot's own (drone: {each.default:g})"
        return _arg(self._name(key), self._default(each), text)

    def _default(self, each: Declared) -> str:
        if each.key in ENVIRONMENT:
            return ENVIRONMENT[each.key]
        return "" if each.about.of_robot else launch_value(self.defaults.get(each.key, each.default))

    def _flag(self, each: Declared) -> str:
        value = f"$(arg {self._name(each.key)})"
        return f"{each.flag} {value}" if isinstance(each.default, tuple) else f"{each.flag} '{value}'"

    def _changed(self, each: Declared) -> str:
        """A Python expression for a flag, empty at the command's default."""
        if each.key in NEGATED:
            return f"('' if arg('{NEGATED[each.key][0]}') else '{each.flag} ')"
        value, default = f"arg('{self._name(each.key)}')", each.default
        if isinstance(default, bool):
            return f"('{each.flag} ' if {value} else '')"
        absent = default is None or each.about.of_robot
        quoted = f"'{each.flag} &quot;' + str({value}) + '&quot; '"  # a path may hold spaces
        return f"({quoted} if {value} != {'' if absent else default!r} else '')"


_FLIES_ALWAYS = (
    *("log_tag", "world", "listen", "robot", "number_of_runs", "random_seed", "expert", "alpha", "start"),
    *("control_delay", "noise", "sigma_yaw", "max_duration", "summary_dir", "data_root"),
)
_SESSION = {key: each for key, each in declared(SessionConfig).items() if key not in NO_ARGUMENTS}
_TRUST = {"trust_torchscript": declared(LearnerConfig)["trust_torchscript"]}
_EVALUATION = {
    **declared(EvaluationConfig),
    **{
        key: each
        for key, each in _SESSION.items()
        if key not in declared(EvaluationConfig) and not {*each.names} & {*FIXED_BY_EVALUATION}
    },
}

LAUNCH_FILES: Dict[str, LaunchFile] = {
    "collect.launch": LaunchFile(
        settings={**_SESSION, **_TRUST},
        always=_FLIES_ALWAYS,
        defaults={"log_tag": "collected"},
        helps={"log_tag": "name of the dataset, and of the log folder"},
        names={"log_tag": "dataset"},
    ),
    "online.launch": LaunchFile(
        settings={key: each for key, each in _SESSION.items() if key not in ("shard", "evaluation")},
        always=(
            *_FLIES_ALWAYS,
            *("final_evaluation_runs", "alpha_schedule", "alpha_end", "alpha_runs", "alpha_decay"),
            *("takeover_distance", "takeover_clearance", "epsilon", "epsilon_decay"),
        ),
        defaults={"log_tag": "online", "number_of_runs": 4, "alpha": 0.5, "start": "route"},
        helps={"checkpoint_path": "checkpoint from which learning starts; empty: from scratch"},
    ),
    "evaluate.launch": LaunchFile(
        settings=_EVALUATION,
        always=(
            *("log_tag", "checkpoint_path", "worlds", "listen", "robot", "number_of_runs", "random_seed"),
            *("directions", "control_delays", "perturbations", "jobs", "expert", "alpha", "max_duration"),
            "summary_dir",
        ),
        defaults={"log_tag": "evaluate"},
        helps={"shared_master": "own ROS masters; false: the one of this roslaunch (one simulator only)"},
    ),
}
"""The launch files whose arguments are settings, by name."""


def _arg(name: str, default: str, text: str) -> str:
    return f"  <arg name={quoteattr(name)} default={quoteattr(default)} doc={quoteattr(text)}/>"


def launch_value(value: Any) -> str:
    """A default as roslaunch writes it."""
    if isinstance(value, tuple):
        return " ".join(map(launch_value, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def flight_arguments() -> List[str]:
    """The arguments of graph.launch that are settings of a flight."""
    return [
        f"  <arg name={quoteattr(each.key)} default={quoteattr(launch_value(each.default))} "
        f"doc={quoteattr(each.about.help)}/>"
        for each in declared(FlightConfig).values()
    ]


def flight_parameters() -> List[str]:
    """The supervisor's parameters that are settings of a flight, as graph.launch sets them."""
    texts = {field.name for field in fields(FlightConfig) if field.type in (str, "str")}
    quote = {True: '"', False: ""}
    return [
        f"      {key}: {quote[key in texts]}$(arg {key}){quote[key in texts]}"
        for key in declared(FlightConfig)
    ]
