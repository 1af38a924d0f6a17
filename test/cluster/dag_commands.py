"""What the tests of whole DAGs share: the commands as a user runs them, and the pool's queue."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from nav_pkg.cluster import status

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 600.0
"""Seconds that a DAG may take on a busy machine."""


def schedd():
    """The pool's queue."""
    import htcondor2

    htcondor2.reload_config()
    return htcondor2.Schedd()


def act(action, constraint):
    """Do something to jobs."""
    import htcondor2

    schedd().act(getattr(htcondor2.JobAction, action), constraint)


def until(ready, awaited):
    """Wait until something is so."""
    end = time.monotonic() + LIMIT
    while not ready():
        assert time.monotonic() < end, f"waited {LIMIT} s for {awaited}"
        time.sleep(0.1)


def run(script, *words, code=0):
    """Run a command; what it printed."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == code, done.stdout
    assert "Traceback" not in done.stdout
    return done.stdout


def wait(folders, tag, code=0):
    """Wait for a DAG's end as a user would; its nodes by name."""
    output = run("dag_status.py", tag, "--watch", "--every", 0.5, code=code)
    dag = status.Dag(folders / "log" / tag / "DAG")
    nodes = {node.name: node for node in dag.update()}
    outputs = {
        file.name: file.read_text()[-600:] for file in (folders / "log" / tag / "DAG" / "out").iterdir()
    }
    if code == 0:
        assert {node.status for node in nodes.values()} == {"done"}, (output, outputs)
    return nodes
