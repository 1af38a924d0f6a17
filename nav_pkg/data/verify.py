"""Is a run what run.json and the format say? Every problem is found and named."""

from __future__ import annotations

import functools
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterable, NamedTuple, Optional

import numpy as np

from nav_pkg.core import DataError, Outcome
from nav_pkg.data import codec, files
from nav_pkg.data import format as fmt
from nav_pkg.data.paths import PathLike
from nav_pkg.data.reader import Dataset, Frames, Run, read_frames
from nav_pkg.data.totals import Totals, differences

SAMPLE = 4
"""Mean and deviation of colours are taken from every fourth row and column."""

_LISTED = 5


class Look(NamedTuple):
    """What looking at one image gave.

    Attributes:
        problem: empty when it is whole.
        shape: (height, width).
        constant: every pixel is the same.
        sums: colour images: number, sum and sum of squares a channel, of the sampled pixels.
        sha256: of the file.
    """

    problem: str
    shape: tuple = ()
    constant: bool = False
    sums: Optional[np.ndarray] = None
    sha256: bytes = b""


def colour_sums(pixels: np.ndarray) -> np.ndarray:
    """Number, sum and sum of squares of pixels.

    Args:
        pixels: uint8 (..., 3).

    Returns:
        float64 (3, 3): these three, of each channel.
    """
    part = pixels.reshape(-1, 3).astype(np.float64)
    return np.stack([np.full(3, len(part)), part.sum(0), (part * part).sum(0)])


def look(path: Path) -> Look:
    """Read and decode an image file (colour by its ending .jpg, else depth)."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return Look(f"cannot read: {(error.strerror or str(error)).lower()}")
    sha256 = hashlib.sha256(data).digest()
    try:
        if path.suffix == ".jpg":
            pixels = codec.decode_rgb(data)
            sums = colour_sums(pixels[::SAMPLE, ::SAMPLE])
        else:
            pixels = codec.decode_depth(data)
            sums = None
    except DataError as error:
        return Look(str(error), sha256=sha256)
    constant = bool((pixels == pixels[0, 0]).all()) if (pixels[0] == pixels[0, 0]).all() else False
    return Look("", pixels.shape[:2], constant, sums, sha256)


def read_sums(run: PathLike) -> Optional[dict[str, bytes]]:
    """The SHA-256 of every file by sha256sums.txt; None when it is missing or damaged."""
    try:
        lines = (Path(run) / fmt.SUMS_FILE).read_text(encoding="utf-8").splitlines()
        return {line[66:]: bytes.fromhex(line[:64]) for line in lines}
    except (OSError, ValueError):
        return None


@dataclass
class Report:
    """What verifying a run found.

    Attributes:
        problems: one line each; empty when the run is whole.
        notes: remarkable, but no damage.
        rgb: Look of every colour image, in order; depth likewise. Empty when not looked at.
        sides: the same of every side camera, by its name.
    """

    run: Run
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rgb: list[Look] = field(default_factory=list)
    depth: list[Look] = field(default_factory=list)
    sides: dict[str, list[Look]] = field(default_factory=dict)


def look_at_all(paths: Iterable[Path]) -> list[Look]:
    """Look at many images, on all cores this process may use."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(look, paths))


