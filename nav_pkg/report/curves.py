"""Learning curves and confusion matrices from a training's log folder."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

import numpy as np

from nav_pkg import schemas
from nav_pkg.config.paths import PathLike
from nav_pkg.core import DataError
from nav_pkg.reading import parse_object, read_json_lines, read_small
from nav_pkg.report import style

METRICS_FILE = "metrics.jsonl"
RESULTS_FILE = "results.json"

_CURVES = ("loss", "accuracy", "balanced_accuracy", "majority_accuracy", "imitation_loss")


def read_metrics(log_folder: PathLike) -> List[Dict[str, Any]]:
    """Read the episodes of a training, in order, without a last line that a crash truncated.

    Args:
        log_folder: with metrics.jsonl: one JSON object per line, with `episode`, `updates` and the
            scores `train` and `val`.

    Raises:
        DataError: the file is missing, holds no episode, or a line is damaged.
    """
    path = Path(log_folder) / METRICS_FILE
    lines, unreadable = read_json_lines(path, schemas.METRICS)
    # Only complete episodes have the scores of both parts.
    records = [record for record in lines if record.get("train") and record.get("val")]
    if unreadable and unreadable[0] <= len(lines):  # lines follow: not truncated by a crash
        raise DataError(
            f"{path}: line {unreadable[0]} is damaged; run the training's command again (without --owr), "
            "which keeps the others"
        )
    if not records:
        raise DataError(f"{path}: holds no whole episode; train longer")
    return records


def read_results(log_folder: PathLike) -> Dict[str, Any]:
    """Read results.json of a finished training.

    Raises:
        DataError: it is missing or damaged.
    """
    path = Path(log_folder) / RESULTS_FILE
    data = read_small(path)
    try:
        return parse_object(data, path, schemas.RESULTS)
    except DataError as error:
        raise DataError(
            f"{error}; remove it and run the training's command again, which writes it again, or leave it out"
        ) from None


@style.styled
def curves_figure(records: Sequence[Mapping[str, Any]]) -> Any:
    """Draw loss and accuracy by gradient step: training, validation, and the majority baseline."""
    figure, (left, right) = style.new_figure(9.0, 3.4, ncols=2)
    steps = [record["updates"] for record in records]
    marker = "o" if len(records) < 40 else None
    for part, colour, text in (("train", style.SKY, "training"), ("val", style.BLUE, "validation")):
        look = {"color": colour, "marker": marker, "markersize": 3}
        left.plot(steps, [record[part]["loss"] for record in records], label=text, **look)
        right.plot(steps, [100 * record[part]["accuracy"] for record in records], label=text, **look)
    right.plot(
        steps,
        [100 * record["val"]["balanced_accuracy"] for record in records],
        color=style.ORANGE,
        linestyle="--",
        label="validation, balanced",
    )
    base = 100 * records[-1]["val"]["majority_accuracy"]
    right.axhline(base, color=style.GREY, linewidth=1, linestyle=":", label="majority class (validation)")
    left.set_ylabel("loss")
    left.set_ylim(bottom=0)
    right.set_ylabel("accuracy [%]")
    right.set_ylim(top=100)
    for axes in (left, right):
        axes.set_xlabel("gradient steps")
        axes.legend()
    return figure


def curves_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """The data of the curves as CSV, one row per episode."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [f"{part}_{key}" for part in ("train", "val") for key in _CURVES]
    writer.writerow(["episode", "updates", *names])
    for record in records:
        values = [record[part].get(key) for part in ("train", "val") for key in _CURVES]
        writer.writerow([record["episode"], record["updates"], *values])
    return out.getvalue()


@style.styled
def confusion_figure(matrices: Mapping[str, Sequence[Sequence[int]]], classes: Sequence[str]) -> Any:
    """Draw confusion matrices side by side, in frames: rows are the expert's class, columns the network's.

    Args:
        matrices: title -> matrix.
        classes: names, in order.
    """
    figure, axes = style.new_figure(3.1 * len(matrices), 3.1, ncols=len(matrices), squeeze=False)
    for plot, (title, matrix) in zip(axes[0], matrices.items()):
        counts = np.asarray(matrix, np.float64)
        rows = counts.sum(axis=1, keepdims=True)
        shares = np.divide(counts, rows, out=np.zeros_like(counts), where=rows > 0)
        plot.imshow(shares, cmap="Blues", vmin=0, vmax=1.25)
        for (i, j), share in np.ndenumerate(shares):
            plot.text(
                j,
                i,
                f"{int(counts[i, j])}\n{100 * share:.0f} %",
                ha="center",
                va="center",
                fontsize=9,
                color="white" if share > 0.7 else style.INK,
            )
        plot.set_xticks(range(len(classes)), classes)
        plot.set_yticks(range(len(classes)), classes, rotation=90, va="center")
        plot.set_title(title, fontsize=10)
        plot.set_xlabel("network")
        plot.set_ylabel("expert")
        plot.grid(False)
        plot.tick_params(length=0)
    return figure


def confusion_csv(matrices: Mapping[str, Sequence[Sequence[int]]], classes: Sequence[str]) -> str:
    """The data of the matrices as CSV: part, expert's class, network's class, frames."""
    out = io.StringIO()
    out.write("part,expert,network,frames\n")
    for part, matrix in matrices.items():
        for i, row in enumerate(matrix):
            out.writelines(f"{part},{classes[i]},{classes[j]},{int(n)}\n" for j, n in enumerate(row))
    return out.getvalue()
