"""Where datasets and logs live unless a flag or the environment says otherwise."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Union

PathLike = Union[str, "os.PathLike[str]"]

_HOME = "~/.local/share/nav_pkg"


def data_root() -> Path:
    """The folder of all datasets: environment `NAV_PKG_DATA`, else `~/.local/share/nav_pkg/data`."""
    return Path(os.environ.get("NAV_PKG_DATA") or f"{_HOME}/data").expanduser()


def summary_dir() -> Path:
    """The folder of all logs: environment `NAV_PKG_LOG`, else `~/.local/share/nav_pkg/log`."""
    return Path(os.environ.get("NAV_PKG_LOG") or f"{_HOME}/log").expanduser()
