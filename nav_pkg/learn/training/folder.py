"""The log folder of a training run: create it, resume it, or refuse it.

`config.json` stores the configuration that the run started with. A run resumes only with the same
configuration: its result is then the same as that of an uninterrupted run.
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
    lock_folder,
    printable,
    read_json,
    remove_tree,
    sweep,
    to_json,
)
from nav_pkg.learn.checkpoints.checkpoint_paths import MODEL_FILE

CONFIG_FILE = "config.json"
RESULTS_FILE = "results.json"
DEFAULT_TAG = "testing"
"""Log tag for experiments; the content of its folder is always overwritten."""


_LOCKS: dict[Path, int] = {}
"""Descriptors of the lock files of the folders that this process trains in, by the folders' real paths."""


def open_folder(summary_dir: Path, tag: str, overwrite: bool) -> Path:
    """Create the log folder of a tag if it is missing, and lock it for this process.

    No other process can open it until this process calls `close_folder` or ends, even by a crash.

    Args:
        summary_dir: the folder of all logs.
        tag: the folder's name below it.
        overwrite: remove the folder's content; always done for the tag `testing`.

    Raises:
        UsageError: another process trains in it, or the content to remove is not the log of one training
            run.
        DataError: the folder cannot be created.
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
        sweep(folder)  # temporary files of a killed run
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def close_folder(folder: Path) -> None:
    """Unlock the folder: other processes may open it."""
    descriptor = _LOCKS.pop(folder.resolve(), None)
    if descriptor is not None:
        os.close(descriptor)


def _lock(folder: Path) -> None:
    """Lock the folder for this process; the kernel releases the lock when the process ends.

    The lock file lies beside the folder. It therefore survives --owr. A session of flights locks the same
    way: a training and a session cannot share a folder either.
    """
    if folder.resolve() in _LOCKS:
        return
    descriptor = lock_folder(folder)
    if descriptor is None:
        raise UsageError(
            f"{folder}: another process is using this log folder: wait for it, or use another --log_tag"
        )
    _LOCKS[folder.resolve()] = descriptor


def _unwritable(folder: Path, error: OSError) -> DataError:
    return DataError(str(disk_error(folder, error)).replace("--data_root", "--summary_dir"))


def _check_is_log(folder: Path) -> None:
    """Refuse to remove anything but one log: a wrong tag must not delete a tree of results."""
    log_files = (CONFIG_FILE, MODEL_FILE)
    empty = not any(folder.iterdir())
    if not empty and not any((folder / name).is_file() for name in log_files):
        raise UsageError(
            f"{folder}: not a training log, so --owr leaves it: remove it, or use another --log_tag"
        )
    for name in log_files:
        for inner in folder.rglob(name):
            if inner.parent != folder:
                raise UsageError(
                    f"{folder}: holds the log {inner.parent.relative_to(folder)} too, so --owr leaves it: "
                    "remove it, or use another --log_tag"
                )


def can_resume(folder: Path) -> bool:
    """Whether the folder holds a run to resume."""
    return (folder / MODEL_FILE).is_file()


def resumable_folder(summary_dir: Path, tag: str, overwrite: bool) -> Optional[Path]:
    """The log folder of a tag if it holds a run to resume; None for a new run."""
    folder = summary_dir / tag
    return None if overwrite or tag == DEFAULT_TAG or not can_resume(folder) else folder


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """Write the configuration that the run starts with."""
    atomic_write(folder / CONFIG_FILE, to_json(config), "--summary_dir")


def remove_results(folder: Path) -> None:
    """Remove the results of a training that is resumed.

    Raises:
        DataError: removing failed, or the name belongs to something else than a file.
    """
    try:
        (folder / RESULTS_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(folder / RESULTS_FILE, error) from error


def started_with(folder: Path) -> dict[str, Any]:
    """The flags, by key, that a folder's run was started with; empty if the folder does not hold them."""
    file = folder / CONFIG_FILE
    return read_json(file, schemas.CONFIG)["flags"] if os.path.lexists(file) else {}


def check_config(folder: Path, config: dict[str, Any], free: Iterable[str]) -> dict[str, Any]:
    """Check that the folder's run was started with the current configuration.

    Args:
        folder: a folder for which `can_resume` is true.
        config: the current configuration: `flags`, `dataset`, ...
        free: flags that may differ.

    Returns:
        The configuration that the run was started with.

    Raises:
        UsageError: a flag or the dataset's content differs; the message names it.
    """
    if not os.path.lexists(folder / CONFIG_FILE):
        raise UsageError(
            f"{folder}: holds {MODEL_FILE} but no {CONFIG_FILE}, so it is no training run to resume: "
            "give --owr to start over, or another --log_tag"
        )
    before = read_json(folder / CONFIG_FILE, schemas.CONFIG)
    now = json.loads(to_json(config))
    remedy = "give the same, --owr to start over, or another --log_tag"
    for flag, value in now["flags"].items():
        # a run of an earlier version lacks settings added since; it ran with their defaults
        was = before["flags"].get(flag, SETTINGS[flag].default if flag in SETTINGS else value)
        if flag not in free and was != value:
            raise UsageError(
                f"{folder}: was started with --{flag} {_show(was)}, not {_show(value)}: {remedy}"
            )
    if (before.get("dataset") or {}).get("hash") != now["dataset"]["hash"]:
        raise UsageError(
            f"{folder}: the content of --dataset {now['flags']['dataset']} has changed since it was started: "
            "give --owr to start over, or another --log_tag"
        )
    return before


def _show(value: Any) -> str:
    if isinstance(value, list):
        value = " ".join(map(str, value)) or "nothing"
    text = repr(value) if value in ("", None) else printable(str(value))
    return text if len(text) <= 200 else f"{text[:200]}..."
