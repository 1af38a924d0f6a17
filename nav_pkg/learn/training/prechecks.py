"""Checks of a command line that need no torch: errors show in a second, before torch's slow import.

This module imports nothing heavy. Later code repeats these checks and adds more.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import List, Optional

from nav_pkg.config import paths
from nav_pkg.config.learner import LearnerConfig
from nav_pkg.config.paths import PathLike
from nav_pkg.config.session import SessionConfig
from nav_pkg.core import DataError, UsageError, nearest_name
from nav_pkg.data.reader import find_datasets, load_dataset
from nav_pkg.learn.checkpoints import checkpoint_paths
from nav_pkg.learn.training import folder

NETS = Path(__file__).resolve().parents[2] / "nets"
MAX_NAMED = 12
"""Largest number of datasets that an error names."""


def network_names() -> Optional[List[str]]:
    """The names of nav_pkg's networks, and their aliases, read from the source of its modules.

    None if a module computes a name: that needs running the module.
    """
    names: List[str] = []
    for file in sorted(NETS.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "NetSpec":
                name = next((item.value for item in node.keywords if item.arg == "name"), None)
                name = node.args[0] if node.args else name  # the first field of a NetSpec
                if not isinstance(name, ast.Constant):
                    return None
                names.append(name.value)
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ALIASES":
                names += list(ast.literal_eval(node.value))
    return sorted(names)


def network(name: Optional[str]) -> None:
    """Refuse an unknown network; None, and a network in a file, are checked later.

    Raises:
        UsageError: no network has that name; the message suggests the nearest.
    """
    if name is None or ":" in name:
        return
    known = network_names()
    if known is not None and name not in known:
        raise UsageError(f"--network {name!r}: no such network{nearest_name(name, known)}")


def checkpoint(path: Optional[PathLike], summary_dir: Optional[PathLike], scratch: bool = False) -> None:
    """Refuse a missing checkpoint.

    Args:
        path: a `--checkpoint_path`; None or empty for none.
        summary_dir: the folder of all logs; None for the default one.
        scratch: whether a checkpoint called `..._scratch` may be missing, because it will be created.

    Raises:
        DataError: the checkpoint does not exist.
    """
    if path and not (scratch and str(path).endswith("_scratch")):
        checkpoint_paths.require(path, summary_dir)


def training(args: LearnerConfig) -> None:
    """Refuse settings that main.py would only reject after importing torch.

    Args:
        args: the flags of main.py.

    Raises:
        UsageError: the network is unknown.
        DataError: the dataset does not exist (the message lists existing ones), or the checkpoint does not.
    """
    network(args.network)
    if not args.create_scratch_checkpoint:
        dataset(args.dataset, args.data_root, "dataset" in args.given_keys)
    root = Path(args.summary_dir).expanduser() if args.summary_dir else paths.summary_dir()
    # a resumed training has its weights in my-model; the checkpoint that it started from may be deleted
    if args.evaluate or folder.resumable_folder(root, args.log_tag, args.owr) is None:
        checkpoint(args.checkpoint_path, root, scratch=not args.evaluate)


def dataset(name: str, data_root: Optional[PathLike], given: bool = True) -> None:
    """Refuse a missing dataset.

    Args:
        name: value of `--dataset`.
        data_root: the folder of all datasets; None for the default one.
        given: whether the name is from the command line. If it is the default, the error lists the existing
            datasets.

    Raises:
        DataError: the dataset does not exist.
    """
    try:
        load_dataset(name, data_root)
    except DataError as error:
        if given:
            raise
        raise DataError(f"no --dataset was given, and {error}; {_existing_datasets(data_root)}") from error


def _existing_datasets(data_root: Optional[PathLike]) -> str:
    """Describe the existing datasets for a message."""
    root = Path(data_root).expanduser() if data_root else paths.data_root()
    known = [path.relative_to(root).as_posix() for path in find_datasets(root)] if root.is_dir() else []
    if not known:
        return f"there is none in {root}: record one with run_script.py -ds"
    more = f" and {len(known) - MAX_NAMED} more (dataset.py info)" if len(known) > MAX_NAMED else ""
    return f"give one of those in {root}: {', '.join(known[:MAX_NAMED])}{more}"


def flight(
    learner: LearnerConfig, checkpoint_path: Optional[PathLike], args: SessionConfig, where: Optional[Path]
) -> None:
    """Refuse settings that a session of flights would only reject after importing torch.

    Args:
        learner: the learner's flags.
        checkpoint_path: of the session.
        args: the session's flags.
        where: the session's log folder, which may be resumed; None for a new session.

    Raises:
        UsageError: the network is unknown.
        DataError: the checkpoint, or the dataset to fill the replay buffer from, does not exist.
    """
    network(learner.given.get("network"))
    if args.learns and where is not None and folder.can_resume(where):
        return
    checkpoint(checkpoint_path, args.summary_dir, scratch=args.learns)
    if args.learns and learner.prefill_dataset:
        dataset(learner.prefill_dataset, args.data_root)
