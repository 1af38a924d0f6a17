"""References to a dataset: its subsets, and DAGs that name it; for `dataset.py rename` and `remove`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Iterator

from nav_pkg.cluster.plan import PLAN_FILE
from nav_pkg.cluster.status import has_ended
from nav_pkg.config import paths
from nav_pkg.config.parser import Parser
from nav_pkg.core import DataError
from nav_pkg.data import files, manage
from nav_pkg.data.reader import Dataset


def add_summary_dir(parser: Parser) -> None:
    """Add the flag for the folder of the DAGs."""
    parser.add_argument(
        "--summary_dir",
        type=Path,
        default=paths.summary_dir(),
        help="folder of all logs, where DAGs that use the dataset are searched",
    )


def print_references(dataset: Dataset, args: argparse.Namespace, root: Path) -> None:
    """Print notes about references to the dataset. They do not prevent the action."""
    for path, how in manage.derived_datasets(dataset, root):
        print(f"note: {path} is a {how} {dataset.name}; it keeps its own files")
    names = {dataset.name, str(dataset.path)}
    if root.resolve() in dataset.path.resolve().parents:
        names.add(dataset.path.resolve().relative_to(root.resolve()).as_posix())
    for file in sorted(args.summary_dir.expanduser().glob(f"**/DAG/{PLAN_FILE}")):
        try:
            plan = files.read_json(file)
        except DataError:
            continue
        words = set(_words([plan.get("configuration"), plan.get("jobs")]))
        if names & words or {f"data/{name}" for name in names} & words:
            state = "has ended" if has_ended(file.parent) else "has not ended, and may need it"
            print(f"note: the DAG {plan.get('tag')} ({file.parent}) names it; it {state}")


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _words(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _words(item)
