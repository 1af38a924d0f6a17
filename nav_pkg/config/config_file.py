"""Flags in a YAML file: `--config FILE.yaml` of every command.

Example: with `mine.yaml`

    network: tiny_net
    discrete: true
    learning_rate: 0.1

`main.py --config mine.yaml --learning_rate 0.01` is
`main.py --network tiny_net --discrete --learning_rate 0.1 --learning_rate 0.01`: the command line overrides
the file.
"""

from __future__ import annotations

import re
from typing import List, Sequence, Tuple

from nav_pkg.config.setting import to_argv
from nav_pkg.core import DataError, UsageError
from nav_pkg.reading import read_yaml

FLAG = "--config"
_NAME = re.compile(r"[A-Za-z]\w*")


def expand(argv: Sequence[str]) -> Tuple[List[str], List[str]]:
    """Replace each `--config FILE` by the flags in the file.

    They are inserted before the first flag, so that the flags of the command line override them.

    Args:
        argv: words of a command line.

    Returns:
        The words without `--config`, and the files.

    Raises:
        UsageError: no file is given.
        DataError: a file cannot be read, or is not a mapping of flags.
    """
    rest: List[str] = []
    files: List[str] = []
    words = iter(argv)
    for word in words:
        flag, equals, file = word.partition("=")
        if flag != FLAG:
            rest.append(word)
            continue
        file = file if equals else next(words, "")
        if not file or file.startswith("-"):
            raise UsageError(f"{FLAG}: give a YAML file")
        files.append(file)
    start = next((i for i, word in enumerate(rest) if word.startswith("-")), len(rest))
    return rest[:start] + [word for file in files for word in _flags(file)] + rest[start:], files


def _flags(file: str) -> List[str]:
    flags = read_yaml(file)
    for key, value in flags.items():
        if not _NAME.fullmatch(key):
            raise DataError(f"{file}: {key!r}: not the name of a flag; write learning_rate: 0.1")
        values = value if isinstance(value, list) else [value]
        if any(isinstance(each, (dict, list)) for each in values):
            raise DataError(f"{file}: {key}: must be one value or a list of values")
    return to_argv(flags)
