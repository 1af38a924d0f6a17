"""What dataset.py does with whole datasets: remove and rename."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Iterator

from nav_pkg.cluster.plan import PLAN_FILE
from nav_pkg.cluster.status import has_ended
from nav_pkg.config import paths, types
from nav_pkg.config.parser import Parser
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import files, manage
from nav_pkg.data.reader import Dataset


def add_remove_flags(parser: Parser) -> None:
    """The flags of `dataset.py remove`, beside the dataset and --data_root."""
    _add_summary_dir(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask for the name")


def add_rename_flags(parser: Parser) -> None:
    """The flags of `dataset.py rename`, beside the dataset and --data_root."""
    parser.add_argument("name", type=types.name, help="the new name under --data_root")
    _add_summary_dir(parser)


def _add_summary_dir(parser: Parser) -> None:
    parser.add_argument(
        "--summary_dir",
        type=Path,
        default=paths.summary_dir(),
        help="folder of all logs, whose DAGs are named",
    )


def run_remove(args: argparse.Namespace) -> int:
    """Remove a dataset."""
    root = args.data_root.expanduser()
    files.sweep_removed(
        (root / args.dataset).parent
    )  # the same command again, after a kill, ends what it began
    dataset = manage.managed(args.dataset, root)
    what = _what(dataset)
    with manage.alone(dataset.path):
        pass  # told before anybody is asked
    _tell(dataset, args, root)
    if not args.yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{what}; nobody is asked without a terminal: add --yes to remove it")
        print(what)
        answer = input(f"Type {dataset.name} to remove it: ")
        if answer != dataset.name:
            raise UsageError(f"{dataset.path}: not removed, since {answer!r} is not its name")
    manage.remove(dataset)
    print(f"removed {what}")
    return 0


def _what(dataset: Dataset) -> str:
    try:
        return f"{dataset.path}: {len(dataset.runs)} runs, {sum(len(run) for run in dataset.runs)} frames"
    except DataError as error:  # a damaged one can be removed, too
        return f"{dataset.path} (damaged: {error})"


def run_rename(args: argparse.Namespace) -> int:
    """Rename a dataset."""
    root = args.data_root.expanduser()
    dataset = manage.managed(args.dataset, root)
    _tell(dataset, args, root)
    print(f"{dataset.path} is now {manage.rename(dataset, args.name, root)}")
    return 0


def _tell(dataset: Dataset, args: argparse.Namespace, root: Path) -> None:
    """Say who refers to the dataset. It is no reason to refuse."""
    for path, how in manage.referring(dataset, root):
        print(f"note: {path} is a {how} {dataset.name}; it has all its files itself")
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
