"""Show the progress of a DAG: its jobs with their tries and hosts, the time left, and what failed.

On a terminal the command follows the DAG until its end. Without a terminal it prints once, unless --watch is
given. The exit code is 1 if the DAG ended with failures.

Example:
    dag_status.py my_dag
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Sequence

from nav_pkg.cluster import plan, status
from nav_pkg.cluster.status_text import follow
from nav_pkg.config import types
from nav_pkg.config.session import PlaceConfig
from nav_pkg.config.setting import parse, setting, shared
from nav_pkg.config.types import real
from nav_pkg.core import UsageError


@dataclass(frozen=True)
class DagStatusConfig:
    """Status."""

    tag: Optional[str] = setting(None, "the DAG's tag", types.name, positional=True, nargs="?")
    log_tag: Optional[str] = setting(
        None, "the tag as a flag, as in the other commands", types.name, short="-t"
    )
    summary_dir: Path = shared(PlaceConfig, "summary_dir")
    once: bool = setting(False, "print once, also on a terminal", exclusive="how often")
    watch: bool = setting(False, "follow the DAG to its end, also without a terminal", exclusive="how often")
    all: bool = setting(False, "print all jobs, even if they do not fit the terminal")
    every: float = setting(2.0, "seconds between two updates", real(0.1))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command: return 0 if the DAG is done or runs, 1 if it ended with failures."""
    config = parse(DagStatusConfig, argv, "dag_status.py", str(__doc__))
    tag = config.tag or config.log_tag
    if not tag:
        raise UsageError("dag_status.py: give the DAG's tag, e.g. dag_status.py my_dag")
    dag = status.Dag(plan.dag_folder(config.summary_dir.expanduser().resolve(), tag))
    live = sys.stdout.isatty() and not config.once
    once = not live and not config.watch
    return follow(dag, live, once, 0 if config.all else -1, config.every)
