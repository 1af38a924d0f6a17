"""Settings as fields of frozen dataclasses, and the argparse flags that follow from them.

Example:
    @dataclass(frozen=True)
    class Camera:
        '''Camera'''

        width: int = setting(640, "camera width, pixels", integer(16, 4096))

    parser = Parser(prog="fly.py")
    add_arguments(parser, Camera)
    camera = from_values(Camera, vars(parser.parse_args()))

Libraries were tried first: jsonargparse 4.40 takes switches and lists in another form (`--discrete true`),
simple-parsing accepts shortened flags, tyro 1.0 does not tell which flags were given (`effect` needs that).
"""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass
from typing import Any, Callable, Collection, Dict, List, Mapping, Optional, Sequence, Type, TypeVar, Union

from nav_pkg.config.parser import Parser

Config = TypeVar("Config")


@dataclass(frozen=True)
class Setting:
    """The properties of a setting other than its name, type and default.

    Attributes:
        help: help text: one sentence, with the unit.
        convert: converts a word to a value, or raises argparse.ArgumentTypeError; None for a switch.
        flag: the long flag; if empty, `--` and the name of the field.
        short: a second spelling of the flag, which the help shows first.
        alias: a third spelling of the flag, which the help shows last.
        nargs: number of values; None for one value, "+" for one or more.
        choices: the allowed values; None if `convert` checks them.
        effect: where the setting has an effect: `learner` (always), `learning` (in every training),
            `training` (offline only), `online` (learning in flight only) or `flight` (with --online only).
        required: the user must give the setting.
        positional: the value is given without a flag.
        repeated: the flag may be given several times; the value is a tuple.
        exclusive: name of a group; at most one setting of a group can be given.
        metavar: placeholder of the value in the help; by default the last word of the field's name.
        of_robot: in flight, the default comes from the robot's file.
        more: further properties that a command reads.
        resumes: where a resumed command may change the setting, because it does not change what is learned:
            `training` (offline), `flight` (learning in flight) or `both`; empty: nowhere.
    """

    help: str
    convert: Optional[Callable[[str], Any]] = None
    flag: str = ""
    short: str = ""
    alias: str = ""
    nargs: Union[int, str, None] = None
    choices: Optional[Sequence[str]] = None
    effect: str = "learner"
    required: bool = False
    positional: bool = False
    repeated: bool = False
    exclusive: str = ""
    metavar: str = ""
    of_robot: bool = False
    resumes: str = ""
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def setting(default: Any, help: str, convert: Optional[Callable[[str], Any]] = None, **more: Any) -> Any:
    """A dataclass field that is a setting; see `Setting`.

    A switch has no `convert` and is False. A default may be a function that makes it.
    """
    return _field(default, Setting(help, convert, **more))


def _field(default: Any, about: Setting) -> Any:
    metadata = {"setting": about}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def shared(config: type, key: str, **changes: Any) -> Any:
    """A dataclass field that is a setting of another configuration, which declares it.

    Example: `alpha: float = shared(FlightConfig, "alpha", default=0.0)`

    Args:
        config: the configuration that declares the setting.
        key: its key there.
        changes: what differs here: `default`, or other values of `Setting`.
    """
    original = {field.name: field for field in dataclasses.fields(config)}[key]
    factory: Any = original.default_factory
    default = changes.pop("default", original.default if factory is dataclasses.MISSING else factory)
    return _field(default, dataclasses.replace(original.metadata["setting"], **changes))


@dataclass(frozen=True)
class Declared:
    """A setting with its field.

    Attributes:
        key: name of the field, and of argparse's attribute.
        default: the value if the setting is not given.
        group: heading in the help: the docstring of the class that declares the setting.
        about: the properties of the setting.
    """

    key: str
    default: Any
    group: str
    about: Setting

    @property
    def flag(self) -> str:
        """Its long flag."""
        return self.about.flag or f"--{self.key}"

    @property
    def names(self) -> List[str]:
        """All its spellings, as the help shows them."""
        return [name for name in (self.about.short, self.flag, self.about.alias) if name]


def declared(config: type) -> Dict[str, Declared]:
    """The settings of a dataclass by key, those of its bases first to last."""
    owners = [base for base in config.__bases__ if dataclasses.is_dataclass(base)]
    settings: Dict[str, Declared] = {}
    for owner in owners:
        settings.update(declared(owner))
    for field in dataclasses.fields(config):
        if "setting" in field.metadata and field.name not in settings:
            group = (config.__doc__ or "").split("\n")[0].rstrip(".")
            factory: Any = field.default_factory
            default = field.default if factory is dataclasses.MISSING else factory()
            settings[field.name] = Declared(field.name, default, group, field.metadata["setting"])
    return settings


