"""Reads a scalar of a training by gradient step from its log folder.

The source is metrics.jsonl or, without it, TensorBoard's event files, which the predecessor and other tools
also write. Both are read in pieces. Points of lost work that was repeated are dropped: when a step occurs
again, all earlier points from that step on are dropped.
"""

from __future__ import annotations

import os
import re
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import msgspec
import numpy as np

from nav_pkg.children import start_process_pool
from nav_pkg.core import DataError, nearest_name
from nav_pkg.reading import open_regular, read_error
from nav_pkg.report.curves import METRICS_FILE
from nav_pkg.report.events import Scalar, read_events

_NOT_FINITE = re.compile(rb"-?\b(?:NaN|Infinity)\b")
EVENTS = "events.out.tfevents.*"
READ_BYTES = 1 << 20
"""Bytes of metrics.jsonl per read; this size fits into the processor's cache."""
MAX_LINE = 1 << 24
"""Maximum length of a line, bytes."""
PARALLEL_BYTES = 300_000_000
"""Total file size in bytes from which several processes are faster, despite their start."""
MAX_PROCESSES = 8

_PARTS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
_KEYS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "majority_accuracy": "majority_accuracy",
    "imitation_learning": "imitation_loss",
    "imitation_loss": "imitation_loss",
    "total": "loss",
    "loss": "loss",
}
LOWER_IS_BETTER = ("imitation_loss", "loss")
"""Scores for which smaller values are better."""


@dataclass(frozen=True)
class Curve:
    """A scalar of one training.

    Attributes:
        steps: gradient steps, increasing, int64 (n,).
        values: float64 (n,), finite.
        notes: texts about dropped points.
    """

    steps: np.ndarray
    values: np.ndarray
    notes: Tuple[str, ...] = ()


def score_of(tag: str) -> Optional[Tuple[str, str]]:
    """The part (train, val, test) and score that a TensorBoard tag names; None for any other tag.

    `Loss_val_accuracy`, the predecessor's later `validation_accuracy` and `val_accuracy` are equivalent.
    """
    part, _, key = tag.split("Loss_", 1)[-1].partition("_")
    return (_PARTS[part], _KEYS[key]) if part in _PARTS and key in _KEYS else None


def lower_is_better(tag: str) -> bool:
    """Whether a tag's best value is its smallest one."""
    score = score_of(tag)
    return score is not None and score[1] in LOWER_IS_BETTER or score is None and "loss" in tag.lower()


def is_training(folder: Path) -> bool:
    """Whether a folder is the log folder of a training that has written metrics or event files."""
    return os.path.lexists(folder / METRICS_FILE) or any(folder.glob(EVENTS))


def read_curve(folder: Path, tag: str) -> Curve:
    """Read a scalar of a training.

    Args:
        folder: its log folder.
        tag: TensorBoard's name of the scalar, such as `Loss_val_accuracy`.

    Raises:
        DataError: no file to read, no such scalar, or no finite value of it.
    """
    notes: List[str] = []
    metrics = folder / METRICS_FILE
    if os.path.lexists(metrics) and score_of(tag) is not None:
        scalar = _of_metrics(metrics, tag, notes)
    elif os.path.lexists(metrics) and not any(folder.glob(EVENTS)):
        known = [f"Loss_{part}_{key}" for part in ("train", "val", "test") for key in _KEYS]
        raise DataError(f"{metrics}: has no scalar {tag!r}{nearest_name(tag, known)}")
    else:
        scalar = _of_events(folder, tag, notes)
    steps, values = _without_lost(scalar)
    finite = np.isfinite(values)
    if not finite.all():
        notes.append(f"{int((~finite).sum())} of {len(values)} values of {tag} are not finite: left out")
        if not finite.any():
            raise DataError(f"{folder}: no value of {tag} is finite: the training diverged; leave it out")
    return Curve(steps[finite], values[finite], tuple(notes))


def read_curves(folders: Sequence[Path], tag: str) -> List[Curve]:
    """Read a scalar of several trainings; large files are read by several processes.

    Raises:
        DataError: as in `read_curve`, for the first training that cannot be read.
    """
    files = [file for folder in folders for file in (folder / METRICS_FILE, *folder.glob(EVENTS))]
    size = sum(file.stat().st_size for file in files if file.is_file())
    processes = min(len(os.sched_getaffinity(0)), len(folders), MAX_PROCESSES)
    if processes > 1 and size >= PARALLEL_BYTES:
        try:
            pool, _ = start_process_pool(processes)
        except OSError:  # not enough memory or semaphores
            return [read_curve(folder, tag) for folder in folders]
        try:
            return list(pool.map(read_curve, folders, [tag] * len(folders)))
        except BrokenProcessPool:  # killed, perhaps for lack of memory: read one by one
            pass
        finally:
            pool.shutdown(kill_workers=True)  # also after Ctrl-C
    return [read_curve(folder, tag) for folder in folders]


