"""Keep the images of all runs in one tar a camera, or in a file each."""

from __future__ import annotations

from nav_pkg.config.dataset import ConvertConfig
from nav_pkg.data import manage
from nav_pkg.data.convert import convert
from nav_pkg.data.progress import progress


def run(config: ConvertConfig) -> int:
    """Convert a dataset."""
    dataset = manage.open_for_change(config.dataset, config.data_root.expanduser())
    converted = convert(dataset, config.storage, lambda runs: progress(runs, "runs"))
    kept = {"tar": "one tar a camera", "files": "a file each"}[config.storage]
    print(f"{dataset.path}: the images of {len(converted)} of {len(dataset.runs)} runs are now in {kept}")
    return 0
