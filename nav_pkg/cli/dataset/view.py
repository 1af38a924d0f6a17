"""Write a contact sheet or a film of a run, with the commands drawn in."""

from __future__ import annotations

from pathlib import Path

from nav_pkg.config.dataset import ViewConfig
from nav_pkg.core import UsageError, nearest_name
from nav_pkg.data import view
from nav_pkg.data.reader import load_dataset


def run(config: ViewConfig) -> int:
    """Write pictures of a run."""
    dataset = load_dataset(config.dataset, config.data_root)
    runs = {run.name: run for run in dataset.require_runs()}
    name = config.run or next(iter(runs))
    if name not in runs:
        raise UsageError(f"{dataset.path}: no run {name!r}{nearest_name(name, list(runs))}")
    if config.frames < 1 or config.every < 1:
        raise UsageError("--frames and --every must be at least 1")
    output = config.output or Path(f"{dataset.name}_{name}.jpg")
    view.view(runs[name], output, config.frames, config.every, config.depth)
    print(output)
    return 0
