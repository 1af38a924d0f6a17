"""Default folders of datasets, logs and packs, which environment variables change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Union

from nav_pkg.private import private_folder

PathLike = Union[str, "os.PathLike[str]"]

_HOME = "~/.local/share/nav_pkg"


def data_root() -> Path:
    """The folder of all datasets: environment `NAV_PKG_DATA`, else `~/.local/share/nav_pkg/data`."""
    return Path(os.environ.get("NAV_PKG_DATA") or f"{_HOME}/data").expanduser()


def summary_dir() -> Path:
    """The folder of all logs: environment `NAV_PKG_LOG`, else `~/.local/share/nav_pkg/log`."""
    return Path(os.environ.get("NAV_PKG_LOG") or f"{_HOME}/log").expanduser()


def cache_dir() -> Path:
    """The folder of all packs: environment `NAV_PKG_CACHE`, else `~/.cache/nav_pkg/packs`."""
    return Path(os.environ.get("NAV_PKG_CACHE") or "~/.cache/nav_pkg/packs").expanduser()


def node_dir() -> Path:
    """A folder for packs on this computer's own disk, for this user alone; created if missing.

    It is `nav_pkg-<user id>/packs` below the environment variable `NAV_PKG_NODE` (set by the wrapper of
    cluster jobs; the jobs on one host share it), else `_CONDOR_SCRATCH_DIR` (HTCondor: a job's own folder,
    removed at its end), else `TMPDIR`, else `/tmp`.

    Raises:
        DataError: when it cannot be made, or another user owns something at that path.
    """
    own = private_folder(node_home(), "TMPDIR")
    return private_folder(own / "packs", "TMPDIR")


def node_home() -> Path:
    """The folder that `node_dir` lies in, whether it exists or not."""
    named = (os.environ.get(name) for name in ("NAV_PKG_NODE", "_CONDOR_SCRATCH_DIR", "TMPDIR"))
    return Path(next(filter(None, named), "/tmp")) / f"nav_pkg-{os.getuid()}"


def cache_variable(cache: Path) -> str:
    """The environment variable that chooses a folder of packs, for messages."""
    return "TMPDIR" if cache.parent.name == f"nav_pkg-{os.getuid()}" else "NAV_PKG_CACHE"
