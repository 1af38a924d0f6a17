"""What is wrong with a command line whatever torch would say: refused before torch's import, in a second.

Nothing heavy is imported here. The same is checked again, and more, where it is used.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, Collection, List, Mapping, Optional

from nav_pkg.config import paths
from nav_pkg.config.paths import PathLike
from nav_pkg.core import DataError, UsageError, nearest_name
from nav_pkg.data.reader import find_datasets, load_dataset
from nav_pkg.learn import folder, places

NETS = Path(__file__).resolve().parents[1] / "nets"
SHOWN = 12
"""Datasets that an error names at most."""


def network_names() -> Optional[List[str]]:
    """The names of nav_pkg's networks, and their aliases: what its modules register, read, not run.

    None where a module makes a name up, which only running it would tell.
    """
    found: List[str] = []
    for file in sorted(NETS.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "NetSpec":
                name = next((item.value for item in node.keywords if item.arg == "name"), None)
                name = node.args[0] if node.args else name  # the first field of a NetSpec
                if not isinstance(name, ast.Constant):
                    return None
                found.append(name.value)
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ALIASES":
                found += list(ast.literal_eval(node.value))
    return sorted(found)


def network(name: Optional[str]) -> None:
    """Refuse a network that is not there; None, and one in a file, are looked at later.

    Raises:
        UsageError: no network has that name; the nearest is offered.
    """
    if name is None or ":" in name:
        return
    known = network_names()
    if known is not None and name not in known:
        raise UsageError(f"--network {name!r}: no such network{nearest_name(name, known)}")


def checkpoint(path: Optional[PathLike], summary_dir: Optional[PathLike], scratch: bool = False) -> None:
    """Refuse a checkpoint that is not there.

    Args:
        path: a `--checkpoint_path`; None or empty for none.
        summary_dir: the folder of all logs; None for the default one.
        scratch: one called `..._scratch` may lack: it is made.

    Raises:
        DataError: it is not there.
    """
    if path and not (scratch and str(path).endswith("_scratch")):
        places.require(path, summary_dir)


def training(args: Any, given: Collection[str]) -> None:
    """Refuse what main.py would find out after torch's import.

    Args:
        args: its flags, parsed.
        given: the keys of those that stand on the command line.

    Raises:
        UsageError: no such network.
        DataError: no such dataset, which names those that are there, or no such checkpoint.
    """
    network(args.network)
    if not args.create_scratch_checkpoint:
        dataset(args.dataset, args.data_root, "dataset" in given)
    root = Path(args.summary_dir).expanduser() if args.summary_dir else paths.summary_dir()
    # a resumed training has its weights in my-model; the checkpoint it began with may be gone
    if args.evaluate or folder.resumable_folder(root, args.log_tag, args.owr) is None:
        checkpoint(args.checkpoint_path, root, scratch=not args.evaluate)


def dataset(name: str, data_root: Optional[PathLike], given: bool = True) -> None:
    """Refuse a dataset that is not there.

    Args:
        name: of `--dataset`.
        data_root: the folder of all datasets; None for the default one.
        given: on the command line; else it is the default, and the error lists what could be given.

    Raises:
        DataError: it is not there.
    """
    try:
        load_dataset(name, data_root)
    except DataError as error:
        if given:
            raise
        raise DataError(f"no --dataset was given, and {error}; {_there(data_root)}") from error


def _there(data_root: Optional[PathLike]) -> str:
    """The datasets that are there, in words."""
    root = Path(data_root).expanduser() if data_root else paths.data_root()
    known = [path.relative_to(root).as_posix() for path in find_datasets(root)] if root.is_dir() else []
    if not known:
        return f"there is none in {root}: record one with run_script.py -ds"
    more = f" and {len(known) - SHOWN} more (dataset.py info)" if len(known) > SHOWN else ""
    return f"give one of those in {root}: {', '.join(known[:SHOWN])}{more}"


def flight(
    given: Mapping[str, Any], checkpoint_path: Optional[PathLike], args: Any, where: Optional[Path]
) -> None:
    """Refuse what a session of flights would find out after torch's import.

    Args:
        given: the learner's flags that stand on the command line.
        checkpoint_path: of the session.
        args: its flags, `summary_dir`, `data_root` and `learns` among them.
        where: its log folder, which may be resumed; None for a session that begins anew.

    Raises:
        UsageError: no such network.
        DataError: no such checkpoint, or no such dataset to fill the replay buffer from.
    """
    network(given.get("network"))
    if args.learns and where is not None and folder.can_resume(where):
        return
    checkpoint(checkpoint_path, args.summary_dir, scratch=args.learns)
    if args.learns and given.get("prefill_dataset"):
        dataset(given["prefill_dataset"], args.data_root)
