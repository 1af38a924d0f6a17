"""Settings as fields of frozen dataclasses, and the argparse flags that follow from them.

Example:
    @dataclass(frozen=True)
    class Camera:
        '''Camera'''

        width: int = setting(640, "camera width, pixels", whole(16, 4096))

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

Config = TypeVar("Config")


@dataclass(frozen=True)
class Setting:
    """What is known of a setting beside its name, type and default.

    Attributes:
        help: one sentence, with the unit.
        convert: makes a value of a word, or raises argparse.ArgumentTypeError; None for a switch.
        flag: its long flag; that of the field's name where it is empty.
        short: a second spelling, which the help shows first.
        alias: another one, which it shows last.
        nargs: number of values, when not one; "+" for one or more.
        choices: the values that are taken, when few.
        effect: where it has an effect: `learner` (always), `learning` (wherever something is learned),
            `training` (offline only), `online` (learning in flight only) or `flight` (with --online only).
        required: it has to be given.
        of_robot: its default in flight is the robot's own, out of the robot's file.
        more: what else a command wants to know of it.
        resumes: where it may differ when it is resumed, since it does not change what is learned:
            `training` (offline), `flight` (learning in flight) or `both`; nowhere if empty.
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
    of_robot: bool = False
    resumes: str = ""
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def setting(default: Any, help: str, convert: Optional[Callable[[str], Any]] = None, **more: Any) -> Any:
    """A dataclass field that is a setting; see `Setting`.

    A switch has no `convert` and is False. A default may be a function that makes it.
    """
    metadata = {"setting": Setting(help, convert, **more)}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Declared:
    """A setting with its field.

    Attributes:
        key: name of the field, and attribute under which argparse keeps it.
        default: its value where it is not given.
        group: heading in the help: the docstring of the class that declares it.
        about: what is known of it.
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
    found: Dict[str, Declared] = {}
    for owner in owners:
        found.update(declared(owner))
    for field in dataclasses.fields(config):
        if "setting" in field.metadata and field.name not in found:
            group = (config.__doc__ or "").split("\n")[0].rstrip(".")
            factory: Any = field.default_factory
            default = field.default if factory is dataclasses.MISSING else factory()
            found[field.name] = Declared(field.name, default, group, field.metadata["setting"])
    return found


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
    for each in declared(config).values():
        if keys is not None and each.key not in keys:
            continue
        if each.group not in groups:
            acronym = each.group[1:2].isupper()
            title = each.group if acronym else each.group[:1].lower() + each.group[1:]
            groups[each.group] = parser.add_argument_group(title)
        about = each.about
        text = about.help + (f" (the robot's own; drone: {each.default:g})" if about.of_robot else "")
        options: Dict[str, Any] = {"help": text.replace("%", "%%"), "dest": each.key}
        default = list(each.default) if isinstance(each.default, tuple) else each.default
        options["default"] = argparse.SUPPRESS if only_given else None if about.of_robot else default
        if about.convert is None:
            options["action"] = "store_true"
        else:
            options.update(type=about.convert, nargs=about.nargs, choices=about.choices)
            options["metavar"] = each.key.rsplit("_", 1)[-1].upper() if about.choices is None else None
        if about.required:
            options["required"] = True
        groups[each.group].add_argument(*each.names, **options)


def from_values(config: Type[Config], values: Mapping[str, Any]) -> Config:
    """A configuration from values by key; others than its fields' are left out, lists become tuples."""
    known = {field.name for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    taken = {key: value for key, value in values.items() if key in known}
    return config(**{key: tuple(value) if isinstance(value, list) else value for key, value in taken.items()})


def to_argv(values: Mapping[str, Any]) -> List[str]:
    """Values by key as words of a command line.

    True becomes the flag alone. False and None are left out. A list or tuple gives several words.
    """
    words: List[str] = []
    for key, value in values.items():
        if value is None or value is False:
            continue
        several = value if isinstance(value, (list, tuple)) else [] if value is True else [value]
        words += [f"--{key}", *map(str, several)]
    return words
