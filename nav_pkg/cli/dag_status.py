"""Show the progress of a DAG: its jobs with their tries and hosts, the time left, and what failed.

On a terminal the command follows the DAG until its end. Without a terminal it prints once, unless --watch is
given. The exit code is 1 if the DAG ended with failures.

Example:
    dag_status.py my_dag
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import List, Optional, Sequence

from nav_pkg import schemas
from nav_pkg.cluster import plan, pool, status
from nav_pkg.config import types
from nav_pkg.config.parser import Parser
from nav_pkg.config.paths import summary_dir
from nav_pkg.config.types import real
from nav_pkg.core import UsageError
from nav_pkg.data import files


def make_parser() -> Parser:
    """Make the parser of dag_status.py."""
    p = Parser(prog="dag_status.py", description=__doc__)
    add = p.add_argument
    add("tag", nargs="?", type=types.name, help="the DAG's tag")
    add(
        "-t",
        "--log_tag",
        type=types.name,
        default=None,
        help="the tag as a flag, as in the other commands",
    )
    add("--summary_dir", type=Path, default=summary_dir(), help="folder of all logs")
    how = p.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="print once, also on a terminal")
    how.add_argument(
        "--watch", action="store_true", help="follow the DAG to its end, also without a terminal"
    )
    add("--all", action="store_true", help="print all jobs, even if they do not fit the terminal")
    add("--every", type=real(0.1), default=2.0, help="seconds between two updates")
    return p


def lines_of(dag: status.Dag, now: float, rows: int) -> List[str]:
    """The current state of a DAG as lines of text."""
    nodes = dag.look()
    counted = ", ".join(f"{number} {word}" for word, number in status.counts(nodes).items())
    left = status.seconds_left(nodes, now)
    when = ""
    if left is not None:
        end = time.strftime("%a %H:%M", time.localtime(now + left))
        when = f"; about {status.duration(left)} left, until {end}"
    silence = "" if ended(dag) else _silence(dag, now)
    made = [
        f"{dag.command} -t {dag.tag}: {counted}{'' if silence else when}",
        *status.table(nodes, now, rows),
    ]
    return [*made, silence] if silence else made


def _silence(dag: status.Dag, now: float) -> str:
    """A warning that the state may be old: the pool does not run, or DAGMan has not reported for long."""
    record = dag.folder / plan.SUBMITTED_FILE
    config = files.read_json(record, schemas.SUBMITTED).get("pool") if record.exists() else None
    own = pool.Pool(Path(config).parent) if config else None
    if own and own.config == Path(config) and own.made and own.pid is None:
        return (
            f"its pool ({own.folder}) does not run on this host: scripts/pool.py start, and the DAG resumes"
        )
    if dag.silent(now):
        return (
            f"no report from DAGMan for {status.duration(dag.silent(now))}: does its pool run? "
            "(condor_q, scripts/pool.py status)"
        )
    return ""


def ended(dag: status.Dag) -> bool:
    """Whether the DAG has ended: all nodes are done, or DAGMan has stopped."""
    if all(node.status == "done" for node in dag.nodes.values()):
        return True
    return status.has_ended(dag.folder)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command: return 0 if the DAG is done or runs, 1 if it ended with failures."""
    args = make_parser().parse_args(argv)
    tag = args.tag or args.log_tag
    if not tag:
        raise UsageError("dag_status.py: give the DAG's tag, e.g. dag_status.py my_dag")
    dag = status.Dag(plan.dag_folder(args.summary_dir.expanduser().resolve(), tag))
    live = sys.stdout.isatty() and not args.once
    once = not live and not args.watch
    before: List[str] = []
    while True:
        height = shutil.get_terminal_size().lines - 4 if live else 40
        lines = lines_of(dag, time.time(), 0 if args.all else height)
        if live:
            width = shutil.get_terminal_size().columns
            print("\033[H\033[J" + "\n".join(line[: width - 1] for line in lines), flush=True)
        elif lines != before:
            print("\n".join(lines), flush=True)
        before = lines
        done = ended(dag)
        if not (dag.folder / plan.SUBMITTED_FILE).exists():
            print(
                f"not submitted (--dont_submit): {dag.command} -t {dag.tag} ... without that flag submits it"
            )
            return 0
        if done or once:
            good = not done or all(node.status == "done" for node in dag.nodes.values())
            if not good:
                how = "removed" if status.was_removed(dag.folder) else "ended with failures"
                print(f"{how}; the same {dag.command} -t {dag.tag} ... again continues it")
            return 0 if good else 1
        time.sleep(args.every)
