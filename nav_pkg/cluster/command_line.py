"""Route each flag of a cluster command (dag_*.py) to the script that owns it.

A command line contains flags of several layers: the command's own flags, and flags of the scripts that its
jobs run. Each flag goes to the layer that owns it. The layer checks it with its own parser before submission.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from nav_pkg.config import learner
from nav_pkg.config import session as session_config
from nav_pkg.config.cluster import LENIENT, MODELS, RETIRED, SETTINGS, make_parser, users
from nav_pkg.config.evaluation import make_evaluation_parser
from nav_pkg.config.learner import RETIRED as RETIRED_LEARNER
from nav_pkg.config.parser import Parser
from nav_pkg.config.setting import Declared
from nav_pkg.core import UsageError, nearest_name


class Layer(NamedTuple):
    """A script that jobs run.

    Attributes:
        script: name of the script.
        parser: parser of its flags.
        fixed: flags that the command sets itself, each with advice for the error message.
        only: the flags that are accepted; None for all.
    """

    script: str
    parser: Parser
    fixed: Mapping[str, str] = {}
    only: Optional[Tuple[str, ...]] = None

    def takes(self, flag: str) -> Optional[argparse.Action]:
        """The argparse action of a flag; None if the script does not have it or it is not in `only`."""
        if self.only is not None and flag not in self.only:
            return None
        return self.parser._option_string_actions.get(flag)


def all_layers() -> List[Layer]:
    """All scripts that jobs of any command run."""
    from nav_pkg.config import cleaning

    return [
        Layer("run_script.py", session_config.make_parser()),
        Layer("main.py", learner.make_parser()),
        Layer("clean_dataset.py", cleaning.make_parser()),
        Layer("evaluate.py", make_evaluation_parser()),
    ]


def _count(action: argparse.Action, words: Sequence[str], known: Any) -> int:
    """The number of words after a flag that are its values."""
    if action.nargs == 0:
        return 0
    if isinstance(action.nargs, int):
        return min(action.nargs, len(words))
    if action.nargs is None:
        return min(1, len(words))
    count = 0
    for word in words:
        if known(word.split("=")[0]) or (word.startswith("-") and not re.match(r"-[\d.]", word)):
            break
        count += 1
    return count


def route(
    command: str,
    own: Parser,
    layers: Sequence[Layer],
    argv: Sequence[str],
    shared: Sequence[str] = (),
) -> Tuple[argparse.Namespace, Dict[str, List[str]]]:
    """Route every word of a command line to the layer that owns it.

    Args:
        command: name of the command.
        own: parser of the command's own flags, which take precedence.
        layers: the scripts that its jobs run; if several have a flag, the first one gets it.
        argv: the command line.
        shared: flags that go to every layer that has them.

    Returns:
        The command's own flags, and the words of each script as typed.

    Raises:
        UsageError: a flag is unknown, no job uses it, or the command sets it itself.
    """
    own_words: List[str] = []
    words: Dict[str, List[str]] = {layer.script: [] for layer in layers}
    argv = list(argv)
    lenient = "--allow_unused_flags" in argv or os.environ.get(LENIENT, "") not in ("", "0")
    own_actions = own._option_string_actions

    def known(flag: str) -> bool:
        return flag in own_actions or any(layer.takes(flag) for layer in layers)

    at = 0
    while at < len(argv):
        word = argv[at]
        flag, joined, _ = word.partition("=")
        at += 1
        if not flag.startswith("-") or flag == "-":
            raise UsageError(f"{command}: unknown argument {word!r}; see {command} --help")
        owners = [layer for layer in layers if layer.takes(flag)]
        action = own_actions.get(flag) or (owners[0].takes(flag) if owners else None)
        if action is None:
            action = _unused(command, own, layers, flag, lenient)
            at += 0 if joined else _count(action, argv[at:], known)
            continue
        values = [] if joined else argv[at : at + _count(action, argv[at:], known)]
        at += len(values)
        if flag in own_actions:
            own_words += [word, *values]
            continue
        if flag in owners[0].fixed:
            cure = owners[0].fixed[flag] or "leave it out"
            raise UsageError(f"{command}: {flag} is what {command} sets for its jobs: {cure}")
        for layer in owners if flag in shared else owners[:1]:
            words[layer.script] += [word, *values]
    return own.parse_args(own_words), words


def _unused(command: str, own: Parser, layers: Sequence[Layer], flag: str, lenient: bool) -> argparse.Action:
    """Handle a flag that no job of the command uses: raise an error, or warn if `lenient`.

    Both messages say what to give instead.

    Returns:
        The flag's argparse action, with which the caller skips its values.

    Raises:
        UsageError: the flag is unknown, or unused flags are not allowed.
    """
    retired = RETIRED.get(flag) or RETIRED_LEARNER.get(flag)
    not_needed = RETIRED.get(flag, "").startswith("is not needed: ")
    if retired and not (lenient and not_needed):
        raise UsageError(f"{command}: {flag} {retired}")
    if retired:
        print(f"warning: {command}: {flag} {retired}; ignored", file=sys.stderr)
        return argparse.Action([flag], "", nargs=None)
    action, text = None, ""
    for other in SETTINGS.values():
        if flag in other.names:
            owners = ", ".join(users(other))
            right = _right_one(command, other)
            text = f"{flag} belongs to {owners}; no job of {command} uses it: {right}"
            action = make_parser(users(other)[0], "")._option_string_actions[flag]
    for layer in all_layers():
        match = layer.parser._option_string_actions.get(flag)
        if action is None and match is not None:
            action, text = (
                match,
                f"{flag} belongs to {layer.script}, which no job of {command} runs: leave it out",
            )
    if action is None:
        names = own.flags() + [name for layer in layers for name in layer.parser.flags()]
        hint = nearest_name(flag, names)
        hint = hint if "did you mean" in hint else f"; see {command} --help"
        raise UsageError(f"{command}: unknown flag {flag!r}{hint}")
    if not lenient:
        raise UsageError(f"{command}: {text} (--allow_unused_flags ignores it)")
    print(f"warning: {command}: {text}; ignored", file=sys.stderr)
    return action


def _right_one(command: str, other: Declared) -> str:
    """Advice what to give instead of another command's flag: a flag of the same family, if one exists."""
    family = other.flag.rsplit("_", 1)[0] if other.flag.count("_") > 1 else other.flag
    same = [
        each.flag
        for each in SETTINGS.values()
        if command in users(each) and each.flag.startswith(family) and each is not other
    ]
    if family.startswith(("--wall_time", "--gpumem")) and same:
        return f"give {' or '.join(same)}"
    instead = other.about.more["instead"]
    return instead if instead and command in MODELS else "leave it out"
