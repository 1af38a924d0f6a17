"""Show runs, outcomes, classes, colours and size; without a dataset, list all datasets."""

from __future__ import annotations

from nav_pkg.config.dataset import InfoConfig
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import files, info
from nav_pkg.data.reader import Dataset, find_datasets, load_dataset


def run(config: InfoConfig) -> int:
    """Print the contents of a dataset; without a dataset, list all."""
    for flag in ("images", "random_seed"):
        if getattr(config, flag) < 0:
            raise UsageError(
                f"dataset.py info: --{flag} {getattr(config, flag)} must not be negative: give 0 or more"
            )
    if config.dataset is None:
        root = config.data_root.expanduser()
        paths = find_datasets(root)
        if not paths:
            raise DataError(f"{root}: no datasets here; record one, or set --data_root")
        for path in paths:
            print(f"{path.relative_to(root).as_posix():40} {len(Dataset(path).runs)} runs")
        return 0
    facts = info.dataset_info(
        load_dataset(config.dataset, config.data_root), config.images, config.random_seed
    )
    if config.json:
        print(files.to_json(facts), end="")
    else:
        print(info.as_text(facts))
    if not facts["runs"]:
        raise DataError(f"{facts['path']}: the dataset has no whole runs; record some first")
    return 3 if facts["damaged"] else 0
