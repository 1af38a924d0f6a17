"""Turn crashed recordings into runs, and move damaged runs to quarantine/."""

from __future__ import annotations

from nav_pkg.config.dataset import DatasetConfig
from nav_pkg.data import repair
from nav_pkg.data.progress import progress
from nav_pkg.data.reader import load_dataset


def run(config: DatasetConfig) -> int:
    """Repair a dataset and print the repairs."""
    dataset = load_dataset(config.dataset, config.data_root, check=False)
    done = repair.repair_dataset(dataset, lambda runs: progress(runs, "runs"))
    for line in done:
        print(line)
    print(f"{len(done)} repairs" if done else "nothing to repair")
    dataset.require_checked()  # last: an error that only the user can fix
    if dataset.has_splits:
        dataset.splits()
    return 0
