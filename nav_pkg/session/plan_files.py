"""Plan files outside the package: how a session, an evaluation or a DAG identifies and copies them."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterable

from nav_pkg.data import files
from nav_pkg.world import load_plan
from nav_pkg.world.plan_file import is_plan_file, plan_bytes, split_name

FOLDER = "worlds"
"""Subfolder of a log folder with copies of the plan files that were flown."""


def described(world: str) -> str:
    """Identify a world for the comparison on resume: a plan file by its content, a world by its name."""
    if not is_plan_file(world):
        return world
    plan = load_plan(world)
    return f"{plan.name} ({plan.digest[:16]})"


def digests(words: Iterable[str]) -> Dict[str, str]:
    """Names and digests of the plan files among the words of a command line."""
    plans = [load_plan(word) for word in words if is_plan_file(word)]
    return {plan.name: plan.digest for plan in plans}


def keep(world: str, folder: Path) -> str:
    """Copy a plan file into a log folder.

    Args:
        world: name of a world, or path of a plan file with or without +SEED.
        folder: the log folder.

    Returns:
        The path of the copy with its +SEED; a name is returned unchanged.

    Raises:
        DataError: the folder cannot be written.
    """
    if not is_plan_file(world):
        return world
    source, seed = split_name(world)
    copy = folder / FOLDER / Path(source).name
    if copy != Path(source):
        content = plan_bytes(source)
        try:
            copy.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise files.disk_error(copy.parent, error, "--summary_dir") from error
        files.atomic_write(copy, content, "--summary_dir")
    return str(copy) + ("" if seed is None else f"+{seed}")
