"""The log folder of a training run: begun, resumed, or refused.

`config.json` freezes what the run was started with. A run is resumed only under the same
configuration, so that what comes out is what an uninterrupted run would have given.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Iterable, Optional

from nav_pkg import schemas
from nav_pkg.config.learner import SETTINGS
from nav_pkg.core import DataError, UsageError
from nav_pkg.data.files import (
    atomic_write,
    disk_error,
    lock_beside,
    printable,
    read_json,
    remove_tree,
    sweep,
    to_json,
)
from nav_pkg.learn.places import MODEL_FILE

CONFIG_FILE = "config.json"
RESULTS_FILE = "results.json"
DEFAULT_TAG = "testing"
"""This log tag is for trying things out: what it holds is always overwritten."""


_LOCKS: dict[Path, int] = {}
"""The lock files' descriptors of the folders that this process trains in, by the folders' real paths."""


def open_folder(summary_dir: Path, tag: str, overwrite: bool) -> Path:
    """The log folder of a tag, existing, writable and this process' own.

    No other process may open it until this one calls `close_folder` or ends, in whatever way.

    Args:
        summary_dir: the folder of all logs.
        tag: the folder's name below it.
        overwrite: remove what it holds; always done for the tag `testing`.

    Raises:
        UsageError: another process trains in it, or what would be removed is not one training run's
            log.
        DataError: the folder cannot be made.
    """
    folder = summary_dir / tag
    try:
        _lock(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    if folder.exists() and (overwrite or tag == DEFAULT_TAG):
        _check_is_log(folder)
        remove_tree(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)  # what a killed run was writing
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def close_folder(folder: Path) -> None:
    """Let other processes open the folder."""
    descriptor = _LOCKS.pop(folder.resolve(), None)
    if descriptor is not None:
        os.close(descriptor)


def _lock(folder: Path) -> None:
    """Take the folder for this process; the kernel gives it back at its death.

    The lock file lies beside the folder, as that of a session of flights does: it outlives --owr, and
    a training and a session cannot share a folder either.
    """
    if folder.resolve() in _LOCKS:
        return
    descriptor = lock_beside(folder)
    if descriptor is None:
        raise UsageError(
            f"{folder}: another process is using this log folder: wait for it, or use another --log_tag"
        )
    _LOCKS[folder.resolve()] = descriptor


def _unwritable(folder: Path, error: OSError) -> DataError:
    return DataError(str(disk_error(folder, error)).replace("--data_root", "--summary_dir"))


def _check_is_log(folder: Path) -> None:
    """Refuse to remove anything but one log: a wrong tag must not cost a tree of results."""
    ours = (CONFIG_FILE, MODEL_FILE)
    empty = not any(folder.iterdir())
    if not empty and not any((folder / name).is_file() for name in ours):
        raise UsageError(
            f"{folder}: not a training log, so --owr leaves it: remove it, or use another --log_tag"
        )
    for name in ours:
        for inner in folder.rglob(name):
            if inner.parent != folder:
                raise UsageError(
                    f"{folder}: holds the log {inner.parent.relative_to(folder)} too, so --owr leaves it: "
                    "remove it, or use another --log_tag"
                )


def can_resume(folder: Path) -> bool:
    """Whether the folder holds a run to go on with."""
    return (folder / MODEL_FILE).is_file()


def resumable_folder(summary_dir: Path, tag: str, overwrite: bool) -> Optional[Path]:
    """The log folder of a tag where it holds a run to resume; None where one begins."""
    folder = summary_dir / tag
    return None if overwrite or tag == DEFAULT_TAG or not can_resume(folder) else folder


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """Freeze the configuration."""
    atomic_write(folder / CONFIG_FILE, to_json(config), "--summary_dir")


def remove_results(folder: Path) -> None:
    """Remove the results of a training that is resumed.

    Raises:
        DataError: the file system refuses, or something else has their name.
    """
    try:
        (folder / RESULTS_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(folder / RESULTS_FILE, error) from error


def started_with(folder: Path) -> dict[str, Any]:
    """The flags, by key, that a folder's run was started with; empty where it does not say."""
    file = folder / CONFIG_FILE
    return read_json(file, schemas.CONFIG)["flags"] if os.path.lexists(file) else {}


def check_config(folder: Path, config: dict[str, Any], free: Iterable[str]) -> dict[str, Any]:
    """Check that the folder's run was started with the present configuration.

    Args:
        folder: a folder for which `can_resume`.
        config: the present configuration: `flags`, `dataset`, ...
        free: flags that may differ.

    Returns:
        The configuration that the run was started with.

    Raises:
        UsageError: a flag or the dataset's content differs; names it.
    """
    if not os.path.lexists(folder / CONFIG_FILE):
        raise UsageError(
            f"{folder}: holds {MODEL_FILE} but no {CONFIG_FILE}, so it is no training run to go on with: "
            "give --owr to start anew, or another --log_tag"
        )
    before = read_json(folder / CONFIG_FILE, schemas.CONFIG)
    now = json.loads(to_json(config))
    remedy = "give the same, --owr to start anew, or another --log_tag"
    for flag, value in now["flags"].items():
        # a run of an earlier version lacks the settings that came after it: it had their defaults
        was = before["flags"].get(flag, SETTINGS[flag].default if flag in SETTINGS else value)
        if flag not in free and was != value:
            raise UsageError(
                f"{folder}: was started with --{flag} {_show(was)}, not {_show(value)}: {remedy}"
            )
    if (before.get("dataset") or {}).get("hash") != now["dataset"]["hash"]:
        raise UsageError(
            f"{folder}: the content of --dataset {now['flags']['dataset']} has changed since it was started: "
            "give --owr to start anew, or another --log_tag"
        )
    return before


def _show(value: Any) -> str:
    if isinstance(value, list):
        value = " ".join(map(str, value)) or "nothing"
    text = repr(value) if value in ("", None) else printable(str(value))
    return text if len(text) <= 200 else f"{text[:200]}..."
