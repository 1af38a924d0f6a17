"""What a training run leaves beside its checkpoint: metrics, timings, TensorBoard events.

`metrics.jsonl` has one line an episode and holds nothing that depends on the clock: two runs of the
same command write the same bytes, interrupted or not. `timing.jsonl` has the rest. TensorBoard's
events are made from both; on a resume they are made anew, so that no curve has a point twice.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Iterable, Optional

from tqdm import tqdm

from nav_pkg.core import UsageError
from nav_pkg.data.files import atomic_write, disk_error

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
        `Loss_val_accuracy` and the like by tag: `accuracy`, `balanced_accuracy`,
        `imitation_learning` (mean squared difference of yaw rates), `total` (the loss that is
        minimised), `majority_accuracy`, and `recall_<class>` for the classes that occur.
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
    """Print a line at once, above a progress bar if there is one."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


class RunLog:
    """The log files of one training run.

    Args:
        folder: the log folder.
        class_names: names of the classes, in order.
        tensorboard: whether to write TensorBoard events.
        episodes: episodes that are known to the checkpoint which training goes on from; later
            lines are of work that was lost and will be done again.

    Attributes:
        records: the lines of metrics.jsonl.

    Raises:
        UsageError: TensorBoard is asked for and not installed.
        DataError: the files cannot be written.
    """

    def __init__(self, folder: Path, class_names: list[str], tensorboard: bool, episodes: int = 0):
        self._folder, self._names, self._board = folder, class_names, None
        self.records = self._keep(METRICS_FILE, episodes)
        self._timings = self._keep(TIMING_FILE, episodes)
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

    def _keep(self, name: str, episodes: int) -> list[Record]:
        """The whole lines of the first episodes; the file then holds no others."""
        path = self._folder / name
        kept = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    record = json.loads(line)
                except ValueError:
                    break  # cut by a crash while it was written
                if record["episode"] <= episodes:
                    kept.append(record)
        atomic_write(path, "".join(map(_line, kept)), "--summary_dir")
        return kept

    def append(self, record: Record, timing: Record) -> None:
        """Write an episode's line to each file, flushed to disk, and to TensorBoard.

        Raises:
            DataError: the file system does not take it.
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
        """Show the scores over the test set at a number of gradient steps."""
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


def _line(record: Record) -> str:
    return json.dumps(record, sort_keys=False, allow_nan=False) + "\n"


def episode_line(record: Record, timing: Record, names: Iterable[str], max_episodes: int) -> str:
    """An episode in one line for people."""
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
