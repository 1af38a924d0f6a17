"""Complete new runs: build them from images that exist, write their checksums, flush and commit them."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Callable, Optional

import numpy as np

from nav_pkg.data import commit, files
from nav_pkg.data import format as fmt
from nav_pkg.data.folders import remove_start_file, scan_header
from nav_pkg.data.image_store import ImageStore


def finish_partial(
    partial: Path, name: str, facts: dict, frames: int, sensors: dict, sums: dict[str, bytes]
) -> None:
    """Write the checksums, flush everything to disk and write run.json, which completes the run.

    Args:
        partial: the run's unfinished folder with its images, frames.csv and scan.npy.
        name: the run's final name.
        facts: outcome and all other entries of run.json.
        frames: number of frames.
        sensors: `rgb` and `depth` as [height, width], `scan` as number of rays; None for a missing sensor;
            `rgb_left` and `rgb_right` for side cameras, if any.
        sums: SHA-256 of every file, by its path in the run.

    Raises:
        OSError: the file system refuses.
        DataError: an entry of run.json is invalid.
    """
    text = "".join(f"{sums[path].hex()}  {path}\n" for path in sorted(sums)).encode()
    files.write_file(partial / fmt.SUMS_FILE, text)
    names = ImageStore(partial).files([*sorted(sums), fmt.SUMS_FILE])
    files.fsync_all(partial / name for name in names)
    for folder in sorted({(partial / name).parent for name in names}, reverse=True):
        files.fsync(folder)
    run = {**facts, "name": name, "frames": frames, "sensors": sensors}
    run["content"] = hashlib.sha256(text).hexdigest()
    files.write_file(partial / fmt.RUN_FILE, commit.run_text(run, partial / fmt.RUN_FILE))
    files.fsync(partial / fmt.RUN_FILE)
    files.fsync(partial)
    remove_start_file(partial)


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it if the file system cannot link."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def build_run(
    target: Path,
    name: str,
    facts: dict,
    rows: list[str],
    scan: Optional[np.ndarray],
    sensors: dict,
    images: dict[str, tuple[str, bytes]],
    store: ImageStore,
    transfer_file: Callable[[Path, Path], object] = link_or_copy,
) -> None:
    """Make a complete run in a new folder from images of another run.

    Args:
        target: the folder to make.
        name: the run's name, for run.json.
        facts: entries for run.json.
        rows: lines of frames.csv, indices from 0.
        scan: float32 (frames, rays) or None.
        sensors: as in run.json.
        images: path in the new run -> (path in the other run, SHA-256), numbered from 0 without gaps.
        store: the images of the other run.
        transfer_file: copies or links a file to its place; links by default.

    Raises:
        DataError: the folder exists already, the file system refuses, or an entry of run.json is invalid.
            A new folder is then removed.
    """
    try:
        target.mkdir()
    except OSError as error:
        raise files.disk_error(target, error) from error
    try:
        store.copy({path: source for path, (source, _) in images.items()}, target, transfer_file)
        sums = {path: sha256 for path, (_, sha256) in images.items()}
        data = ("\n".join([fmt.HEADER, *rows]) + "\n").encode()
        files.write_file(target / fmt.FRAMES_FILE, data)
        sums[fmt.FRAMES_FILE] = hashlib.sha256(data).digest()
        if scan is not None and sensors.get("scan"):
            data = scan_header(*scan.shape) + np.ascontiguousarray(scan, "<f4").tobytes()
            files.write_file(target / fmt.SCAN_FILE, data)
            sums[fmt.SCAN_FILE] = hashlib.sha256(data).digest()
        finish_partial(target, name, facts, len(rows), sensors, sums)
    except BaseException as error:
        shutil.rmtree(target, ignore_errors=True)
        if isinstance(error, OSError):
            raise files.disk_error(target, error) from error
        raise