def _without_lost(scalar: Scalar) -> Scalar:
    if not len(scalar.steps):
        return scalar
    later = np.minimum.accumulate(scalar.steps[::-1])[::-1]
    kept = np.append(scalar.steps[:-1] < later[1:], True)
    return Scalar(scalar.steps[kept], scalar.values[kept])


def _of_metrics(path: Path, tag: str, notes: List[str]) -> Scalar:
    score = score_of(tag)
    assert score is not None
    part, key = score
    scores = msgspec.defstruct("Scores", [("value", Optional[float], None)], rename={"value": key}, gc=False)
    line = msgspec.defstruct(
        "Line", [("updates", int), ("scores", Optional[scores], None)], rename={"scores": part}, gc=False
    )
    decoder = msgspec.json.Decoder(line)
    steps: List[np.ndarray] = []
    values: List[np.ndarray] = []
    damaged = whole = 0
    for piece in _lines(path):
        records, bad = _decode(decoder, piece)
        damaged += bad
        steps_fit = [record for record in records if 0 <= record.updates < 1 << 63]
        damaged += len(records) - len(steps_fit)
        whole += len(steps_fit)
        records = [record for record in steps_fit if record.scores is not None]
        if records:
            steps.append(np.array([record.updates for record in records], np.int64))
            values.append(np.array([record.scores.value for record in records], np.float64))
    if damaged:
        notes.append(f"{path}: {damaged} damaged lines: left out")
    if damaged and not whole:
        raise DataError(
            f"{path}: none of its {damaged} lines can be read: leave it out, or run the training's command "
            "again"
        )
    if not steps:
        raise DataError(f"{path}: has no {tag}: no line holds {part!r} scores; train longer, or see --tags")
    return Scalar(np.concatenate(steps), np.concatenate(values))


def _lines(path: Path) -> Iterator[memoryview]:
    """Read complete lines, many at once, into a buffer that the next lines overwrite.

    A last line without an end may still be written, and is dropped.
    """
    buffer = bytearray(READ_BYTES)
    filled = 0
    with open_regular(path) as stream:
        while True:
            if filled == len(buffer):
                if filled >= MAX_LINE:
                    raise DataError(f"{path}: a line of more than {MAX_LINE:,} bytes: no metrics")
                buffer = buffer + bytes(filled)
            try:
                count = stream.readinto(memoryview(buffer)[filled:])
            except OSError as error:
                raise read_error(path, error) from error
            if not count:
                return
            whole = buffer.rfind(b"\n", filled, filled + count) + 1
            filled += count
            if whole:
                yield memoryview(buffer)[:whole]
                buffer[: filled - whole] = buffer[whole:filled]
                filled -= whole


def _decode(decoder: Any, piece: memoryview) -> Tuple[List[Any], int]:
    """Decode lines: the records, and the number of damaged lines. Lines may hold NaN, which is not JSON."""
    try:
        return decoder.decode_lines(piece), 0
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        records: List[Any] = []
        lines = [line for line in bytes(piece).split(b"\n") if line.strip()]
        for line in lines:
            try:
                records.append(decoder.decode(_NOT_FINITE.sub(b"null", line)))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
        return records, len(lines) - len(records)


def _of_events(folder: Path, tag: str, notes: List[str]) -> Scalar:
    files = sorted(folder.glob(EVENTS))
    if not files:
        raise DataError(f"{folder}: neither {METRICS_FILE} nor event files: no training has written here")
    score = score_of(tag)
    parts: List[Scalar] = []
    others: Dict[str, None] = {}
    for file in files:  # sorted by time: their names begin with it
        scalars, whole = read_events(file)
        if not whole:
            notes.append(f"{file}: cut or still written to: read as far as it is whole")
        same = [name for name in scalars if name == tag or (score and score_of(name) == score)]
        parts += [scalars[name] for name in same]
        others.update(dict.fromkeys(scalars))
    if not parts:
        known = sorted(others)
        raise DataError(
            f"{folder}: has no scalar {tag!r}{nearest_name(tag, known) or '; it has none at all'}"
        )
    return Scalar(*(np.concatenate(arrays) for arrays in zip(*parts)))
