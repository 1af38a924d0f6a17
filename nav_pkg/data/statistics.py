"""Statistics of images and labels for training: means, standard deviations, class shares."""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np

from nav_pkg.core import DataError
from nav_pkg.data.image_inspection import SAMPLE_STEP, inspect_images
from nav_pkg.data.info import class_counts, colour_stats
from nav_pkg.data.reader import Dataset, Run
from nav_pkg.data.totals import CLASSES


def evenly_spaced_frames(runs: Sequence[Run], count: int) -> list[tuple[Run, int]]:
    """At most `count` frames, evenly spread over all runs: (run, row) in order."""
    lengths = [len(run) for run in runs]
    total = sum(lengths)
    count = min(count, total)
    ends = np.cumsum(lengths)
    chosen = [k * total // count for k in range(count)]
    places = np.searchsorted(ends, chosen, side="right")
    return [(runs[r], int(i - (ends[r] - lengths[r]))) for r, i in zip(places, chosen)]


def dataset_statistics(dataset: Dataset, images: int = 2000) -> dict:
    """Compute the colour statistics of the training set and the class counts of every part.

    Args:
        dataset: the dataset; without splits, all runs are one part `all`.
        images: number of images for the colours, at least 1; every fourth row and column of each is used.

    Returns:
        A JSON-compatible dict: path; rgb: mean, std (red, green, blue, 0..1), images, of (`train` or
        `all`); parts: for each part runs, frames, classes (frames per class) and shares (0..1).

    Raises:
        DataError: an image, run or list is damaged, or a run has no colour images.
    """
    parts = dataset.splits() if dataset.has_splits else {}
    of = "train" if "train" in parts else "all"
    parts.setdefault(of, []).extend([] if of == "train" else dataset.require_runs())
    chosen = []
    for run, row in evenly_spaced_frames(parts[of], images):
        if not run.frames.rgb[row]:
            raise DataError(f"{run.path}: the run has no colour images; leave it out")
        chosen.append((run.images, run.frames.rgb[row], run.image_size("rgb")))
    image_reports = inspect_images(chosen)
    for (store, name, _), item in zip(chosen, image_reports):
        if item.problem:
            raise DataError(f"{store.where(name)}: {item.problem}; see dataset.py verify")
    return {
        "path": str(dataset.path),
        "rgb": {**colour_stats(item.sums for item in image_reports), "images": len(image_reports), "of": of},
        "parts": {part: _class_shares(runs) for part, runs in parts.items()},
    }


def _class_shares(runs: Sequence[Run]) -> dict:
    counts = dict.fromkeys(CLASSES, 0)
    for run in runs:
        for name, count in class_counts(run.labels()).items():
            counts[name] += count
    frames = sum(counts.values())
    shares = {name: count / frames if frames else None for name, count in counts.items()}
    return {"runs": len(runs), "frames": frames, "classes": counts, "shares": shares}


def scale_flags(rgb: dict) -> Optional[str]:
    """The flags of main.py for these colours; None if a channel's standard deviation is below 0.0005."""
    if min(rgb["std"]) < 0.0005:
        return None
    means, stds = (" ".join(f"{value:.3f}" for value in rgb[key]) for key in ("mean", "std"))
    return f"--scaled_input --scale_means {means} --scale_stds {stds}"


def as_text(statistics: dict) -> str:
    """Format the result of `dataset_statistics` as text."""
    rgb = statistics["rgb"]
    runs = "the training set" if rgb["of"] == "train" else "all runs"
    lines = [
        statistics["path"],
        f"red, green, blue (0..1) of {rgb['images']} images of {runs}, every {SAMPLE_STEP}th row and column:",
        "means     " + " ".join(f"{value:.3f}" for value in rgb["mean"]),
        "stds      " + " ".join(f"{value:.3f}" for value in rgb["std"]),
    ]
    flags = scale_flags(rgb)
    lines += [f"flags     {flags}"] if flags else []
    lines.append("the expert's turns, at +-0.5 rad/s:")
    for part, item in statistics["parts"].items():
        text = f"{part:9} {item['runs']:4} runs {item['frames']:7} frames"
        if item["frames"]:
            text += ": " + ", ".join(f"{name} {100 * item['shares'][name]:.1f} %" for name in CLASSES)
        lines.append(text)
    return "\n".join(lines)
