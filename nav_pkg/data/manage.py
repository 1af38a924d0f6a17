"""Remove and rename datasets atomically; refuse links and datasets that a process writes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Iterator, Optional

from nav_pkg.core import DataError, UsageError
from nav_pkg.data import commit, files
from nav_pkg.data import format as fmt
from nav_pkg.data.clean import unfinished_folders
from nav_pkg.data.folders import check_no_writers, lock_partial, locked_datasets
from nav_pkg.data.reader import Dataset, find_datasets, load_dataset


def open_for_change(name: str, root: Path) -> Dataset:
    """Open a dataset for removal or renaming.

    Args:
        name: name under the data root, or a path that starts with /, ~ or a dot.
        root: the data root.

    Raises:
        UsageError: the dataset is a link, is reached through a link, or contains another dataset.
        DataError: the dataset does not exist.
    """
    dataset = load_dataset(name, root, check=False)
    path = Path(os.path.abspath(dataset.path))
    if path.is_symlink():
        raise UsageError(f"{path}: is a link to {os.readlink(path)}; name the dataset itself, or unlink it")
    base = Path(os.path.abspath(root))
    if base in path.parents and path.resolve() != base.resolve() / path.relative_to(base):
        raise UsageError(f"{path}: is reached through a link, at {path.resolve()}; give that path")
    if (path / fmt.DATASET_FILE).is_symlink():
        raise UsageError(
            f"{path / fmt.DATASET_FILE}: is a link, so this may be no dataset; look at it yourself"
        )
    inner = find_datasets(path)
    if inner:
        raise UsageError(f"{path}: holds another dataset, {inner[0]}; remove or rename that first")
    return Dataset(path, check=False)


@contextlib.contextmanager
def exclusive_use(*paths: Path) -> Iterator[None]:
    """Hold the locks of datasets: no session, recorder or dataset command can then use them.

    Raises:
        UsageError: a session holds one of the locks.
        DataError: a recorder writes into one of the datasets, or a command is making it.
    """
    with locked_datasets(*paths):
        for path in paths:
            making = [path.with_name(f".{path.name}.links"), *unfinished_folders(path)]
            for folder in filter(Path.is_dir, making):
                os.close(lock_partial(folder, "dataset"))
            check_no_writers(path, "dataset")
        yield


def derived_datasets(dataset: Dataset, root: Path) -> list[tuple[Path, str]]:
    """The datasets under the data root that derive from this one, and how (`subset of`, `merged from`).

    They stay complete without it, because their images are hard links or copies.
    """
    derived = []
    for path in find_datasets(root):
        if path.resolve() == dataset.path.resolve():
            continue
        try:
            description = commit.read_description(path).value
        except DataError:
            continue
        if description != _renamed(description, dataset.name, ""):
            how = "subset of" if _subset_of(description) == dataset.name else "merged from"
            derived.append((path, how))
    return derived


def _subset_of(description: dict) -> Optional[str]:
    origin = description.get(fmt.SUBSET_OF)
    name = origin.get("dataset") if isinstance(origin, dict) else None
    return name if isinstance(name, str) else None


def _renamed(description: dict, old: str, new: str) -> dict:
    """Copy of a description in which the source dataset `old` is renamed to `new`."""
    renamed: dict[str, Any] = dict(description)
    if _subset_of(description) == old:
        renamed[fmt.SUBSET_OF] = {**description[fmt.SUBSET_OF], "dataset": new}
    names = description.get(fmt.MERGED_FROM)
    if isinstance(names, list):
        renamed[fmt.MERGED_FROM] = [new if name == old else name for name in names]
    return renamed


def remove(dataset: Dataset) -> None:
    """Remove a dataset: hide its folder first, then delete the files. Links in it are not followed.

    Raises:
        UsageError, DataError: the dataset is in use and then stays, or the file system refuses.
    """
    with exclusive_use(dataset.path):
        files.remove_tree(dataset.path)


def rename(dataset: Dataset, name: str, root: Path) -> Path:
    """Rename a dataset under the data root, and update the datasets that derive from it.

    The derived datasets are updated first, each atomically. After a crash, the same command completes the
    work.

    Args:
        dataset: from `open_for_change`.
        name: the new name.
        root: the data root.

    Returns:
        The new path.

    Raises:
        UsageError: the new name exists, or lies in a dataset or behind a link; or a session uses the dataset.
        DataError: a recorder or command writes the dataset, or the file system refuses.
    """
    target = Path(os.path.abspath(root)) / name
    if os.path.lexists(target):
        raise UsageError(f"{target}: exists; choose another name")
    parents = [
        parent for parent in target.parents if root.resolve() in (parent.resolve(), *parent.resolve().parents)
    ]
    for parent in parents:
        if (parent / fmt.DATASET_FILE).exists() or parent == dataset.path:
            raise UsageError(f"{target}: lies in the dataset {parent}; choose another name")
    if target.parent.resolve() != (root.resolve() / name).parent:
        raise UsageError(f"{target}: lies behind a link, at {target.parent.resolve()}; choose another name")
    with exclusive_use(dataset.path, target):
        # if another folder has a dataset of the same name, the source of a subset is ambiguous
        namesakes = [
            p for p in find_datasets(root) if p.name == dataset.name and p.resolve() != dataset.path.resolve()
        ]
        for path, _ in derived_datasets(dataset, root) if not namesakes else ():
            stored = commit.read_description(path)
            if stored.problems:
                continue  # a new checksum would hide the damage
            value = _renamed(stored.value, dataset.name, target.name)
            # a file without a checksum (earlier nav_pkg) gets none, because it was never verified
            text = commit.json_with_checksum(value) if stored.has_valid_checksum else files.to_json(value)
            files.atomic_write(path / fmt.DATASET_FILE, text)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(dataset.path, target)
            files.fsync(target.parent)
            files.fsync(dataset.path.parent)
        except OSError as error:
            raise files.disk_error(target, error) from error
    return target
