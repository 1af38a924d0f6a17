"""Clean recordings: select valid runs, cut their useless ends, split them by run, write the statistics.

A seed determines the split. The destination is made atomically. The sources change only if their runs are
moved.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping, Sequence

from nav_pkg.core import DataError
from nav_pkg.data import commit, files, overlap
from nav_pkg.data import format as fmt
from nav_pkg.data.cleaning_limits import CleaningLimits, KeptRun, apply_limits
from nav_pkg.data.cut import cut_run
from nav_pkg.data.folders import check_no_writers, lock_partial, locked_datasets
from nav_pkg.data.image_inspection import SAMPLE_STEP
from nav_pkg.data.info import class_counts, colour_stats, order_key
from nav_pkg.data.new_run import link_or_copy
from nav_pkg.data.reader import Dataset, Run


@dataclass
class CleaningPlan:
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


def plan_cleaning(
    sources: Mapping[str, Dataset],
    limits: CleaningLimits,
    val_len: int = 10,
    test_len: int = 10,
    seed: int = 123,
    progress: Callable[[Iterable[Run]], Iterable[Run]] = iter,
) -> CleaningPlan:
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
    plan = CleaningPlan()
    first = next(iter(sources.values()))
    # the origin of a dataset is not a property of its robot
    plan.description = commit.recording_entries(first.description, origin=False)
    for dataset in sources.values():
        description = commit.recording_entries(dataset.description, origin=False)
        for key in sorted({*plan.description, *description}):
            if plan.description.get(key) != description.get(key):
                values = (plan.description.get(key), description.get(key))
                where, wanted, actual = files.first_difference(*values, key)
                raise DataError(
                    f"{dataset.path}: {where} is {actual}, that of {first.path} is {wanted}; clean them into "
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
        overlap.RunImages(
            item.part,
            item.key,
            [image_report.sha256 for image_report in item.report.rgb[item.first : item.last]],
        )
        for item in plan.kept
    )
    return plan


def stats(plan: CleaningPlan, seed: int) -> dict:
    """Content of stats.json: statistics of total, train, val and test, for all worlds and for each world."""

    def part_stats(items: list[KeptRun]) -> dict:
        outcomes: dict[str, int] = {}
        classes = {"left": 0, "straight": 0, "right": 0}
        for item in items:
            outcomes[item.run.outcome] = outcomes.get(item.run.outcome, 0) + 1
            for name, count in class_counts(item.run.labels()[item.first : item.last]).items():
                classes[name] += count
        image_reports = (
            image_report.sums for item in items for image_report in item.report.rgb[item.first : item.last]
        )
        return {
            "frames": sum(item.last - item.first for item in items),
            "runs": len(items),
            "outcomes": outcomes,
            "classes": classes,
            "rgb": colour_stats(image_reports),
        }

    result: dict = {"random_seed": seed, "rgb_sample": f"every {SAMPLE_STEP}th row and column of every image"}
    for part in ("total", *fmt.SPLITS):
        items = [item for item in plan.kept if part in ("total", item.part)]
        worlds = sorted({item.run.world for item in items})
        result[part] = {"all": part_stats(items)}
        for world in worlds:
            result[part][world] = part_stats([item for item in items if item.run.world == world])
    return result


def _make_run(item: KeptRun, folder: Path, transfer_file: Callable[[Path, Path], None]) -> None:
    """Make the new run of the kept frames in a folder."""
    frames, sums = item.run.frames, {}
    for names, image_reports in ((frames.rgb, item.report.rgb), (frames.depth, item.report.depth)):
        sums.update((name, image_report.sha256) for name, image_report in zip(names, image_reports))
    for camera, image_reports in item.report.sides.items():
        sums.update(
            (fmt.side_file(camera, i), image_report.sha256) for i, image_report in enumerate(image_reports)
        )
    source = {"dataset": item.source, "run": item.run.name, "frames": [item.first, item.last]}
    cut_run(folder, item.name, item.run, item.first, item.last, sums, {"source": source}, transfer_file)


def make_dataset(
    plan: CleaningPlan,
    destination: Path,
    seed: int,
    transfer: str = "link",
    overwrite: bool = False,
    progress: Callable[[Iterable[KeptRun]], Iterable[KeptRun]] = iter,
) -> Path:
    """Make the cleaned dataset.

    Args:
        plan: from `plan_cleaning`.
        destination: the new dataset's folder.
        seed: of the split, for stats.json.
        transfer: `link` (hard links, or copies if the file system cannot link), `copy`, or `move` (removes
            the kept runs from their sources as the last step).
        overwrite: replace an existing dataset.
        progress: wraps the sequence of runs.

    Returns:
        The destination.

    Raises:
        UsageError: a session uses the destination, or a source whose runs are moved.
        DataError: the destination exists, or the file system refuses; the destination is then unchanged.
    """
    check_destination(destination, overwrite)
    sources = sorted({item.run.path.parent for item in plan.kept} if transfer == "move" else ())
    with locked_datasets(*sources):
        pass  # fail before anything is made
    transfer_file = (lambda a, b: shutil.copyfile(a, b)) if transfer == "copy" else link_or_copy
    work = destination.with_name(f".{destination.name}.{os.getpid()}.new")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        for left in unfinished_folders(destination):
            os.close(lock_partial(left))
            shutil.rmtree(left)
        files.sweep_removed(destination.parent)
        work.mkdir()
    except OSError as error:
        raise files.disk_error(destination, error) from error
    lock = lock_partial(work)
    try:
        for item in progress(plan.kept):
            _make_run(item, work / item.name, transfer_file)
        for part in fmt.SPLITS:
            names = [item.name for item in plan.kept if item.part == part]
            files.atomic_write(work / fmt.split_file(part), "".join(f"{name}\n" for name in names))
        files.atomic_write(work / fmt.STATS_FILE, files.to_json(stats(plan, seed)))
        sizes = {part: sum(item.part == part for item in plan.kept) for part in fmt.SPLITS}
        files.atomic_write(work / fmt.DATASET_FILE, commit.description_text(plan.description, sizes))
        with locked_datasets(destination):
            if destination.exists():
                check_no_writers(destination, "--destination")  # a recorder may have started meanwhile
            files.replace_folder(work, destination)
    except OSError as error:
        raise files.disk_error(destination, error) from error
    finally:
        os.close(lock)
        shutil.rmtree(work, ignore_errors=True)
    with locked_datasets(*sources):
        for item in plan.kept if sources else ():
            files.remove_tree(item.run.path)
    return destination


def check_same_sources(destination: Path, sources: Sequence[str]) -> None:
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
    with locked_datasets(destination):
        check_no_writers(destination, "--destination")


def unfinished_folders(destination: Path) -> list[Path]:
    """The hidden work folders of this destination, from running or killed commands."""
    name = re.compile(rf"\.{re.escape(destination.name)}\.\d+\.new\Z")
    return sorted(path for path in destination.parent.glob(".*.new") if name.match(path.name))
