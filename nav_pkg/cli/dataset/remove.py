"""Remove a dataset after its name is typed; its subsets keep their files."""

from __future__ import annotations

import sys

from nav_pkg.cli.dataset.references import print_references
from nav_pkg.config.dataset import RemoveConfig
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import files, manage
from nav_pkg.data.reader import Dataset


def run(config: RemoveConfig) -> int:
    """Remove a dataset."""
    root = config.data_root.expanduser()
    files.sweep_removed((root / config.dataset).parent)  # finish an earlier removal that was killed
    dataset = manage.open_for_change(config.dataset, root)
    subject = _description(dataset)
    with manage.exclusive_use(dataset.path):
        pass  # report a conflict before the user is asked
    print_references(dataset, config, root)
    if not config.yes:
        if not sys.stdin.isatty():
            raise UsageError(
                f"{subject}; without a terminal the name cannot be typed: add --yes to remove it"
            )
        print(subject)
        answer = input(f"Type {dataset.name} to remove it: ")
        if answer != dataset.name:
            raise UsageError(f"{dataset.path}: not removed, since {answer!r} is not its name")
    manage.remove(dataset)
    print(f"removed {subject}")
    return 0


def _description(dataset: Dataset) -> str:
    try:
        return f"{dataset.path}: {len(dataset.runs)} runs, {sum(len(run) for run in dataset.runs)} frames"
    except DataError as error:  # a damaged dataset can be removed, too
        return f"{dataset.path} (damaged: {error})"
