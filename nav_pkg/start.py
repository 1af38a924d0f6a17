"""The start of every script. It works in a shell without nav_pkg's set-up: it needs only Python."""

from __future__ import annotations

import importlib
import os
import resource
import signal
import sys
from pathlib import Path
from typing import NoReturn

LEAST_ADDRESSES = 800_000_000
"""Minimum address space, bytes. With less, the import of NumPy or PyTorch fails with a traceback or hangs."""


def run(name: str, package: str = "nav_pkg.cli") -> NoReturn:
    """Import a command, run it, and exit with its exit code.

    Args:
        name: name of its module.
        package: package of the module.
    """
    _run(name, "nav_pkg.cli.entry", f"{package}.{name}")


def run_node(name: str) -> NoReturn:
    """Import a ROS node, run it, and exit with its exit code.

    Args:
        name: name of its module in `nav_pkg.ros`.
    """
    _run(name, "nav_pkg.ros.node_tools", f"nav_pkg.ros.{name}")


def open_standard_files() -> None:
    """Open /dev/null for each of stdin, stdout and stderr that is closed.

    Otherwise the next opened file would get its descriptor number, and output of a library could be written
    into a dataset.
    """
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            break
    os.close(descriptor)
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            stream = os.fdopen(number, mode, encoding="utf-8", errors="replace", closefd=False)
            setattr(sys, name, stream)


def _check_addresses() -> None:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESSES:
        print(
            f"error: a process may have {limit / 1e6:.0f} MB of memory here, and the libraries alone need "
            f"{LEAST_ADDRESSES / 1e6:.0f} MB of addresses: raise it (ulimit -v unlimited)",
            file=sys.stderr,
        )
        sys.exit(2)


def _run(name: str, runner: str, module: str) -> NoReturn:
    open_standard_files()
    _check_addresses()
    try:
        run_it = importlib.import_module(runner).run
        run_it(importlib.import_module(module).main)
    except ModuleNotFoundError as missing:
        if os.environ.get("NAV_PKG_ROOT"):  # env.sh was sourced: then it is a bug
            raise
        root = Path(__file__).resolve().parents[1]
        print(
            f"error: {name}.py: no module {missing.name} here: run 'make setup' in {root} once, and in each "
            f"shell 'source {root}/env.sh'",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:  # during the imports
        print("stopped", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
