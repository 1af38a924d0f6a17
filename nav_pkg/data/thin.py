"""Remove the images of a recorded run, keep a few of them in another folder, and keep all its frames."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Iterable, List

import numpy as np

from nav_pkg.core import DataError
from nav_pkg.data import codec, files
from nav_pkg.data import format as fmt
from nav_pkg.data.new_run import build_run
from nav_pkg.data.reader import Run


class KeptImages:
    """Some camera images of a run, each named by the index of its frame.

    Args:
        folder: the folder of the images.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    @property
    def indices(self) -> List[int]:
        """Indices of the frames whose images are in the folder, in order."""
        return sorted(int(file.stem) for file in self.folder.glob("*.jpg"))

    def rgb(self, index: int) -> np.ndarray:
        """Image of a frame: uint8 (height, width, 3), RGB.

        Raises:
            DataError: the image is damaged or not in the folder.
        """
        path = self.folder / f"{index:010d}.jpg"
        try:
            return codec.decode_rgb(files.read_small(path))
        except DataError as error:
            raise error if str(path) in str(error) else DataError(f"{path}: {error}") from error

    def __contains__(self, index: int) -> bool:
        return (self.folder / f"{index:010d}.jpg").exists()


def keep_images(run: Run, folder: Path, indices: Iterable[int]) -> KeptImages:
    """Copy some of a run's images into a folder, atomically.

    Args:
        run: a committed run with its images.
        folder: the folder to make; an existing folder is left unchanged.
        indices: indices of the frames.

    Raises:
        DataError: the file system refuses.
    """
    folder = Path(folder)
    if folder.exists():
        return KeptImages(folder)
    beside = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        for index in sorted(set(indices)):
            files.write_file(beside / f"{index:010d}.jpg", run.images.read(fmt.rgb_file(index)))
        os.rename(beside, folder)
    except OSError as error:
        raise files.disk_error(folder, error, "--summary_dir") from error
    return KeptImages(folder)


def strip_images(run: Run) -> Run:
    """Replace a run by a run without colour and depth images; all other data stays.

    If the process is killed between the two renames, the run is missing; it is then flown again.

    Args:
        run: a committed run.

    Returns:
        The new run, in the same place; `dataset.py verify` accepts it.

    Raises:
        DataError: the run is damaged, or the file system refuses.
    """
    sensors = run.facts.get("sensors") or {}
    images = [name for name in sensors if name == "depth" or name.startswith("rgb")]  # rgb_left, rgb_right
    if not any(sensors[name] for name in images):
        return run
    rows = [fmt.frame_to_row(frame, rgb=False, depth=False) for frame in run.frames]
    beside, away = (run.path.with_name(f".{run.name}.{suffix}") for suffix in ("thin", "removed"))
    for left in (beside, away):
        shutil.rmtree(left, ignore_errors=True)
    build_run(
        beside, run.name, run.facts, rows, run.scan, {**sensors, **dict.fromkeys(images)}, {}, run.images
    )
    try:
        os.rename(run.path, away)
        os.rename(beside, run.path)
    except OSError as error:
        raise files.disk_error(run.path, error, "--summary_dir") from error
    shutil.rmtree(away, ignore_errors=True)
    return Run(run.path)
