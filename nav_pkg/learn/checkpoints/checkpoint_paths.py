"""Paths of checkpoints; in a module without torch, whose import takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from nav_pkg.config import paths
from nav_pkg.config.paths import PathLike
from nav_pkg.core import DataError

MODEL_FILE = "my-model"


def locate(path: PathLike, summary_dir: Optional[PathLike] = None) -> Path:
    """The file that a `--checkpoint_path` refers to, existing or not.

    Args:
        path: a log folder that holds `my-model`, or the file itself; absolute, or relative to
            `summary_dir`.
        summary_dir: the folder of all logs; None for the default one.
    """
    root = paths.summary_dir() if summary_dir is None else Path(summary_dir).expanduser()
    full = root / Path(path).expanduser()
    return full if full.is_file() or full.suffix in (".onnx", ".pt") else full / MODEL_FILE


def require(path: PathLike, summary_dir: Optional[PathLike] = None) -> Path:
    """The file that a `--checkpoint_path` refers to.

    Raises:
        DataError: the file does not exist.
    """
    file = locate(path, summary_dir)
    if not file.is_file():
        raise DataError(
            f"{file}: no such checkpoint: check --checkpoint_path (relative to --summary_dir, or absolute)"
        )
    return file
