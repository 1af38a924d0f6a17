"""Check roslaunch's arguments: it accepts any NAME:=VALUE, so a misspelt one would keep its default."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import List, Sequence
from xml.etree import ElementTree

from nav_pkg.core import ROOT, UsageError, nearest_name


def check() -> None:
    """Where roslaunch started this process, look at its arguments.

    Raises:
        UsageError: the launch file has no argument of that name.
    """
    parent = Path("/proc", str(os.getppid()))
    try:
        words = (parent / "cmdline").read_bytes().decode(errors="replace").split("\0")
        folder = Path(os.readlink(parent / "cwd"))
    except OSError:
        return
    check_words(words, folder)


def check_words(words: Sequence[str], folder: Path) -> None:
    """Look at the arguments of a command line, if it is roslaunch's.

    Args:
        words: of the command line.
        folder: the process's working folder.

    Raises:
        UsageError: no launch file on it has an argument of that name.
    """
    if not any(os.path.basename(word) == "roslaunch" for word in words[:4]):  # after python and its flags
        return
    own = ROOT / "launch" if "nav_pkg" in words else folder
    files = [own / word for word in words if word.endswith(".launch")]
    if not files or not all(file.is_file() for file in files):  # another package's
        return
    known: List[str] = []
    for file in files:
        try:
            root = ElementTree.parse(file).getroot()
        except ElementTree.ParseError:  # roslaunch's to tell
            return
        if any(include.get("pass_all_args") == "true" for include in root.iter("include")):
            return
        declared = root.findall("arg")
        known += [arg.get("name", "") for arg in declared if "value" not in arg.attrib]
    for given in (re.match(r"([A-Za-z]\w*):=", word) for word in words):
        if given and given.group(1) not in known:
            name = given.group(1)
            raise UsageError(f"{files[0].name}: no argument {name!r}{nearest_name(name, known)}")