def verify_run(run: Run, control_rate: float = 10.0) -> Report:
    """Check everything about a run.

    run.json and its outcome; frames.csv against the format, with consecutive indices and stamps at
    the control rate; that every frame has its images and no image lacks a frame; that every image
    decodes, at one size; the scan's shape; the sums of all files against those of the commit; and what
    run.json says of the run's way, time, labels and actors against the rows.

    Args:
        run: a committed run (or any folder with that content).
        control_rate: frames a second.

    Returns:
        The report; no error is raised for damage.
    """
    report = Report(run)
    problem = report.problems.append
    try:
        facts = Run(run.path).facts
    except DataError as error:
        problem(str(error))
        facts = {}
    known = {item.value for item in Outcome}
    if facts and facts.get("outcome") not in known:
        problem(f"{run.path / fmt.RUN_FILE}: outcome {facts.get('outcome')!r} is not one of {sorted(known)}")
    if facts and facts.get("name") != run.name and not run.name.endswith(fmt.PARTIAL):
        problem(f"{run.path / fmt.RUN_FILE}: name {facts.get('name')!r} is not the folder's")
    frames: Optional[Frames] = None
    try:
        frames = read_frames(run.path / fmt.FRAMES_FILE, facts.get("frames"))
    except DataError as error:
        problem(str(error))
    count = facts.get("frames") if frames is None else len(frames)
    if frames is not None:
        _stamps(report, frames, facts.get("missing", []), control_rate)
        for line in differences(facts, Totals(frames), control_rate):
            problem(f"{run.path / fmt.RUN_FILE}: {line}; see dataset.py repair")
    sums = _sums(report, facts)
    sensors = facts.get("sensors") or {}
    for kind, folder, name in (
        ("rgb", fmt.RGB_FOLDER, fmt.rgb_file),
        ("depth", fmt.DEPTH_FOLDER, fmt.depth_file),
    ):
        looks = _images(report, folder, name, count, sensors.get(kind), sums)
        setattr(report, kind, looks)
        if frames is not None and (frames[kind] != "").any() != bool(looks):
            problem(f"{run.path / fmt.FRAMES_FILE}: column {kind} does not fit the {len(looks)} images")
    for camera in fmt.SIDE_CAMERAS:
        name_of = functools.partial(fmt.side_file, camera)
        size = sensors.get(fmt.side_sensor(camera))
        looks = _images(report, fmt.side_folder(camera), name_of, count, size, sums)
        if looks:
            report.sides[camera] = looks
    _scan(report, count, sensors.get("scan"))
    for name in (fmt.FRAMES_FILE, fmt.SCAN_FILE):
        _sum_of(report, name, sums)
    if facts.get("missing"):
        report.notes.append(f"{len(facts['missing'])} frames were missing from the bag it was made of")
    return report


def _listed(items: list[str]) -> str:
    more = f" and {len(items) - _LISTED} more" if len(items) > _LISTED else ""
    return ", ".join(items[:_LISTED]) + more


def on_time(step: float, rate: float) -> bool:
    """Whether a frame follows its predecessor by one control period, give or take a tenth of it."""
    return abs(step * rate / 1e9 - 1) <= 0.1


def _stamps(report: Report, frames: Frames, missing: list, rate: float) -> None:
    path = report.run.path / fmt.FRAMES_FILE
    if not len(frames):
        report.problems.append(f"{path}: no frames")
        return
    steps = np.diff(frames.stamp)
    back = [str(i + 1) for i in np.flatnonzero(steps <= 0)]
    late = [str(i + 1) for i, step in enumerate(steps) if step > 0 and not on_time(step, rate)]
    if back:
        report.problems.append(f"{path}: stamps do not increase at index {_listed(back)}")
    if late and not missing:
        where = _listed(late)
        report.problems.append(
            f"{path}: stamps are not {1 / rate:g} s after their predecessor at index {where}"
        )
    if frames.stamp[0] != 0 and not missing:
        report.problems.append(f"{path}: the first stamp is {frames.stamp[0] / 1e9:g} s, not 0")


def _sums(report: Report, facts: dict) -> dict[str, bytes]:
    path = report.run.path / fmt.SUMS_FILE
    if not facts.get("content"):
        return {}
    sums = read_sums(report.run.path)
    if sums is None:
        report.problems.append(f"{path}: missing or damaged")
        return {}
    if hashlib.sha256(path.read_bytes()).hexdigest() != facts["content"]:
        report.problems.append(f"{path}: not the one of the commit (its sum differs from run.json's)")
        return {}
    absent = [name for name in sums if not (report.run.path / name).exists()]
    if absent:
        report.problems.append(f"{report.run.path}: missing: {_listed(absent)}")
    return sums


