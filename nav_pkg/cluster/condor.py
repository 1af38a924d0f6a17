"""HTCondor's programs, and the pool that they use: a configured one, else the personal pool of `pool.py`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Dict, List, Optional

from nav_pkg.core import DataError, NavError, UsageError

MACHINE_CONFIG = Path("/etc/condor/condor_config")
ANSWER_LIMIT = 20.0
"""Wall seconds for one of HTCondor's programs to answer."""
_NO_FILE = ("ONLY_ENV", "/dev/null")
"""Values of CONDOR_CONFIG that name no pool; HTCondor's Python bindings set them if it is unset."""


class PoolError(NavError):
    """The pool did not start, stop or answer; the same command may succeed when repeated."""

    code = 4


def pool_folder() -> Path:
    """The personal pool's folder: environment `NAV_PKG_POOL`, else `~/.local/share/nav_pkg/pool`."""
    return Path(os.environ.get("NAV_PKG_POOL") or "~/.local/share/nav_pkg/pool").expanduser().absolute()


def personal_config() -> Path:
    """The configuration file of the personal pool, whether it exists or not."""
    return pool_folder() / "condor_config"


def prefix_folder() -> Path:
    """The folder in which set-up installs HTCondor: below `NAV_PKG_SHARE`, else `~/.local/share/nav_pkg`."""
    return Path(os.environ.get("NAV_PKG_SHARE") or "~/.local/share/nav_pkg").expanduser() / "condor"


def configured() -> Optional[Path]:
    """The configuration file of a pool other than the personal one; None if no such pool is configured.

    Raises:
        UsageError: CONDOR_CONFIG names a missing file.
    """
    named = os.environ.get("CONDOR_CONFIG")
    if named in _NO_FILE:
        named = None
    if named and Path(named).absolute() != personal_config():
        if not Path(named).is_file():
            raise UsageError(
                f"CONDOR_CONFIG is {named}: no such file; name your pool's condor_config, or unset it for a "
                "pool on this machine"
            )
        return Path(named).absolute()
    if not named and not os.environ.get("NAV_PKG_POOL") and MACHINE_CONFIG.is_file():
        return MACHINE_CONFIG if shutil.which("condor_master") else None
    return None


def prefix_environment(config: Optional[Path] = None) -> Dict[str, str]:
    """PATH and CONDOR_CONFIG for HTCondor's programs and Python bindings.

    Args:
        config: the return value of `ensure_pool`; None for the configured pool, running or not.

    Raises:
        DataError: HTCondor is not installed.
    """
    config = config or configured() or personal_config()
    folders = programs()
    path = os.environ.get("PATH", "").split(os.pathsep)
    own = [str(folder) for folder in folders if str(folder) not in path]
    return {"PATH": os.pathsep.join([*own, *path]), "CONDOR_CONFIG": str(config)}


def programs() -> List[Path]:
    """The folders of HTCondor's programs: those on PATH, else those that set-up installed."""
    prefix = prefix_folder()
    own = shutil.which("condor_master")
    if own is not None:
        # Debian and Red Hat install user programs and daemons in different folders.
        submit = shutil.which("condor_submit")
        return sorted({Path(own).parent, Path(submit or own).parent})
    if not (prefix / "MANIFEST").is_file():
        raise DataError(
            f"HTCondor is neither on the PATH nor in {prefix}: run 'make setup', or set CONDOR_CONFIG and "
            "PATH to your pool's"
        )
    return [prefix / "bin", prefix / "sbin"]


def run(program: str, *arguments: str, config: Optional[Path] = None, limit: float = ANSWER_LIMIT) -> str:
    """Run one of HTCondor's programs and return its stdout.

    Args:
        program: name of the program.
        arguments: its arguments.
        config: configuration of the pool; None for the configured pool.
        limit: timeout, wall seconds.

    Raises:
        DataError: the program is not installed.
        PoolError: the program failed (the text is its last line of output), or exceeded the timeout.
    """
    environment = dict(os.environ, **prefix_environment(config))
    path = shutil.which(program, path=environment["PATH"])
    if path is None:
        raise DataError(f"HTCondor's {program} is not on the PATH: run 'make setup'")
    try:
        done = subprocess.run(
            [path, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit,
            text=True,
        )
    except subprocess.TimeoutExpired:
        raise PoolError(f"{program}: no answer within {limit:g} s; see `scripts/pool.py status`") from None
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise PoolError(f"{program}: {lines[-1].strip() if lines else f'exit code {done.returncode}'}")
    return done.stdout
