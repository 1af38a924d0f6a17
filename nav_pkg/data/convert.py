"""Convert a dataset's runs between one tar a camera and a file for each image; each run atomically.

Images keep their bytes, and the run its checksums and run.json: only the files on disk differ.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Callable, Iterable

from nav_pkg.core import DataError
from nav_pkg.data import files
from nav_pkg.data import format as fmt
from nav_pkg.data.folders import CONVERTED
from nav_pkg.data.image_store import check_storage
from nav_pkg.data.manage import exclusive_use
from nav_pkg.data.new_run import link_or_copy
from nav_pkg.data.reader import Dataset, Run


def convert(
    dataset: Dataset, storage: str, progress: Callable[[Iterable[Run]], Iterable[Run]] = iter
) -> list[Run]:
    """Convert the runs that keep their images in another form. A killed call is completed by the next.

    Args:
        dataset: the dataset.
        storage: `tar` or `files`.
        progress: wraps the sequence of runs.

    Returns:
        The runs that were converted.

    Raises:
        UsageError: the storage is unknown, or a session uses the dataset.
        DataError: a run is damaged, a recorder writes into the dataset, or the file system refuses; the
            runs before are converted.
    """
    check_storage(storage)
    converted = []
    with exclusive_use(dataset.path):
        _finish_interrupted(dataset.path)
        for run in progress(dataset.runs):
            if storages(run) - {storage}:
                try:
                    _convert_run(run, storage)
                except OSError as error:
                    raise files.disk_error(run.path, error) from error
                converted.append(run)
    return converted


def storages(run: Run) -> set[str]:
    """How a run keeps its images: `tar`, `files`, both for different cameras, or none without images.

    Raises:
        DataError: its checksums are damaged.
    """
    return {run.images.camera(name.partition("/")[0]).storage for name in run.sums if "/" in name}


def _finish_interrupted(dataset: Path) -> None:
    """Remove what a killed conversion left; its run is in place, unless the file system cannot exchange."""
    for left in dataset.glob(f".*{CONVERTED}"):
        final = dataset / left.name[1 : -len(CONVERTED)]
        if (left / fmt.RUN_FILE).exists() and not final.exists():
            os.rename(left, final)
        else:
            shutil.rmtree(left)
    files.sweep_removed(dataset)


def _convert_run(run: Run, storage: str) -> None:
    """Build the run in its new form in a hidden folder, and exchange the two."""
    target = run.path.with_name(f".{run.name}{CONVERTED}")
    sums = run.sums
    images = [name for name in sums if "/" in name]
    try:
        target.mkdir()
        run.images.copy({name: name for name in images}, target, link_or_copy, storage, _checked(run))
        for name in [*(name for name in sums if "/" not in name), fmt.SUMS_FILE, fmt.RUN_FILE]:
            link_or_copy(run.path / name, target / name)
        new = Run(target)
        names = new.files()
        files.fsync_all(target / name for name in names)
        for folder in sorted({(target / name).parent for name in names}, reverse=True):
            files.fsync(folder)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    files.replace_folder(target, run.path)
    run.images = type(run.images)(run.path)


def _checked(run: Run) -> Callable[[str, bytes], None]:
    """A function that compares an image with its checksum."""

    def check(name: str, data: bytes) -> None:
        if hashlib.sha256(data).digest() != run.sums[name]:
            where = run.images.where(name)
            raise DataError(f"{where}: changed since its commit; see dataset.py verify and repair")

    return check
