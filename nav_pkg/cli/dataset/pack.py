"""Decode a dataset's images at a network's input size before training."""

from __future__ import annotations

from nav_pkg.config.dataset import PackConfig
from nav_pkg.core import DataError
from nav_pkg.data.reader import load_dataset
from nav_pkg.learn.training import prechecks


def run(config: PackConfig) -> int:
    """Make, verify or remove the packs of a dataset's runs."""
    dataset = load_dataset(config.dataset, config.data_root)
    prechecks.network(config.network)
    from nav_pkg.learn.batches.dataset_packs import DatasetPacks  # torch takes seconds

    packs = DatasetPacks(dataset, config.network, config.recovery_cameras)
    if config.remove:
        print(packs.remove())
        return 0
    if config.verify:
        problems, summary = packs.verify()
        for line in problems:
            print(f"problem: {line}")
        print(summary)
        return DataError.code if problems else 0
    print(packs.make())
    return 0
