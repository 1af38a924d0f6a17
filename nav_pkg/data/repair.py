"""Repair a dataset: rebuild crashed and damaged runs from their valid frames, quarantine the rest.

The longest valid prefix of a damaged run stays as a run. The damaged folder moves to
`<dataset>/quarantine/`, beside a file with the reason; nothing that decodes is deleted. Repair is
idempotent: a second repair changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Callable, Iterable, Optional

import numpy as np

from nav_pkg.core import DataError, Outcome
from nav_pkg.data import commit, files
from nav_pkg.data import format as fmt
from nav_pkg.data.folders import (
    CONVERTED,
    START_FILE,
    file_sha256,
    lock_partial,
    quarantine,
    read_scan_header,
    remove_start_file,
)
from nav_pkg.data.image_inspection import inspect_image
from nav_pkg.data.image_store import ImageStore
from nav_pkg.data.image_tar import ImageTar
from nav_pkg.data.new_run import build_run
from nav_pkg.data.reader import Dataset, Run
from nav_pkg.data.totals import Totals, differences
from nav_pkg.data.verify import is_one_period, verify_run
from nav_pkg.fields import wrong_fields

_REPAIR = ".repair"
_MOST_RAYS = 10**6


class ValidPrefix:
    """The longest valid prefix of a run: its first frames up to the first damage.

    Attributes:
        images: the run's images.
        frames: number of frames in the prefix.
        rows: its lines of frames.csv, without the header.
        totals: the totals of these rows.
        sensors: `rgb`, `depth` as [height, width], `scan` as number of rays; None for a missing sensor.
        sums: SHA-256 of its images.
        scan: float32 (frames, rays), or None.
        damage: the damage that ends the prefix; empty if the run has none.
        trusted: whether frames.csv and scan.npy match the commit, as far as its checksums are known.
    """

    def __init__(self, folder: Path, rate: float):
        self.folder = folder
        self.images = ImageStore(folder)
        self.rows: list[str] = []
        self.totals = Totals()
        self.sums: dict[str, bytes] = {}
        self.sensors: dict = {"rgb": None, "depth": None, "scan": None}
        self.damage = ""
        scan = self._read_scan()
        facts, _ = _read_facts(folder)
        known: dict[str, bytes] = {}
        with contextlib.suppress(DataError):
            known = commit.read_sums(folder).by_path
        self._stated_sensors = facts.get("sensors") or {}
        try:
            text = files.read_small(folder / fmt.FRAMES_FILE, 1 << 30, follow=False).decode(
                "utf-8", "replace"
            )
        except DataError as error:
            text = ""
            self.damage = str(error)
        lines = text.split("\n")
        last: Optional[int] = None
        gaps = bool(facts.get("missing"))
        if text and lines[0] != fmt.HEADER:
            self.damage = "frames.csv: its header is not the format's"
            lines = [""]
        if lines[-1]:
            self.damage = f"frames.csv: cut in line {len(lines)}"
        for line in lines[1:-1]:
            index = len(self.rows)
            try:
                frame = fmt.row_to_frame(line)
                step = frame.stamp if last is None else frame.stamp - last
                if frame.index != index or not (gaps or last is None or is_one_period(step, rate)):
                    raise ValueError("index or stamp does not follow its predecessor's")
                if step < 0 or (last is None and step and not gaps):
                    raise ValueError("stamps do not begin at 0 and increase")
                self._check_frame(index, line, scan, known)
            except (ValueError, DataError) as error:
                self.damage = f"frame {index}: {error}"
                break
            last = frame.stamp
            self.rows.append(line)
            self.totals.add(frame)
        self.frames = len(self.rows)
        self.trusted = all(
            _is_same(folder / name, known[name]) for name in (fmt.FRAMES_FILE, fmt.SCAN_FILE) if name in known
        )
        self.scan = None if scan is None else scan[: self.frames]

    def _read_scan(self) -> Optional[np.ndarray]:
        """All complete rows of scan.npy, even if its header states another number."""
        try:
            with files.open_regular(self.folder / fmt.SCAN_FILE, follow=False) as stream:
                shape = read_scan_header(stream)
                ranges = np.fromfile(stream, "<f4")
        except (DataError, OSError):
            return None
        if shape is None or not 0 < shape[1] <= _MOST_RAYS:
            return None
        rows = len(ranges) // shape[1]
        return ranges[: rows * shape[1]].reshape(rows, shape[1])

    def _check_frame(
        self, index: int, line: str, scan: Optional[np.ndarray], known: dict[str, bytes]
    ) -> None:
        fields = line.split(",")
        shapes: dict = {}
        sums: dict[str, bytes] = {}
        for kind, name in (("rgb", fmt.rgb_file(index)), ("depth", fmt.depth_file(index))):
            written = fields[fmt.COLUMNS.index(kind)]
            if written not in ("", name):
                raise ValueError(f"{kind} is {written!r}")
            shapes[kind] = None
            if written:
                shapes[kind] = self._check_image(kind, name, known, sums)
        if scan is not None and index >= len(scan):
            raise ValueError("scan.npy ends before it")
        for camera in fmt.SIDE_CAMERAS:
            if self.images.camera(fmt.side_folder(camera)).exists():
                name = fmt.side_file(camera, index)
                kind = fmt.side_sensor(camera)
                shapes[kind] = self._check_image(kind, name, known, sums)
        shapes["scan"] = None if scan is None else int(scan.shape[1])
        if index == 0:
            self.sensors = shapes
        if shapes != self.sensors:
            raise ValueError(f"images of {shapes} instead of {self.sensors}")
        self.sums.update(sums)

    def _check_image(
        self, kind: str, name: str, known: dict[str, bytes], sums: dict[str, bytes]
    ) -> list[int]:
        """Verify an image and store its checksum in `sums`; return its height and width."""
        size = fmt.image_size(self.sensors, kind) or fmt.image_size(self._stated_sensors, kind)
        report = inspect_image(self.images, name, size)
        if report.problem:
            raise ValueError(f"{name}: {report.problem}")
        if known.get(name, report.sha256) != report.sha256:
            raise ValueError(f"{name}: changed since its commit")
        sums[name] = report.sha256
        return list(report.shape)


def _is_same(path: Path, sha256: bytes) -> bool:
    """Whether a file is missing or matches its checksum."""
    try:
        return not os.path.lexists(path) or file_sha256(path) == sha256
    except DataError:
        return False


def _read_facts(folder: Path) -> tuple[dict, bool]:
    """The facts of a run from run.json, else from start.json, and whether the file is unchanged."""
    with contextlib.suppress(DataError):
        committed = commit.read_run(folder)
        return committed.value, not committed.problems
    with contextlib.suppress(DataError):
        start = files.read_json(folder / START_FILE)
        wrong = {*wrong_fields(start, commit.START), "dataset"}
        return {key: value for key, value in start.items() if key not in wrong}, True
    return {}, False


def _rebuild_prefix(folder: Path, name: str, reason: str, rate: float) -> tuple[Optional[Path], ValidPrefix]:
    """Build the valid prefix of a run in a hidden folder beside it; None if it has no valid frame."""
    prefix = ValidPrefix(folder, rate)
    if not prefix.frames:
        return None, prefix
    facts, intact = _read_facts(folder)
    known = facts.get("outcome") in [outcome.value for outcome in Outcome]
    # if the facts were changed, the outcome may be changed, too
    complete = intact and known and prefix.trusted and facts.get("frames") == prefix.frames
    before = {"outcome": facts.get("outcome"), "frames": facts.get("frames")}
    parsed = fmt.parse_run_name(name)
    facts = {
        "world": parsed[1] if parsed else "",
        **facts,
        "repaired": {"reason": reason, "before": before},
    }
    if not complete:
        facts.update(outcome=Outcome.ABORTED.value, reason=reason)
    if not complete or differences(facts, prefix.totals, rate):
        facts.update(prefix.totals.metadata(facts))
    target = folder.parent / f".{name}{_REPAIR}"
    shutil.rmtree(target, ignore_errors=True)
    images = {path: (path, sha256) for path, sha256 in prefix.sums.items()}
    build_run(target, name, facts, prefix.rows, prefix.scan, prefix.sensors, images, prefix.images)
    return target, prefix


def repair_dataset(dataset: Dataset, progress: Callable[[Iterable[Run]], Iterable[Run]] = iter) -> list[str]:
    """Repair a dataset.

    Args:
        dataset: the dataset.
        progress: wraps the sequence of runs while they are verified.

    Returns:
        One line per change; empty if the dataset is intact.

    Raises:
        DataError: the file system refuses.
    """
    done = _finish_interrupted(dataset)
    rate = dataset.control_rate
    for partial in dataset.partials:
        done.append(_repair_partial(partial, rate))
    for run in progress(dataset.runs):
        done += _repair_indexes(run)
        problems = verify_run(Run(run.path), rate).problems
        if problems:
            done.append(_repair_run(run, problems, rate))
    files.fsync(dataset.path)
    done += _repair_splits(dataset)
    return done


def _finish_interrupted(dataset: Dataset) -> list[str]:
    """Finish or remove the hidden remains of an interrupted repair, removal or write."""
    done = []
    for path in sorted(dataset.path.glob(".*")):
        if path.suffix in (_REPAIR, CONVERTED):
            final = dataset.path / path.name[1 : -len(path.suffix)]
            if (path / fmt.RUN_FILE).exists() and not final.exists():
                os.rename(path, final)
                done.append(f"{final}: an interrupted command was completed")
                continue
        elif not path.name.endswith((".removed", ".tmp")):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        done.append(f"{path}: left by an interrupted command; removed")
    return done


def _repair_partial(partial: Path, rate: float) -> str:
    try:
        lock = lock_partial(partial)
    except DataError as error:
        return f"{error}: left alone"
    try:
        name = partial.name[: -len(fmt.PARTIAL)]
        final = partial.parent / name
        if final.exists() or fmt.parse_run_name(name) is None:
            quarantined = quarantine(
                partial, "unfinished, and a run of this name is there (or the name is none)"
            )
            return f"{partial}: unfinished beside a run of that name; moved to {quarantined}"
        _repair_indexes(Run(partial))
        report = verify_run(Run(partial), rate)
        if not report.problems and Run(partial).facts["name"] == name:
            remove_start_file(partial)
            os.rename(partial, final)
            return f"{partial}: whole but for its last rename; committed as {name}"
        built, prefix = _rebuild_prefix(partial, name, "the recorder stopped before the run's commit", rate)
        if built is None:
            files.remove_tree(partial)
            return f"{partial}: no whole frame; removed"
        os.rename(built, final)
        rest = prefix.damage or "nothing more"
        quarantined = quarantine(partial, f"{prefix.frames} frames were salvaged as {name}; then: {rest}")
        return (
            f"{partial}: {prefix.frames} frames salvaged as {name} (aborted); the folder is in {quarantined}"
        )
    finally:
        os.close(lock)


def _repair_indexes(run: Run) -> list[str]:
    """Write the indexes that are missing or do not fit, of tars without damage."""
    done = []
    for folder in fmt.IMAGE_FOLDERS:
        tar = run.images.camera(folder)
        if isinstance(tar, ImageTar) and tar.is_whole() and not tar.index_fits():
            files.atomic_write(tar.index_path, tar.index_from_headers())
            done.append(f"{tar.index_path}: written again from the headers of {tar.path.name}")
    return done


def _repair_run(run: Run, problems: list[str], rate: float) -> str:
    built, prefix = _rebuild_prefix(run.path, run.name, problems[0], rate)
    quarantined = quarantine(run.path, "\n".join(problems))
    if built is None:
        return f"{run.path}: damaged ({problems[0]}), no good frame; moved to {quarantined}"
    os.rename(built, run.path)
    outcome = Run(run.path).outcome
    return (
        f"{run.path}: damaged ({problems[0]}); its first {prefix.frames} frames stay ({outcome}), "
        f"the folder is in {quarantined}"
    )


def _repair_splits(dataset: Dataset) -> list[str]:
    """Remove names of missing runs from the lists of the splits."""
    done = []
    existing = {run.name for run in dataset.runs}
    for part in fmt.SPLITS:
        path = dataset.path / fmt.split_file(part)
        try:
            lines = [line for line in files.read_text(path, follow=False).splitlines() if line.strip()]
        except DataError:
            continue  # `verify` reports it
        kept = [
            line for line in lines if line.strip() in existing or fmt.parse_run_name(line.strip()) is None
        ]
        if kept != lines:
            files.atomic_write(path, "".join(f"{line}\n" for line in kept))
            missing = sorted(set(lines) - set(kept))
            done.append(
                f"{path}: without {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} gone"
            )
    return done
