"""Verify runs and datasets against run.json and the format; report every problem."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterable, Optional

import numpy as np

from nav_pkg.config.paths import PathLike
from nav_pkg.config.session import TAR
from nav_pkg.core import DataError
from nav_pkg.data import commit, files, overlap
from nav_pkg.data import format as fmt
from nav_pkg.data.columns import Frames, read_frames, read_scan
from nav_pkg.data.folders import START_FILE, file_sha256, lock_partial
from nav_pkg.data.image_inspection import ImageReport, inspect_images
from nav_pkg.data.reader import Dataset, Run
from nav_pkg.data.totals import Totals, differences

_MAX_LISTED = 5


@dataclass
class RunReport:
    """The result of verifying a run.

    Attributes:
        run: the run.
        problems: one line each; empty if the run is intact.
        notes: remarks that are not damage.
        rgb: the Look of every colour image, in order; empty if the run has none.
        depth: the same for the depth images.
        sides: the same for every side camera, by its name.
        verified: whether run.json has a correct checksum.
    """

    run: Run
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rgb: list[ImageReport] = field(default_factory=list)
    depth: list[ImageReport] = field(default_factory=list)
    sides: dict[str, list[ImageReport]] = field(default_factory=dict)
    verified: bool = False


def verify_run(run: Run, control_rate: float = 10.0) -> RunReport:
    """Check everything about a run.

    The checks cover: run.json, its entries and its checksum; frames.csv against the format, with consecutive
    indices and stamps at the control rate; that every frame has its images and every image has a frame; that
    all images decode and have the same size; the scan's shape; the checksums of all files against the commit;
    that the folder holds no other files and no symbolic links; and the distance, time, labels and actors in
    run.json against the rows.

    Args:
        run: a committed run (or any folder with the content of a run).
        control_rate: frames per second.

    Returns:
        The report. Damage is reported, not raised.
    """
    report = RunReport(run)
    problem = report.problems.append
    facts: dict = {}
    try:
        commit.refuse_link(run.path)
        committed = commit.read_run(run.path)
        facts, report.verified = committed.value, committed.has_valid_checksum
        report.problems += committed.problems
    except DataError as error:
        problem(str(error))
    if facts.get("name") not in (None, run.name) and not run.name.endswith(fmt.PARTIAL):
        problem(f"{run.path / fmt.RUN_FILE}: name {facts['name']!r} is not the folder's")
    frames: Optional[Frames] = None
    try:
        frames = read_frames(run.path / fmt.FRAMES_FILE, facts.get("frames"))
    except DataError as error:
        problem(str(error))
    count = None if frames is None else len(frames)
    missing = facts.get("missing") or []
    if frames is not None:
        _check_stamps(report, frames, missing, control_rate)
        for line in differences(facts, Totals(frames), control_rate):
            problem(f"{run.path / fmt.RUN_FILE}: {line}; see dataset.py repair")
    sums = _check_sums(report, facts)
    sensors = facts.get("sensors") or {}
    for kind, folder in (("rgb", fmt.RGB_FOLDER), ("depth", fmt.DEPTH_FOLDER)):
        image_reports = _check_images(report, folder, count, fmt.image_size(sensors, kind), sums)
        setattr(report, kind, image_reports)
        if frames is not None and (frames[kind] != "").any() != bool(image_reports):
            problem(
                f"{run.path / fmt.FRAMES_FILE}: column {kind} does not fit the {len(image_reports)} images"
            )
    for camera in fmt.SIDE_CAMERAS:
        size = fmt.image_size(sensors, fmt.side_sensor(camera))
        image_reports = _check_images(report, fmt.side_folder(camera), count, size, sums)
        if image_reports:
            report.sides[camera] = image_reports
    _check_scan(report, count, sensors.get("scan"), sums)
    for name in (fmt.FRAMES_FILE, fmt.SCAN_FILE):
        _sum_of(report, name, sums)
    _check_extra_files(report)
    if missing:
        report.notes.append(f"{len(missing)} frames were missing from the bag it was made of")
    return report


def _listed(items: list[str]) -> str:
    more = f" and {len(items) - _MAX_LISTED} more" if len(items) > _MAX_LISTED else ""
    return files.printable(", ".join(items[:_MAX_LISTED])) + more


def is_one_period(step: float, rate: float) -> bool:
    """Whether a step between two stamps (ns) is one control period, within 10 %."""
    return abs(step * rate / 1e9 - 1) <= 0.1


def _check_stamps(report: RunReport, frames: Frames, missing: list, rate: float) -> None:
    path = report.run.path / fmt.FRAMES_FILE
    if not len(frames):
        report.problems.append(f"{path}: no frames")
        return
    steps = np.diff(frames.stamp)
    back = [str(i + 1) for i in np.flatnonzero(steps <= 0)]
    late = [str(i + 1) for i, step in enumerate(steps) if step > 0 and not is_one_period(step, rate)]
    if back:
        report.problems.append(f"{path}: stamps do not increase at index {_listed(back)}")
    if late and not missing:
        where = _listed(late)
        report.problems.append(
            f"{path}: stamps are not {1 / rate:g} s after their predecessor at index {where}"
        )
    if frames.stamp[0] != 0 and not missing:
        report.problems.append(f"{path}: the first stamp is {frames.stamp[0] / 1e9:g} s, not 0")


def _check_sums(report: RunReport, facts: dict) -> dict[str, bytes]:
    if not facts.get("content"):
        return {}
    try:
        sums = commit.read_sums(report.run.path, facts["content"]).by_path
    except DataError as error:
        report.problems.append(str(error))
        return {}
    present = {name for folder in fmt.IMAGE_FOLDERS for name in _names(report.run, folder)}
    absent = [
        name
        for name in sums
        if not (name in present if "/" in name else os.path.lexists(report.run.path / name))
    ]
    if absent:
        report.problems.append(f"{report.run.path}: missing: {_listed(absent)}")
    return sums


def _names(run: Run, folder: str) -> list[str]:
    """Paths of a camera's images; none if its tar cannot be read, which `_check_images` reports."""
    run.images.camera(folder).problems()  # reads the headers of a tar, which may differ from its index
    with contextlib.suppress(DataError):
        return run.images.camera(folder).names()
    return []


