"""Command lines that mean the same on the hosts of jobs, which run in other folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Sequence

from nav_pkg.config.types import absolute_network
from nav_pkg.core import ROOT, UsageError
from nav_pkg.world.plan_file import PLANS, absolute, is_plan_file


def portable(words: Sequence[str], command: str, summary_dir: Path, file_transfer: bool) -> List[str]:
    """Convert paths in the words so that they are valid for jobs, in other folders and on other hosts.

    Args:
        words: flags of a script that jobs run.
        command: name of the cluster command, for error messages.
        summary_dir: folder of all logs.
        file_transfer: whether HTCondor transfers files, because the hosts share no file system with this one.

    Raises:
        UsageError: with file transfer, a file of this host is not transferred.
    """
    portable_words, flag, context = [], "", (command, summary_dir, file_transfer)
    for word in words:
        if not word.startswith("-"):
            portable_words.append(_portable_value(flag, word, *context))
            continue
        flag, equals, value = word.partition("=")
        portable_words.append(f"{flag}={_portable_value(flag, value, *context)}" if equals else word)
    return portable_words


def _portable_value(flag: str, value: str, command: str, summary_dir: Path, file_transfer: bool) -> str:
    path = Path(value).expanduser()
    if flag in ("-m", "--checkpoint_path") and (path.is_absolute() or ".." in path.parts):
        path = Path(os.path.normpath(summary_dir / path))
        if summary_dir in path.parents:
            return str(path.relative_to(summary_dir))
        if file_transfer:
            raise UsageError(
                f"{command}: {flag} {value}: with --file_transfer a checkpoint must be in the "
                f"folder of all logs, {summary_dir}: copy it there"
            )
        return str(path)
    if flag == "--network" and ".py:" in value:
        if file_transfer:
            raise UsageError(
                f"{command}: {flag} {value}: with --file_transfer a network is sent with the "
                "code: put "
                f"the file into {ROOT}/nav_pkg/nets and give the network's name"
            )
        return absolute_network([flag, value])[1]
    if flag == "--robot" and value.endswith(".yaml"):
        if file_transfer:
            raise UsageError(
                f"{command}: --robot {value}: with --file_transfer a robot is sent with the code: "
                f"put the file into {ROOT}/config/robot and give its name"
            )
        return str(path.resolve())
    if flag in ("-w", "--world", "--worlds") and is_plan_file(value):
        if file_transfer:
            raise UsageError(
                f"{command}: {flag} {value}: with --file_transfer a world is sent with the code: "
                f"put the file into {PLANS} and give its name"
            )
        return absolute(value)
    return value
