"""Make smaller datasets from a dataset's training frames, with hard links."""

from __future__ import annotations

from collections import Counter

from nav_pkg.config.dataset import SubsetConfig
from nav_pkg.core import UsageError
from nav_pkg.data import subset
from nav_pkg.data.links import make_datasets
from nav_pkg.data.progress import progress, say


def run(config: SubsetConfig) -> int:
    """Make subsets."""
    if config.random_seed < 0:
        raise UsageError(f"dataset.py subset: --random_seed {config.random_seed} must not be negative")
    if config.destination and (len(config.dataset) > 1 or len(config.frames or ()) != 1):
        raise UsageError(
            f"dataset.py subset: --destination {config.destination} names one subset: give one dataset and "
            "one number of --frames with it"
        )
    wanted, too_large = subset.subsets_of(config)
    make_datasets(wanted, config.owr, lambda items: progress(items, "runs"))
    for planned in wanted:
        runs = Counter(item.part for item in planned.selected_runs)
        cut = "".join(
            f"; {item.run.name} is cut to its first {item.frames} of {len(item.run)} frames"
            for item in planned.selected_runs
            if item.frames < len(item.run)
        )
        print(
            f"{planned.destination}: train {runs['train']} runs, {planned.training_frames} frames; "
            f"val {runs['val']}, test {runs['test']} runs{cut}"
        )
        for line in planned.warnings():
            print(f"warning: {planned.destination}: {line}")
    for line in too_large:
        say(line)
    return 0
