"""References to a dataset: its subsets, and DAGs that name it; for `dataset.py rename` and `remove`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator

from nav_pkg.cluster.plan import PLAN_FILE
from nav_pkg.cluster.status import has_ended
from nav_pkg.config.dataset import ReferringConfig
from nav_pkg.core import DataError
from nav_pkg.data import files, manage
from nav_pkg.data.reader import Dataset


def print_references(dataset: Dataset, config: ReferringConfig, root: Path) -> None:
    """Print notes about references to the dataset. They do not prevent the action."""
    for path, how in manage.derived_datasets(dataset, root):
        print(f"note: {path} is a {how} {dataset.name}; it keeps its own files")
    names = {dataset.name, str(dataset.path)}
    if root.resolve() in dataset.path.resolve().parents:
        names.add(dataset.path.resolve().relative_to(root.resolve()).as_posix())
    for file in sorted(config.summary_dir.expanduser().glob(f"**/DAG/{PLAN_FILE}")):
        try:
            plan = files.read_json(file)
        except DataError:
            continue
        words = set(_texts([plan.get("configuration"), plan.get("jobs")]))
        if names & words or {f"data/{name}" for name in names} & words:
            state = "has ended" if has_ended(file.parent) else "has not ended, and may need it"
            print(f"note: the DAG {plan.get('tag')} ({file.parent}) names it; it {state}")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
