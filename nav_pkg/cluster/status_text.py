"""The state of a DAG as text, once or until the DAG has ended (`dag_status.py`)."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import List

from nav_pkg import schemas
from nav_pkg.cluster import plan, pool, status
from nav_pkg.data import files


def lines_of(dag: status.Dag, now: float, rows: int) -> List[str]:
    """The current state of a DAG as lines of text."""
    nodes = dag.update()
    counted = ", ".join(f"{number} {word}" for word, number in status.counts(nodes).items())
    left = status.seconds_left(nodes, now)
    when = ""
    if left is not None:
        end = time.strftime("%a %H:%M", time.localtime(now + left))
        when = f"; about {status.duration(left)} left, until {end}"
    silence = "" if ended(dag) else _silence(dag, now)
    lines = [
        f"{dag.command} -t {dag.tag}: {counted}{'' if silence else when}",
        *status.table(nodes, now, rows),
    ]
    return [*lines, silence] if silence else lines


def _silence(dag: status.Dag, now: float) -> str:
    """A warning that the state may be old: the pool does not run, or DAGMan has not reported for long."""
    record = dag.folder / plan.SUBMITTED_FILE
    config = files.read_json(record, schemas.SUBMITTED).get("pool") if record.exists() else None
    own = pool.Pool(Path(config).parent) if config else None
    if own and own.config == Path(config) and own.is_set_up and own.pid is None:
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


def follow(dag: status.Dag, live: bool, once: bool, rows: int, every: float) -> int:
    """Print the state of a DAG until it has ended.

    Args:
        dag: the DAG.
        live: draw on a terminal; otherwise print what has changed.
        once: print it once.
        rows: most nodes to print; 0 for all, -1 for as many as fit the terminal.
        every: seconds between two looks.

    Returns:
        0 if the DAG is done or runs, 1 if it ended with failures.
    """
    before: List[str] = []
    while True:
        height = shutil.get_terminal_size().lines - 4 if live else 40
        lines = lines_of(dag, time.time(), height if rows < 0 else rows)
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
                ending = "removed" if status.was_removed(dag.folder) else "ended with failures"
                print(f"{ending}; the same {dag.command} -t {dag.tag} ... again continues it")
            return 0 if good else 1
        time.sleep(every)
