"""The log files of a training run: metrics, timings, TensorBoard events.

`metrics.jsonl` has one line per episode and contains nothing that depends on the clock: two runs of the
same command write the same bytes, interrupted or not. `timing.jsonl` contains the rest. TensorBoard's
events are written from both. On a resume they are written anew: no curve has a point twice.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Iterable, Mapping, Optional, Sequence, Tuple

from tqdm import tqdm

from nav_pkg import schemas
from nav_pkg.core import UsageError
from nav_pkg.data.files import atomic_write, disk_error, read_json_lines, read_small
from nav_pkg.fields import Field

METRICS_FILE = "metrics.jsonl"
TIMING_FILE = "timing.jsonl"

Record = dict

_NOT_TIMING = ("episode", "time")


def episode_scalars(record: dict[str, Any], names: list[str]) -> dict[str, float]:
    """The TensorBoard scalars of the scores in a record.

    Args:
        record: with any of the keys train, val, test.
        names: the names of the classes.

    Returns:
        Scalars by tag, for example `Loss_val_accuracy`: `accuracy`, `balanced_accuracy`,
        `imitation_learning` (mean squared difference of yaw rates), `total` (the minimised loss),
        `majority_accuracy`, and `recall_<class>` for the classes that occur.
    """
    scalars = {}
    for part in ("train", "val", "test"):
        if part not in record:
            continue
        values = record[part]
        scalars[f"Loss_{part}_accuracy"] = values["accuracy"]
        scalars[f"Loss_{part}_balanced_accuracy"] = values["balanced_accuracy"]
        scalars[f"Loss_{part}_majority_accuracy"] = values["majority_accuracy"]
        scalars[f"Loss_{part}_imitation_learning"] = values["imitation_loss"]
        scalars[f"Loss_{part}_total"] = values["loss"]
        for name, recall in zip(names, values["recall"]):
            if recall is not None:
                scalars[f"Loss_{part}_recall_{name}"] = recall
    return scalars


def say(text: str) -> None:
    """Print a line immediately, above a progress bar if one is shown."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