def _images(
    report: Report,
    folder: str,
    name: Callable[[int], str],
    count: Optional[int],
    size: Optional[list],
    sums: dict[str, bytes],
) -> list[Look]:
    base = report.run.path
    present = {p.name for p in (base / folder).iterdir()} if (base / folder).is_dir() else set()
    if not present and not size:
        return []
    wanted = [Path(name(i)).name for i in range(count if count is not None else len(present))]
    absent = [f"{folder}/{n}" for n in wanted if n not in present]
    if absent and not all(n in sums for n in absent):
        report.problems.append(f"{base}: missing: {_listed(absent)}")
    extra = sorted(present - set(wanted))
    if extra:
        report.problems.append(f"{base / folder}: files that belong to no frame: {_listed(extra)}")
    here = [n for n in wanted if n in present]
    looks = look_at_all(base / folder / n for n in here)
    expected = tuple(size or next((item.shape for item in looks if item.shape), ()))
    for n, item in zip(here, looks):
        if item.problem:
            report.problems.append(f"{base / folder / n}: {item.problem}")
        elif item.shape != expected:
            report.problems.append(f"{base / folder / n}: size {item.shape} instead of {expected}")
        elif sums and sums.get(f"{folder}/{n}") != item.sha256:
            report.problems.append(f"{base / folder / n}: changed since its commit (SHA-256 differs)")
    return looks


def _scan(report: Report, count: Optional[int], rays: Optional[int]) -> None:
    path = report.run.path / fmt.SCAN_FILE
    if not path.exists():
        if rays and fmt.SCAN_FILE not in (read_sums(report.run.path) or {}):
            report.problems.append(f"{path}: missing")
        return
    try:
        scan = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        report.problems.append(f"{path}: cut or damaged ({error})")
        return
    wanted = (count, rays if rays else scan.shape[-1])
    if scan.shape != wanted or scan.dtype != np.float32:
        report.problems.append(f"{path}: {scan.dtype} {scan.shape} instead of float32 {wanted}")
    elif path.stat().st_size != 128 + scan.nbytes:
        report.problems.append(f"{path}: {path.stat().st_size} bytes instead of {128 + scan.nbytes}")


def _sum_of(report: Report, name: str, sums: dict[str, bytes]) -> None:
    path = report.run.path / name
    if name in sums and path.exists() and hashlib.sha256(path.read_bytes()).digest() != sums[name]:
        report.problems.append(f"{path}: changed since its commit (SHA-256 differs)")


@dataclass
class DatasetReport:
    """What verifying a dataset found: a report a run, and problems of the dataset itself."""

    runs: list[Report] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def all_problems(self) -> list[str]:
        """Every problem, one line each."""
        return self.problems + [line for report in self.runs for line in report.problems]


def verify_dataset(
    dataset: Dataset, progress: Callable[[Iterable[Run]], Iterable[Run]] = iter
) -> DatasetReport:
    """Check every run, the splits and what crashes may have left.

    Args:
        dataset: the dataset.
        progress: wraps the sequence of runs.
    """
    report = DatasetReport()
    rate = float(dataset.description.get("control_rate") or 10)
    runs = dataset.runs
    for partial in dataset.partials:
        state = "being written" if is_locked(partial) else "left by a crash; see dataset.py repair"
        (report.notes if state == "being written" else report.problems).append(
            f"{partial}: unfinished, {state}"
        )
    if not runs:
        report.problems.append(f"{dataset.path}: the dataset has no runs")
    for part in fmt.SPLITS:
        if (dataset.path / f"{part}_set.txt").exists():
            try:
                dataset.split(part)
            except DataError as error:
                report.problems.append(str(error))
    for run in progress(runs):
        report.runs.append(verify_run(run, rate))
    return report


def is_locked(partial: PathLike) -> bool:
    """Whether a living process writes this unfinished run."""
    from nav_pkg.data.folders import lock_partial

    try:
        os.close(lock_partial(partial))
    except DataError:
        return True
    except FileNotFoundError:
        return False
    return False


def dump(report: DatasetReport) -> str:
    """The report as JSON text."""
    return files.to_json(
        {
            "problems": report.problems,
            "notes": report.notes,
            "runs": {r.run.name: {"problems": r.problems, "notes": r.notes} for r in report.runs},
        }
    )
