"""Clean recordings: select valid runs, cut their useless ends, split them by run, write the statistics.

Limits and cuts are those of Kelchtermans & Tuytelaars. In addition, the recorded outcome is checked first,
and a seed determines the split. The destination is made atomically. The sources change only if their runs
are moved.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from nav_pkg.core import DataError
from nav_pkg.data import commit, files, overlap
from nav_pkg.data import format as fmt
from nav_pkg.data.columns import Frames
from nav_pkg.data.cut import cut_run
from nav_pkg.data.folders import held, lock_partial, refuse_writers
from nav_pkg.data.info import class_counts, colour_stats, order_key
from nav_pkg.data.looks import SAMPLE, ImageReport
from nav_pkg.data.reader import Dataset, Run
from nav_pkg.data.repair import link_or_copy
from nav_pkg.data.verify import Report, verify_run

FROZEN = 3
"""Number of consecutive images of a single colour that mean a dead camera."""

FRAME_LIMITS = {
    "": (100, 5000),
    "sandbox": (10, 2000),
    "canyon": (100, 3000),
    "forest": (100, 3000),
    "corridor": (100, 500),
}
"""Minimum and maximum frames of a run, by world; '' for all others. Table of Kelchtermans & Tuytelaars."""

DISTANCES = {"": 1.0, "canyon": 3.0, "forest": 3.0, "corridor": 0.5}
"""Minimum distance of a run in metres, by world; '' for all others. Table of Kelchtermans & Tuytelaars."""


class Limits(NamedTuple):
    """The limits that a run must meet. A negative number selects the table's value, or no limit.

    Attributes:
        outcomes: accepted outcomes.
        min_distance: minimum distance flown, metres.
        min_rgb: minimum number of colour images after cutting.
        max_rgb: maximum number of colour images after cutting.
        min_depth: minimum number of depth images after cutting; negative: no limit.
        max_depth_rgb_difference: maximum difference between both numbers; negative: no limit.
        allow_gaps: accept runs with frames that were missing from their bag.
    """

    outcomes: tuple[str, ...] = ("success",)
    min_distance: float = -1
    min_rgb: int = -1
    max_rgb: int = -1
    min_depth: int = -1
    max_depth_rgb_difference: int = -1
    allow_gaps: bool = False


@dataclass
class KeptRun:
    """A run that passed: keep its frames `first` to `last` (exclusive); it is from dataset `source`."""

    run: Run
    first: int
    last: int
    report: Report
    source: str = ""
    part: str = ""
    name: str = ""

    @property
    def key(self) -> str:
        """Key of the run in the split: the names of its dataset and of the run."""
        return f"{self.source}/{self.run.name}"


@dataclass
class Plan:
    """The planned result of cleaning.

    Attributes:
        kept: runs that pass, in order, named and assigned to parts.
        dropped: (run's path, reason).
        notes: messages for the user, one line each.
        warnings: problems of the split, one line each.
        description: of the new dataset.
    """

    kept: list[KeptRun] = field(default_factory=list)
    dropped: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    description: dict = field(default_factory=dict)


def first_command(frames: Frames) -> int:
    """The first frame whose applied command moves along x or turns; the number of frames if none."""
    moving = np.flatnonzero((frames.applied_x != 0) | (frames.applied_yaw != 0))
    return int(moving[0]) if len(moving) else len(frames)


def first_frozen(looks: Sequence[ImageReport]) -> int:
    """The first of `FROZEN` consecutive images of a single colour; the number of images if none."""
    row = 0
    for i, item in enumerate(looks):
        row = row + 1 if item.constant else 0
        if row == FROZEN:
            return i - FROZEN + 1
    return len(looks)


def distance(frames: Frames, first: int, last: int) -> float:
    """Metres flown from frame `first` to the one before `last`."""
    way = np.stack([frames.x, frames.y, frames.z], axis=1)[first:last]
    return float(np.linalg.norm(np.diff(way, axis=0), axis=1).sum())


def _value(wanted: float, table: dict, world: str):
    return wanted if wanted >= 0 else table.get(world, table[""])


def apply_limits(
    run: Run, limits: Limits, rate: float, time_factor: float = 1.0
) -> tuple[Optional[KeptRun], str]:
    """Decide whether a run passes, and which of its frames to keep.

    Args:
        run: the run.
        limits: the limits that it must meet.
        rate: frames per second.
        time_factor: flight time of the robot relative to a drone; scales the table's maximum of frames.

    Returns:
        The kept frames and '', or None and the reason.
    """
    try:
        if run.outcome not in limits.outcomes:
            return None, f"outcome {run.outcome or 'unknown'} (--outcomes)"
        frames = run.frames
    except DataError as error:
        return None, f"damaged: {error}"
    if run.facts.get("missing") and not limits.allow_gaps:
        return None, f"{len(run.facts['missing'])} frames missing from its bag (--allow_gaps keeps it)"
    world = run.world.partition("+")[0]  # without the suffix of its textures
    table = FRAME_LIMITS.get(world, FRAME_LIMITS[""])
    fewest = limits.min_rgb if limits.min_rgb >= 0 else table[0]
    most = limits.max_rgb if limits.max_rgb >= 0 else round(table[1] * time_factor)
    if len(frames) < fewest:  # cutting cannot make it longer; skip the decoding
        return None, f"{len(frames)} frames, fewer than {fewest} (--min_rgb)"
    report = verify_run(run, rate)
    if report.problems:
        return None, f"damaged: {report.problems[0]}"
    first = first_command(frames)
    cameras = [looks for looks in (report.rgb, report.depth, *report.sides.values()) if looks]
    last = min([len(frames), *(first_frozen(looks) for looks in cameras)])
    count = max(0, last - first)
    rgb = count if report.rgb else 0
    depth = count if report.depth else 0
    if not count:
        return None, "no frame between the first command and a dead camera"
    way = distance(frames, first, last)
    least = _value(limits.min_distance, DISTANCES, world)
    if way < least:
        return None, f"flew {way:.2f} m, less than {least:g} m (--min_distance)"
    if not fewest <= rgb <= most:
        return None, f"{rgb} colour images, not {fewest} to {most} (--min_rgb, --max_rgb)"
    if depth < limits.min_depth:
        return None, f"{depth} depth images, fewer than {limits.min_depth} (--min_depth)"
    if 0 <= limits.max_depth_rgb_difference < abs(depth - rgb):
        return None, f"{depth} depth and {rgb} colour images (--max_depth_rgb_difference)"
    return KeptRun(run, first, last, report), ""


def split(keys: Sequence[str], val_len: int, test_len: int, seed: int) -> tuple[dict[str, str], str]:
    """Assign runs to train, val and test.

    The order depends only on a hash of the seed and each run's name, not on the Python release or the order
    of folders. The requested lengths apply if train gets at least as many runs as val and test together.
    Otherwise val and test get one run each (none if 0 was requested); of two runs one is val; a single run
    is train.

    Args:
        keys: the runs' distinct names.
        val_len: number of runs for validation.
        test_len: number of runs for test.
        seed: determines the split.

    Returns:
        Name -> part, and a note if the lengths were reduced ('' otherwise).
    """
    order = sorted(keys, key=lambda key: (order_key(seed, key), key))
    note = ""
    if len(order) < 2 * (val_len + test_len):
        asked = (val_len, test_len)
        val_len = min(val_len, 1 if len(order) >= 2 else 0)
        test_len = min(test_len, 1 if len(order) >= 3 else 0)
        if (val_len, test_len) != asked:
            note = (
                f"{len(order)} runs are too few for {asked[0]} val and {asked[1]} test runs and as many "
                f"training runs: {val_len} val, {test_len} test, {len(order) - val_len - test_len} train"
            )
    parts = ["val"] * val_len + ["test"] * test_len
    parts += ["train"] * (len(order) - len(parts))
    return dict(zip(order, parts)), note


def _time_factor(description: Mapping[str, Any]) -> float:
    """Flight time of a dataset's robot relative to a drone, from the `runs` of its robot file."""
    robot = description.get("robot")
    runs = robot.get("runs") if isinstance(robot, dict) else None
    return float((runs or {}).get("time_factor", 1.0))


def make_plan(
    sources: Mapping[str, Dataset],
    limits: Limits,
    val_len: int = 10,
    test_len: int = 10,
    seed: int = 123,
    progress: Callable[[Iterable[Run]], Iterable[Run]] = iter,
) -> Plan:
    """Apply the limits to every run and split the runs that pass. This writes nothing.

    Args:
        sources: the datasets, by name.
        limits: the limits that each run must meet.
        val_len: number of runs for validation.
        test_len: number of runs for test.
        seed: determines the split.
        progress: wraps the sequence of runs.

    Raises:
        DataError: the sources have different robots or cameras.
    """
    plan = Plan()
    first = next(iter(sources.values()))
    # the origin of a dataset is not a property of its robot
    plan.description = commit.about(first.description, origin=False)
    for dataset in sources.values():
        description = commit.about(dataset.description, origin=False)
        for key in sorted({*plan.description, *description}):
            if plan.description.get(key) != description.get(key):
                values = (plan.description.get(key), description.get(key))
                what, one, other = files.first_difference(*values, key)
                raise DataError(
                    f"{dataset.path}: {what} is {other}, that of {first.path} is {one}; clean them into "
                    "different datasets (--startswith, --sources)"
                )
        if dataset.partials:
            plan.notes.append(f"{dataset.path}: {len(dataset.partials)} unfinished runs are left out")
    rate = first.control_rate
    slower = _time_factor(plan.description)
    names = {dataset.path: name for name, dataset in sources.items()}
    for run in progress([run for dataset in sources.values() for run in dataset.runs]):
        kept, why = apply_limits(run, limits, rate, slower)
        if kept is None:
            plan.dropped.append((run.path, why))
        else:
            plan.kept.append(replace(kept, source=names[run.path.parent]))
    old = sum(not item.report.verified for item in plan.kept)
    if old:  # in the new dataset, their run.json has a checksum
        plan.notes.append(f"run.json of {old} of {len(plan.kept)} runs: {commit.UNVERIFIED}")
    parts, note = split([item.key for item in plan.kept], val_len, test_len, seed)
    if note:
        plan.notes.append(note)
    for number, item in enumerate(plan.kept):
        item.part = parts[item.key]
        item.name = fmt.run_name(number, item.run.world)
    plan.warnings += overlap.warnings(
        overlap.Images(item.part, item.key, [look.sha256 for look in item.report.rgb[item.first : item.last]])
        for item in plan.kept
    )
    return plan


def stats(plan: Plan, seed: int) -> dict:
    """Content of stats.json: statistics of total, train, val and test, for all worlds and for each world."""

    def of(items: list[KeptRun]) -> dict:
        outcomes: dict[str, int] = {}
        classes = {"left": 0, "straight": 0, "right": 0}
        for item in items:
            outcomes[item.run.outcome] = outcomes.get(item.run.outcome, 0) + 1
            for name, count in class_counts(item.run.labels()[item.first : item.last]).items():
                classes[name] += count
        looks = (look.sums for item in items for look in item.report.rgb[item.first : item.last])
        return {
            "frames": sum(item.last - item.first for item in items),
            "runs": len(items),
            "outcomes": outcomes,
            "classes": classes,
            "rgb": colour_stats(looks),
        }

    result: dict = {"random_seed": seed, "rgb_sample": f"every {SAMPLE}th row and column of every image"}
    for part in ("total", *fmt.SPLITS):
        items = [item for item in plan.kept if part in ("total", item.part)]
        worlds = sorted({item.run.world for item in items})
        result[part] = {"all": of(items)}
        for world in worlds:
            result[part][world] = of([item for item in items if item.run.world == world])
    return result


def _build(item: KeptRun, folder: Path, place: Callable[[Path, Path], None]) -> None:
    """Make the new run of the kept frames in a folder."""
    frames, sums = item.run.frames, {}
    for names, looks in ((frames.rgb, item.report.rgb), (frames.depth, item.report.depth)):
        sums.update((name, look.sha256) for name, look in zip(names, looks))
    for camera, looks in item.report.sides.items():
        sums.update((fmt.side_file(camera, i), look.sha256) for i, look in enumerate(looks))
    source = {"dataset": item.source, "run": item.run.name, "frames": [item.first, item.last]}
    cut_run(folder, item.name, item.run, item.first, item.last, sums, {"source": source}, place)


def execute(
    plan: Plan,
    destination: Path,
    seed: int,
    how: str = "link",
    overwrite: bool = False,
    progress: Callable[[Iterable[KeptRun]], Iterable[KeptRun]] = iter,
) -> Path:
    """Make the cleaned dataset.

    Args:
        plan: from `make_plan`.
        destination: the new dataset's folder.
        seed: of the split, for stats.json.
        how: `link` (hard links, or copies if the file system cannot link), `copy`, or `move` (removes the
            kept runs from their sources as the last step).
        overwrite: replace an existing dataset.
        progress: wraps the sequence of runs.

    Returns:
        The destination.

    Raises:
        UsageError: a session uses the destination, or a source whose runs are moved.
        DataError: the destination exists, or the file system refuses; the destination is then unchanged.
    """
    check_destination(destination, overwrite)
    moved = sorted({item.run.path.parent for item in plan.kept} if how == "move" else ())
    with held(*moved):
        pass  # fail before anything is made
    place = (lambda a, b: shutil.copyfile(a, b)) if how == "copy" else link_or_copy
    work = destination.with_name(f".{destination.name}.{os.getpid()}.new")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        for left in unfinished(destination):
            os.close(lock_partial(left))
            shutil.rmtree(left)
        files.sweep_removed(destination.parent)
        work.mkdir()
    except OSError as error:
        raise files.disk_error(destination, error) from error
    lock = lock_partial(work)
    try:
        for item in progress(plan.kept):
            _build(item, work / item.name, place)
        for part in fmt.SPLITS:
            names = [item.name for item in plan.kept if item.part == part]
            files.atomic_write(work / fmt.split_file(part), "".join(f"{name}\n" for name in names))
        files.atomic_write(work / fmt.STATS_FILE, files.to_json(stats(plan, seed)))
        sizes = {part: sum(item.part == part for item in plan.kept) for part in fmt.SPLITS}
        files.atomic_write(work / fmt.DATASET_FILE, commit.description_text(plan.description, sizes))
        with held(destination):
            if destination.exists():
                refuse_writers(destination, "--destination")  # a recorder may have started meanwhile
            files.replace_folder(work, destination)
    except OSError as error:
        raise files.disk_error(destination, error) from error
    finally:
        os.close(lock)
        shutil.rmtree(work, ignore_errors=True)
    with held(*moved):
        for item in plan.kept if moved else ():
            files.remove_tree(item.run.path)
    return destination


def refuse_others(destination: Path, sources: Sequence[str]) -> None:
    """Raise a DataError if a run of the destination comes from a dataset not named in `sources`."""
    for file in sorted(destination.glob(f"*/{fmt.RUN_FILE}")):
        made_of = (commit.read_run(file.parent).checked().get("source") or {}).get("dataset")
        if made_of not in sources:
            raise DataError(
                f"{destination}: exists and was made of {made_of or 'no recording'}, not of "
                f"{', '.join(sources)} ({file}); choose another --destination, or remove it yourself"
            )


def check_destination(destination: Path, overwrite: bool) -> None:
    """Check that the destination can be written.

    Raises:
        UsageError: a session uses it.
        DataError: it exists and must not be replaced, or a recorder writes into it.
    """
    if not os.path.lexists(destination):
        return
    if not os.path.exists(destination / fmt.DATASET_FILE):
        raise DataError(f"{destination}: exists and is no dataset; choose another --destination")
    if not overwrite:
        raise DataError(f"{destination}: exists; choose another --destination, or --owr to replace it")
    with held(destination):
        refuse_writers(destination, "--destination")


def unfinished(destination: Path) -> list[Path]:
    """The hidden work folders of this destination, from running or killed commands."""
    name = re.compile(rf"\.{re.escape(destination.name)}\.\d+\.new\Z")
    return sorted(path for path in destination.parent.glob(".*.new") if name.match(path.name))