class TrainingLog:
    """The log files of one training run.

    Args:
        folder: the log folder.
        class_names: names of the classes, in order.
        tensorboard: whether to write TensorBoard events.
        episodes: episodes that the checkpoint to resume from has completed. Lines of later episodes are
            dropped: their work was lost and will be repeated.
        before: episodes completed in another log before this log began; None if unknown.

    Attributes:
        records: the lines of metrics.jsonl.

    Raises:
        UsageError: TensorBoard is requested and not installed.
        DataError: the files cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        class_names: list[str],
        tensorboard: bool,
        episodes: int = 0,
        before: Optional[int] = 0,
    ):
        self._folder, self._names, self._board = folder, class_names, None
        self._episodes, self._before = episodes, before
        self.records = self._read_and_truncate(METRICS_FILE, schemas.METRICS)
        timings = self._read_and_truncate(TIMING_FILE, schemas.TIMING)
        self._timings = [{k: v for k, v in line.items() if isinstance(v, (int, float))} for line in timings]
        if tensorboard:
            for events in folder.glob("events.out.tfevents.*"):
                events.unlink()
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise UsageError("--tensorboard: pip install tensorboard, or leave it out") from error
            self._board = SummaryWriter(str(folder))
            timings = {timing["episode"]: timing for timing in self._timings}
            for record in self.records:
                self._show(record, timings.get(record["episode"], {}))

    def _read_and_truncate(self, name: str, fields: Mapping[str, Field]) -> list[Record]:
        """Reduce a file to the readable lines of the checkpoint's episodes, and return these.

        A warning names the checkpoint's episodes that the file lacks. The original of a file with lost
        episodes is kept beside it under another name.
        """
        path = self._folder / name
        exists = os.path.lexists(path)
        readable, unreadable = read_json_lines(path, fields) if exists else ([], [])
        kept = {record["episode"]: record for record in readable if record["episode"] <= self._episodes}
        first = min(kept, default=self._episodes + 1) if self._before is None else self._before + 1
        lost = _gaps(sorted(kept), first, self._episodes)
        records = [kept[episode] for episode in sorted(kept)]
        text = "".join(map(_line, records))
        if lost:
            lines = (
                f"line {_shown(_spans(unreadable))} cannot be read" if unreadable else "they are not in it"
            )
            reason = f"{lines}{self._back_up(path, text)}" if exists else "the file is missing"
            say(
                f"warning: {path}: lost episode {_shown(lost)} of the {self._episodes} that the checkpoint "
                f"knows ({reason}); training is not affected, the curves lack them"
            )
        atomic_write(path, text, "--summary_dir")
        return records

    @staticmethod
    def _back_up(path: Path, text: str) -> str:
        """Copy a file before this text replaces it, unless both are equal; return a message about it."""
        was = read_small(path)
        if was == text.encode():
            return ""
        names = itertools.chain(["damaged"], (f"damaged.{number}" for number in itertools.count(2)))
        beside = next(
            place
            for place in (path.with_name(f"{path.name}.{end}") for end in names)
            if not os.path.lexists(place)
        )
        atomic_write(beside, was, "--summary_dir")
        return f"; the file as it was is {beside.name}"

    def last(self, episode: int) -> Optional[Record]:
        """The last line if its episode has this number; None if that line is lost or was never written."""
        return next((record for record in self.records[-1:] if record["episode"] == episode), None)

    def append(self, record: Record, timing: Record) -> None:
        """Append an episode's line to each file, flushed to disk, and to TensorBoard.

        Raises:
            DataError: writing failed.
        """
        timing = {"episode": record["episode"], "time": round(time.time(), 3), **timing}
        for name, line in ((METRICS_FILE, record), (TIMING_FILE, timing)):
            path = self._folder / name
            try:
                with open(path, "a", encoding="utf-8") as file:
                    file.write(_line(line))
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise disk_error(path, error, "--summary_dir") from error
        self.records.append(record)
        self._timings.append(timing)
        self._show(record, timing)

    def test(self, values: dict[str, Any], updates: int) -> None:
        """Write the scores over the test set to TensorBoard, at a number of gradient steps."""
        self._scalars(episode_scalars({"test": values}, self._names), updates)

    def mean_timing(self) -> dict[str, float]:
        """The mean over episodes of each value in timing.jsonl."""
        keys = [key for key in (self._timings[-1] if self._timings else {}) if key not in _NOT_TIMING]
        return {
            key: sum(timing.get(key, 0.0) for timing in self._timings) / len(self._timings) for key in keys
        }

    def _show(self, record: Record, timing: Record) -> None:
        scalars = episode_scalars(record, self._names)
        scalars.update({f"Speed_{key}": timing[key] for key in timing if key not in _NOT_TIMING})
        self._scalars(scalars, record["updates"], timing.get("time"))

    def _scalars(self, values: dict[str, float], updates: int, when: Optional[float] = None) -> None:
        if self._board is not None:
            for tag, value in values.items():
                self._board.add_scalar(tag, value, updates, walltime=when)

    def close(self) -> None:
        """Flush and close."""
        if self._board is not None:
            self._board.close()


Span = Tuple[int, int]
"""The first and the last of a range of consecutive numbers."""


def _gaps(present: Sequence[int], first: int, last: int) -> list[Span]:
    """The numbers from `first` to `last` missing in an increasing sequence; fast for any count."""
    gaps, expected = [], first
    for number in (*present, last + 1):
        if number > expected:
            gaps.append((expected, number - 1))
        expected = max(expected, number + 1)
    return gaps


def _spans(numbers: Sequence[int]) -> list[Span]:
    """Group increasing numbers into ranges of consecutive numbers."""
    spans: list[Span] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return spans


def _shown(spans: Sequence[Span]) -> str:
    """Format ranges for a message: `2, 4 to 7`."""
    parts = [str(a) if a == b else f"{a} to {b}" for a, b in spans[:10]]
    return ", ".join(parts) + (f" and {len(spans) - 10} more" if len(spans) > 10 else "")


def _line(record: Record) -> str:
    return json.dumps(record, sort_keys=False, allow_nan=False) + "\n"


def episode_line(record: Record, timing: Record, names: Iterable[str], max_episodes: int) -> str:
    """Format an episode as one line for the terminal."""
    train, val = record["train"], record["val"]
    recall = " ".join(
        f"{name} {'-' if value is None else f'{value:.2f}'}" for name, value in zip(names, val["recall"])
    )
    return (
        f"episode {record['episode']}/{max_episodes}: "
        f"train loss {train['loss']:.4f} accuracy {train['accuracy']:.3f} | "
        f"val loss {val['loss']:.4f} accuracy {val['accuracy']:.3f} "
        f"(majority {val['majority_accuracy']:.3f}, balanced {val['balanced_accuracy']:.3f}, "
        f"recall {recall}) imitation {val['imitation_loss']:.4f} | "
        f"{timing['samples_per_second']:,.0f} frames/s, waiting {timing['waiting_share']:.1%}, "
        f"{timing['host_memory_mb'] / 1000:.1f} GB"
        + (f", GPU {timing['gpu_memory_mb'] / 1000:.1f} GB" if "gpu_memory_mb" in timing else "")
    )
