"""Types of settings: functions that convert a word of a command line, or say what is wrong with it."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from nav_pkg.core import UsageError, nearest_name

LONGEST_NAME, LONGEST_PATH = 200, 1000
"""Characters of a name. File systems take 255 and 4096, of which suffixes and the folders above need some."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*\Z")


def name(text: str) -> str:
    """An argparse type: a dataset, tag or run name; relative, and never leaving its folder."""
    if len(text) > LONGEST_PATH or any(len(part) > LONGEST_NAME for part in text.split("/")):
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r}... is too long for a name (at most {LONGEST_NAME} characters between two '/', "
            f"{LONGEST_PATH} in all)"
        )
    if not _NAME.match(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a name (letters, digits, '_', '-', '.', '+', with '/' between folders)"
        )
    return text


def integer(least: int, most: Optional[int] = None) -> Callable[[str], int]:
    """An argparse type: a whole number of at least `least`, at most `most`."""
    limits = f"at least {least}" if most is None else f"{least} to {most}"

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{value} is not {limits}")
        return value

    return convert


def real(least: float, most: float = math.inf, open_least: bool = False) -> Callable[[str], float]:
    """An argparse type: a finite number of at least (or, `open_least`, above) `least`, at most `most`."""
    limits = f"{'above' if open_least else 'at least'} {least:g}"
    limits += "" if math.isinf(most) else f" and at most {most:g}"

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        low = value <= least if open_least else value < least
        if not math.isfinite(value) or low or value > most:
            raise argparse.ArgumentTypeError(f"{text} is not {limits}")
        return value

    return convert


def buffer_size(text: str) -> int:
    """An argparse type: a number of frames, or -1 for as many as memory holds."""
    return -1 if text.strip() == "-1" else integer(1)(text)


def time_length(text: str) -> int:
    """An argparse type: a number of frames, or -1 for whole runs."""
    return -1 if text.strip() == "-1" else integer(1)(text)


def network(text: str) -> str:
    """An argparse type: a network's name, or FILE.py:NAME with the file made absolute."""
    path, colon, name = text.rpartition(":")
    if not colon and text.endswith(".py"):
        raise argparse.ArgumentTypeError(f"{text!r}: a network in a file needs its class: {text}:NAME")
    if not colon:
        return text
    file = Path(path).expanduser().resolve()
    if not path.endswith(".py") or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a network's name nor FILE.py:NAME")
    if not file.is_file():
        raise argparse.ArgumentTypeError(f"{text!r}: there is no file {file}")
    return f"{file}:{name}"


def absolute_network(words: Sequence[str]) -> List[str]:
    """A command line whose `--network FILE.py:NAME` means the same in every folder.

    Raises:
        UsageError: the file is not there.
    """
    converted: List[str] = []
    for word in words:
        flag, equals, value = word.partition("=")
        own = ".py:" in word
        try:
            if own and flag == "--network" and equals:
                word = f"--network={network(value)}"
            elif own and converted and converted[-1] == "--network":
                word = network(word)
        except argparse.ArgumentTypeError as error:
            raise UsageError(f"--network: {error}") from None
        converted.append(word)
    return converted


PERTURBATIONS: Dict[str, Tuple[float, str]] = {
    "light": (0.95, "the share by which a run is darkened, or brightened until that share undoes it"),
    "blur": (20.0, "standard deviation of the Gaussian blur, pixels"),
    "noise": (1.0, "standard deviation of the noise on each channel of each pixel, black to white being 1"),
}
"""By kind of perturbation of camera images: the largest strength, and what it means."""


def parse_perturbation(text: str) -> Tuple[str, float]:
    """Kind and strength of a perturbation, `KIND:STRENGTH`; `none` has strength 0.

    Raises:
        UsageError: an unknown kind, or a strength that can't be.
    """
    kind, colon, number = text.partition(":")
    if text == "none":
        return "none", 0.0
    if kind not in PERTURBATIONS:
        known = ["none", *PERTURBATIONS]
        raise UsageError(f"no perturbation is called {kind!r}{nearest_name(kind, known)}")
    most, meaning = PERTURBATIONS[kind]
    try:
        strength = float(number)
    except ValueError:
        strength = 0.0
    if not 0 < strength <= most:
        given = repr(number) if colon else "missing"
        raise UsageError(
            f"perturbation {kind}: the strength is {given}; give {kind}:S with S above 0 and at most "
            f"{most:g} ({meaning})"
        )
    return kind, strength


def perturbation(text: str) -> str:
    """An argparse type: `none`, or a perturbation of images and its strength."""
    try:
        kind, strength = parse_perturbation(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return "none" if kind == "none" else f"{kind}:{strength:g}"
