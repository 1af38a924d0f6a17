"""Summary of a dataset: runs, outcomes, classes, colours, size."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from typing import Iterable, Optional

import numpy as np

from nav_pkg.core import DataError
from nav_pkg.data import format as fmt
from nav_pkg.data.image_inspection import StoredImage, colour_sums, inspect_images
from nav_pkg.data.reader import Dataset, Run
from nav_pkg.data.totals import CLASSES, TURN_THRESHOLD

_AT_ONCE = 64
"""Number of images converted to doubles at a time; at 128x128 they take 25 MB."""


def class_counts(yaw: np.ndarray) -> dict[str, int]:
    """Frames per class: left above +0.5 rad/s, right at -0.5 rad/s and below, straight between."""
    left = int((yaw > TURN_THRESHOLD).sum())
    right = int((yaw <= -TURN_THRESHOLD).sum())
    return {"left": left, "straight": int(yaw.size) - left - right, "right": right}


def colour_stats(sums: Iterable[Optional[np.ndarray]]) -> dict[str, Optional[list[float]]]:
    """Mean and standard deviation of the channels (RGB order, 0..1) from the sums of `inspect_image`."""
    total = np.zeros((3, 3))
    for item in sums:
        if item is not None:
            total += item
    count = total[0]
    if not count.all():
        return {"mean": None, "std": None}
    mean = total[1] / count
    std = np.sqrt(np.maximum(total[2] / count - mean * mean, 0))
    return {
        "mean": [round(float(v) / 255, 6) for v in mean],
        "std": [round(float(v) / 255, 6) for v in std],
    }


def channel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of images, with pixels scaled to [0, 1].

    Args:
        images: uint8 (frames, height, width, 3), at least one; a memory map is read in parts.

    Returns:
        Three means and three standard deviations, in the images' order of channels.
    """
    total = np.zeros((3, 3))
    for first in range(0, len(images), _AT_ONCE):
        total += colour_sums(np.asarray(images[first : first + _AT_ONCE]))
    stats = colour_stats([total])
    return tuple(stats["mean"]), tuple(stats["std"])


def order_key(seed: int, text: str) -> str:
    """Sort key for texts; the order depends only on the seed and the texts."""
    return hashlib.sha256(f"{seed}\n{text}".encode()).hexdigest()


def sample_images(runs: list[Run], count: int, seed: int) -> list[StoredImage]:
    """At most `count` colour images of all runs, selected by the seed, and their sizes."""
    places = [(run, i) for run in runs for i in range(len(run))]
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(places))[:count] if places else []
    return [
        (run.images, run.frames.rgb[i], run.image_size("rgb"))
        for run, i in (places[j] for j in sorted(chosen))
        if run.frames.rgb[i]
    ]


def folder_bytes(path: os.PathLike) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # removed while listing
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


def dataset_info(dataset: Dataset, images: int = 500, seed: int = 123) -> dict:
    """Summarise a dataset.

    Args:
        dataset: the dataset.
        images: number of images for the mean and standard deviation of the colours.
        seed: selects these images.

    Returns:
        A JSON-compatible dict: path, description, runs (one dict each), outcomes, frames, classes,
        straight_fraction, bytes, rgb (mean and std in RGB order, 0..1), splits, partials, damaged (one line
        per damaged run or list), unverified (runs whose run.json has no checksum).
    """
    rows, whole, damaged = [], [], []
    for run in dataset.runs:
        try:
            classes = class_counts(run.labels())
        except DataError as error:
            damaged.append(str(error))
            continue
        whole.append(run)
        rows.append(
            {
                "name": run.name,
                "world": run.world,
                "outcome": run.outcome,
                "frames": len(run),
                "distance": run.facts.get("distance"),
                "progress": run.facts.get("progress"),
                "classes": classes,
            }
        )
    total = Counter()
    for row in rows:
        total.update(row["classes"])
    frames = sum(row["frames"] for row in rows)
    splits = {}
    if dataset.has_splits:
        try:
            splits = {part: [run.name for run in runs] for part, runs in dataset.splits().items()}
        except DataError as error:
            damaged.append(str(error))
    image_reports = inspect_images(sample_images(whole, images, seed))
    return {
        "path": str(dataset.path),
        "description": dataset.description,
        "runs": rows,
        "outcomes": dict(Counter(row["outcome"] for row in rows)),
        "frames": frames,
        "classes": {name: total[name] for name in CLASSES},
        "straight_fraction": total["straight"] / frames if frames else None,
        "bytes": folder_bytes(dataset.path),
        "rgb": {
            **colour_stats(item.sums for item in image_reports),
            "images": len(image_reports),
            "seed": seed,
        },
        "splits": splits,
        "partials": [path.name for path in dataset.partials],
        "damaged": damaged,
        "unverified": [run.name for run in whole if not run.verified],
    }


def as_text(info: dict) -> str:
    """Format the result of `dataset_info` as text."""

    def metres(value: Optional[float]) -> str:
        return "-" if value is None else f"{value:.1f} m"

    lines = [info["path"]]
    for row in info["runs"]:
        classes = " ".join(f"{name} {row['classes'][name]}" for name in CLASSES)
        lines.append(
            f"  {row['name']:24} {row['outcome']:12} {row['frames']:6} frames  {metres(row['distance']):>9}  "
            f"progress {metres(row['progress']):>9}  {classes}"
        )
    outcomes = ", ".join(f"{count} {name}" for name, count in sorted(info["outcomes"].items())) or "none"
    lines.append(f"runs      {len(info['runs'])} ({outcomes})")
    lines.append(f"frames    {info['frames']}")
    if info["frames"]:
        share = {name: 100 * info["classes"][name] / info["frames"] for name in CLASSES}
        for name in CLASSES:
            bar = "#" * round(share[name] / 2)
            lines.append(f"  {name:9}{info['classes'][name]:7} {share[name]:5.1f} %  {bar}")
        lines.append(
            f"straight  {info['straight_fraction']:.3f} of the expert's commands (|yaw| to 0.5 rad/s)"
        )
    rgb = info["rgb"]
    if rgb["mean"]:
        mean = " ".join(f"{v:.3f}" for v in rgb["mean"])
        std = " ".join(f"{v:.3f}" for v in rgb["std"])
        lines.append(f"RGB       mean {mean}, std {std} (0..1, {rgb['images']} images, seed {rgb['seed']})")
    if fmt.SUBSET_OF in info["description"]:
        origin = info["description"][fmt.SUBSET_OF]
        lines.append(
            f"subset of {origin['dataset']} ({origin['frames']} training frames requested, "
            f"seed {origin['random_seed']})"
        )
    lines.append(f"size      {info['bytes'] / 1e6:,.1f} MB")
    for part, names in info["splits"].items():
        lines.append(f"{part:9} {len(names)} runs")
    for name in info["partials"]:
        lines.append(f"unfinished: {name} (being written, or left by a crash: dataset.py repair)")
    if info["unverified"]:
        count = f"{len(info['unverified'])} of {len(info['runs'])} runs"
        lines.append(
            f"unverified facts: {count}, recorded by an earlier version (run.json without a checksum)"
        )
    lines += [f"damaged: {text}" for text in info["damaged"]]
    return "\n".join(lines)
