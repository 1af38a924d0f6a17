"""Show channel means and deviations (as flags of main.py) and the share of each class."""

from __future__ import annotations

from nav_pkg.config.dataset import StatsConfig
from nav_pkg.core import UsageError
from nav_pkg.data import files, statistics
from nav_pkg.data.reader import load_dataset


def run(config: StatsConfig) -> int:
    """Print means, deviations and shares of the classes."""
    if config.images < 1:
        raise UsageError(f"dataset.py stats: --images {config.images} must be 1 or more")
    results = statistics.dataset_statistics(load_dataset(config.dataset, config.data_root), config.images)
    print(files.to_json(results) if config.json else statistics.as_text(results) + "\n", end="")
    return 0
