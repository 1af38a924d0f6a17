"""Add training runs of other datasets to a dataset, with hard links."""

from __future__ import annotations

from collections import Counter

from nav_pkg.config.dataset import MergeConfig
from nav_pkg.data.links import make_datasets
from nav_pkg.data.merge import MergedDataset
from nav_pkg.data.progress import progress
from nav_pkg.data.reader import load_dataset


def run(config: MergeConfig) -> int:
    """Merge a dataset with further training runs."""
    base = load_dataset(config.dataset, config.data_root)
    added = [load_dataset(name, config.data_root) for name in config.add]
    merged = MergedDataset(base, added, config.data_root.expanduser() / config.destination)
    make_datasets([merged], config.owr, lambda items: progress(items, "runs"))
    runs = Counter(item.part for item in merged.selected_runs)
    print(
        f"{merged.destination}: train {runs['train']} runs, {merged.training_frames} frames; "
        f"val {runs['val']}, test {runs['test']} runs"
    )
    for line in merged.warnings():
        print(f"warning: {merged.destination}: {line}")
    return 0