def add_arguments(
    parser: argparse.ArgumentParser,
    config: type,
    only_given: bool = False,
    keys: Optional[Collection[str]] = None,
) -> None:
    """Declare a dataclass's settings on a parser, in groups. One `of_robot` is None where it is not given.

    Args:
        parser: the parser.
        config: the dataclass.
        only_given: leave flags that are not given out of the result, instead of their defaults.
        keys: of the settings to declare; None for all.
    """
    groups: Dict[str, Any] = {}
    exclusive: Dict[str, Any] = {}
    for each in declared(config).values():
        if keys is not None and each.key not in keys:
            continue
        if each.group not in groups:
            acronym = each.group[1:2].isupper()
            title = each.group if acronym else each.group[:1].lower() + each.group[1:]
            groups[each.group] = parser.add_argument_group(title)
        target = groups[each.group]
        name = each.about.exclusive
        if name:
            if name not in exclusive:
                exclusive[name] = target.add_mutually_exclusive_group()
            target = exclusive[name]
        names = [each.key] if each.about.positional else each.names
        target.add_argument(*names, **_options(each, only_given))


def _options(each: Declared, only_given: bool) -> Dict[str, Any]:
    """The keyword arguments of `add_argument` for a setting."""
    about = each.about
    text = about.help + (f" (the robot's own; drone: {each.default:g})" if about.of_robot else "")
    options: Dict[str, Any] = {"help": text.replace("%", "%%")}
    default = list(each.default) if isinstance(each.default, tuple) else each.default
    options["default"] = argparse.SUPPRESS if only_given else None if about.of_robot else default
    if about.convert is None:
        options["action"] = "store_true"
    else:
        options.update(type=about.convert, nargs=about.nargs, choices=about.choices)
        if about.repeated:
            options["action"] = "append"
        if about.metavar or (about.choices is None and not about.positional):
            options["metavar"] = about.metavar or each.key.rsplit("_", 1)[-1].upper()
    if not about.positional:
        options["dest"] = each.key
        if about.required:
            options["required"] = True
    return options


def from_values(config: Type[Config], values: Mapping[str, Any]) -> Config:
    """A configuration from values by key; others than its fields' are left out, lists become tuples."""
    known = {field.name for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    taken = {key: value for key, value in values.items() if key in known}
    return config(**{key: tuple(value) if isinstance(value, list) else value for key, value in taken.items()})


def make_parser(config: type, prog: str, about: str) -> Parser:
    """The parser of a command whose flags are the settings of a dataclass.

    Args:
        config: the dataclass.
        prog: name of the command.
        about: what it does, with examples.
    """
    parser = Parser(prog=prog, description=about)
    add_arguments(parser, config)
    return parser


def parse(config: Type[Config], argv: Optional[Sequence[str]], prog: str, about: str) -> Config:
    """Parse the command line of such a command.

    Raises:
        UsageError: a flag is unknown, or its value can't be.
    """
    return from_values(config, vars(make_parser(config, prog, about).parse_args(argv)))


def to_argv(settings: Any, *always: str) -> List[str]:
    """Settings as words of a command line.

    Example: `to_argv(SessionConfig(log_tag="mine", create_dataset=True))` is `["-t", "mine", "-ds"]`.

    True gives only the flag. False and None are left out. A tuple gives several words.

    Args:
        settings: a configuration, whose values are given where they differ from the defaults; or all values
            to give, by key.
        always: keys that are given even where the value is the default.
    """
    if isinstance(settings, Mapping):
        given = [(f"--{key}", value) for key, value in settings.items()]
    else:
        known = declared(type(settings))
        values = {key: getattr(settings, key) for key in known}
        chosen = [each for key, each in known.items() if key in always or values[key] != each.default]
        chosen.sort(key=lambda each: not each.about.positional)
        given = [
            ("" if each.about.positional else each.about.short or each.flag, value)
            for each in chosen
            for value in (values[each.key] if each.about.repeated else [values[each.key]])
        ]
    words: List[str] = []
    for flag, value in given:
        if value is None or value is False:
            continue
        several = value if isinstance(value, (list, tuple)) else [] if value is True else [value]
        words += [*([flag] if flag else []), *map(str, several)]
    return words
