"""A strict command line: no abbreviations; an unknown flag is an error with the nearest name."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Dict, Iterable, List, NoReturn, Optional, Sequence

from nav_pkg.core import UsageError, nearest_name

_CALLED = ("", "")


def called(script: str, name: str) -> None:
    """Let a script's command name itself in usage and errors as what it was called by."""
    global _CALLED
    _CALLED = (script, name)


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """The help of all commands: indented lines of a description stay, such as examples.

    A default is shown unless it says nothing (None, False, empty), or the help text already names it.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip().split("\n\n")
        return "\n\n".join(
            part if "\n " in part else super(Help, self)._fill_text(part, width, indent)
            for part in paragraphs
        )

    def _get_help_string(self, action: argparse.Action) -> Optional[str]:
        says_nothing = action.default is None or action.default is False or action.default in ("", [], ())
        if says_nothing or "default" in (action.help or ""):
            return action.help
        if isinstance(action.default, (list, tuple)):
            words = " ".join(map(str, action.default)).replace("%", "%%")
            return f"{action.help} (default: {words})"
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises UsageError, takes no abbreviations and offers near names."""

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", Help)
        kwargs.setdefault("epilog", "--config FILE.yaml takes flags from a file, as `learning_rate: 0.1`.")
        if kwargs.get("prog") == _CALLED[0]:
            kwargs["prog"] = _CALLED[1]
        super().__init__(*args, **kwargs)

    def flags(self) -> list[str]:
        """All long flags, in order of declaration."""
        return [o for action in self._actions for o in action.option_strings if o.startswith("--")]

    def error(self, message: str) -> NoReturn:
        """Turn argparse's complaint into a UsageError."""
        raise UsageError(f"{self.prog}: {message} (see {self.prog} --help)")

    def parse_args(self, args: Optional[Sequence[str]] = None, namespace=None):  # type: ignore[override]
        """Parse; an unknown flag is a UsageError that names the nearest known one."""
        for word in sys.argv[1:] if args is None else args:
            try:
                word.encode()
            except UnicodeEncodeError:
                raise UsageError(f"{self.prog}: {ascii(word)} is not UTF-8 text") from None
        known, rest = self.parse_known_args(args, namespace)
        if rest:
            flag = rest[0].split("=")[0]
            hint = nearest_name(flag, self.flags()) if flag.startswith("-") else ""
            hint = hint if "did you mean" in hint else f"; see {self.prog} --help"
            kind = "flag" if flag.startswith("-") else "argument"
            raise UsageError(f"{self.prog}: unknown {kind} {flag!r}{hint}")
        return known


def check_known(prog: str, words: Iterable[str], known: List[str], ending: str = "") -> None:
    """Raise UsageError for the first flag that no parser of a command knows; offer the nearest name.

    Args:
        prog: name of the command.
        words: the words that the command's own parser left over.
        known: all flags that the command accepts.
        ending: end of the message if no name is near.
    """
    for flag in (word.split("=")[0] for word in words if word.startswith("--")):
        if flag not in known:
            hint = nearest_name(flag, known)
            raise UsageError(f"{prog}: unknown flag {flag!r}{hint if 'did you mean' in hint else ending}")


def by_flag(words: Iterable[str]) -> Dict[str, List[str]]:
    """Convert a command line to its flags and their values.

    Command lines that differ only in the order of their flags give equal results. A value may follow its flag
    after `=`. Words before the first flag are kept under an empty name.
    """
    values: Dict[str, List[str]] = {}
    name = ""
    for word in words:
        if re.match("--?[A-Za-z]", word):
            name, equals, rest = word.partition("=")
            values[name] = [rest] if equals else []
        else:
            values.setdefault(name, []).append(word)
    return values
