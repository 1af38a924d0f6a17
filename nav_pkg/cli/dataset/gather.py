"""Join recordings whose runs have different numbers (the shards of a session)."""

from __future__ import annotations

from nav_pkg.config.dataset import GatherConfig
from nav_pkg.data.gather import GatheredDataset
from nav_pkg.data.links import make_datasets
from nav_pkg.data.progress import progress
from nav_pkg.data.reader import load_dataset


def run(config: GatherConfig) -> int:
    """Merge recordings into one."""
    sources = [load_dataset(name, config.data_root) for name in config.dataset]
    gathered = GatheredDataset(sources, config.data_root.expanduser() / config.destination)
    make_datasets([gathered], config.owr, lambda items: progress(items, "runs"))
    frames = sum(item.frames for item in gathered.selected_runs)
    print(f"{gathered.destination}: {len(gathered.selected_runs)} runs, {frames} frames")
    return 0