def _check_images(
    report: RunReport,
    folder: str,
    count: Optional[int],
    size: Optional[tuple[int, int]],
    sums: dict[str, bytes],
) -> list[ImageReport]:
    store, camera = report.run.images, report.run.images.camera(folder)
    report.problems += camera.problems()
    present = set(_names(report.run, folder))
    if not present and not size:
        return []
    wanted = [fmt.image_file(folder, i) for i in range(count if count is not None else len(present))]
    absent = [name for name in wanted if name not in present]
    if absent and not all(name in sums for name in absent):
        report.problems.append(f"{report.run.path}: missing: {_listed(absent)}")
    extra = sorted(Path(name).name for name in present - set(wanted))
    if extra:
        report.problems.append(f"{camera.path}: files that belong to no frame: {_listed(extra)}")
    here = [name for name in wanted if name in present]
    image_reports = inspect_images((store, name, size) for name in here)
    expected = size or next((item.shape for item in image_reports if item.shape), ())
    for name, item in zip(here, image_reports):
        if item.problem:
            report.problems.append(f"{store.where(name)}: {item.problem}")
        elif item.shape != expected:
            report.problems.append(f"{store.where(name)}: size {item.shape} instead of {expected}")
        elif sums and sums.get(name) != item.sha256:
            report.problems.append(f"{store.where(name)}: changed since its commit (SHA-256 differs)")
    return image_reports


def _check_scan(report: RunReport, count: Optional[int], rays: Optional[int], sums: dict[str, bytes]) -> None:
    path = report.run.path / fmt.SCAN_FILE
    if not os.path.lexists(path):
        if rays and fmt.SCAN_FILE not in sums:
            report.problems.append(f"{path}: missing")
        return
    if count is None:
        return  # frames.csv is damaged; `_sum_of` still compares the checksum
    try:
        read_scan(path, count, rays)
    except DataError as error:
        report.problems.append(str(error))


def _sum_of(report: RunReport, name: str, sums: dict[str, bytes]) -> None:
    path = report.run.path / name
    if name not in sums or not os.path.lexists(path):
        return
    try:
        if file_sha256(path) != sums[name]:
            report.problems.append(f"{path}: changed since its commit (SHA-256 differs)")
    except DataError as error:
        if str(error) not in report.problems:
            report.problems.append(str(error))


_IN_RUN = {fmt.RUN_FILE, fmt.SUMS_FILE, fmt.FRAMES_FILE, fmt.SCAN_FILE}
_IN_PARTIAL = {START_FILE, "error.txt"}


def _check_extra_files(report: RunReport) -> None:
    """Report files in a run's folder that its commit does not list, and folders that are links."""
    path = report.run.path
    names = sorted(os.listdir(path)) if os.path.isdir(path) else []
    known = _IN_RUN | _IN_PARTIAL if path.name.endswith(fmt.PARTIAL) else _IN_RUN
    for folder in fmt.IMAGE_FOLDERS:
        in_tar = report.run.images.camera(folder).storage == TAR
        known = known | ({fmt.tar_file(folder), fmt.index_file(folder)} if in_tar else {folder})
    extra = [name for name in names if name not in known]
    if extra:
        report.problems.append(f"{path}: files that no commit lists: {_listed(extra)}; see dataset.py repair")
    for name in names:
        if name in known and os.path.islink(path / name) and os.path.isdir(path / name):
            report.problems.append(f"{path / name}: is a symbolic link, which a dataset may not hold")


