"""Rename a dataset, also in the subsets that refer to it."""

from __future__ import annotations

from nav_pkg.cli.dataset.references import print_references
from nav_pkg.config.dataset import RenameConfig
from nav_pkg.data import manage


def run(config: RenameConfig) -> int:
    """Rename a dataset."""
    root = config.data_root.expanduser()
    dataset = manage.open_for_change(config.dataset, root)
    print_references(dataset, config, root)
    print(f"{dataset.path} is now {manage.rename(dataset, config.name, root)}")
    return 0