@dataclass
class DatasetReport:
    """The result of verifying a dataset: one report per run, and problems of the dataset itself.

    Attributes:
        runs: the report of each run.
        problems: of the dataset itself, one line each.
        notes: remarks that are not damage.
        warnings: properties of intact data that make it unsuitable for training.
    """

    runs: list[RunReport] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def all_problems(self) -> list[str]:
        """All problems of the dataset and its runs, one line each."""
        return self.problems + [line for report in self.runs for line in report.problems]


def verify_dataset(
    dataset: Dataset, progress: Callable[[Iterable[Run]], Iterable[Run]] = iter
) -> DatasetReport:
    """Check every run, the splits and the remains of crashes.

    Args:
        dataset: the dataset.
        progress: wraps the sequence of runs.
    """
    report = DatasetReport(problems=list(dataset.problems))
    runs = dataset.runs
    for partial in dataset.partials:
        state = "being written" if partial_is_locked(partial) else "left by a crash; see dataset.py repair"
        (report.notes if state == "being written" else report.problems).append(
            f"{partial}: unfinished, {state}"
        )
    if not runs:
        report.problems.append(f"{dataset.path}: the dataset has no runs")
    if not dataset.verified and not dataset.problems:
        report.notes.append(f"{dataset.path / fmt.DATASET_FILE}: {commit.UNVERIFIED}")
    _check_lists(report, dataset)
    _check_other_files(report, dataset)
    for run in progress(runs):
        report.runs.append(verify_run(run, dataset.control_rate))
    old = [item.run.name for item in report.runs if not item.verified and not item.problems]
    if old:
        report.notes.append(f"{dataset.path}: {fmt.RUN_FILE} of {_listed(old)}: {commit.UNVERIFIED}")
    return report


def _check_lists(report: DatasetReport, dataset: Dataset) -> None:
    """Check the lists of the splits; report where they differ from those that the dataset was made with."""
    if not dataset.has_splits:
        return
    try:
        parts = dataset.splits()
    except DataError as error:
        report.problems.append(str(error))
        return
    report.warnings += overlap.split_warnings(parts)
    sizes = dataset.description.get(fmt.SPLIT_SIZES) or {}
    for part, runs in parts.items():
        if sizes.get(part) not in (None, len(runs)):
            path = dataset.path / fmt.split_file(part)
            report.notes.append(f"{path}: lists {len(runs)} runs; the dataset was made with {sizes[part]}")
    listed = {run.name for runs in parts.values() for run in runs}
    unlisted = [run.name for run in dataset.runs if run.name not in listed]
    empty = [fmt.split_file(part) for part, runs in parts.items() if not runs and part not in sizes]
    if unlisted and empty:
        report.problems.append(
            f"{dataset.path}: {' and '.join(empty)} is empty, while no list names {_listed(unlisted)}"
        )
    elif unlisted:
        report.notes.append(f"{dataset.path}: no list names {_listed(unlisted)}")


_IN_DATASET = {fmt.DATASET_FILE, fmt.STATS_FILE, fmt.QUARANTINE, *map(fmt.split_file, fmt.SPLITS)}


def _check_other_files(report: DatasetReport, dataset: Dataset) -> None:
    """Report foreign entries of a dataset's folder: links as problems, other files as notes."""
    runs = {run.name for run in dataset.runs} | {path.name for path in dataset.partials}
    extra = []
    for path in dataset.entries():
        if path.is_symlink() and path.name not in runs:  # a run's own report covers the run
            report.problems.append(f"{path}: is a symbolic link, which a dataset may not hold")
        elif path.name not in runs | _IN_DATASET and not path.name.startswith("."):
            extra.append(path.name)
    if extra:
        report.notes.append(f"{dataset.path}: files that are no part of a dataset: {_listed(extra)}")


def partial_is_locked(partial: PathLike) -> bool:
    """Whether a live process writes this unfinished run."""
    try:
        os.close(lock_partial(partial))
    except DataError:
        return True
    except FileNotFoundError:
        return False
    return False


def report_to_json(report: DatasetReport) -> str:
    """The report as JSON text."""
    return files.to_json(
        {
            "problems": report.problems,
            "notes": report.notes,
            "warnings": report.warnings,
            "runs": {r.run.name: {"problems": r.problems, "notes": r.notes} for r in report.runs},
        }
    )
