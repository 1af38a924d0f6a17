"""kill -9 of any process at random moments: no committed run is lost or changed, and the session goes on.

Four kills by default, one of each process. `NAV_PKG_KILLS=30` makes more of them and
`NAV_PKG_KILLS_RESULT` names a file for the counts (make bench).
"""

import hashlib
import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from nav_pkg.data.reader import load_dataset

KILLS = int(os.environ.get("NAV_PKG_KILLS", "4"))
pytestmark = pytest.mark.timeout(1500 + 120 * KILLS)

TARGETS = {
    "simulator": b"gzserver",
    "recorder": b"recorder.py",
    "supervisor": b"supervisor.py",
    "roscore": b"rosmaster",
}
FLIGHT = (
    "-ds", "--random_seed", 31, "--alpha", 1, "--start", "route", "--max_duration", 15,
    "--width", 160, "--height", 120, "--depth_width", 80, "--depth_height", 45,
)  # fmt: skip


def processes(shell, wanted):
    """Processes of this test's session (their environment names its folder) whose command contains a word."""
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            except OSError:
                continue
            if (
                wanted in command
                and str(shell.log).encode() in environment
                and b"NAV_PKG_GRAPH=" in environment
            ):
                pids.append(int(entry.name))
    return pids


def digest(run):
    """A hash over every byte of a committed run."""
    total = hashlib.sha256()
    for path in sorted(run.rglob("*")):
        if path.is_file():
            total.update(str(path.relative_to(run)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def committed(dataset, known):
    """Hashes of the committed runs that count; those already known are not read again.

    A run that the stop of the session cut short is committed as aborted, and recorded again later.
    """
    if dataset.is_dir():
        for run in dataset.glob("*_esatv3"):
            if run.name not in known:
                outcome = json.loads((run / "run.json").read_text())["outcome"]
                if outcome not in ("aborted", "sim_failure"):
                    known[run.name] = digest(run)
    return known


def test_kill_any_process(shell):
    generator = random.Random(4)
    dataset = shell.data / "killed"
    # More runs than there is time for: the session is stopped after the last kill, and continued.
    flight = shell.start("run_script.py", "-t", "killed", "--number_of_runs", 1000, *FLIGHT, name="killed")
    known, kills = {}, []
    targets = [list(TARGETS)[number % len(TARGETS)] for number in range(KILLS)]
    generator.shuffle(targets)

    def wait_for(awaited, ready, limit=200):
        deadline = time.monotonic() + limit
        while not ready():
            assert flight.poll() is None, shell.report("killed")
            assert time.monotonic() < deadline, f"waited {limit} s for {awaited}\n" + shell.report("killed")
            time.sleep(0.05)

    try:
        for number, target in enumerate(targets):
            # Of three kills one comes while the graph starts, two after it has flown another run:
            # failures in a row that a session gives up for are not what this test is about.
            if number % 3:
                before = len(committed(dataset, known))
                wait_for("another run", lambda before=before: len(committed(dataset, known)) > before)
            wait_for(target, lambda target=target: processes(shell, TARGETS[target]))
            time.sleep(generator.uniform(0, 4))
            committed(dataset, known)
            wait_for(target, lambda target=target: processes(shell, TARGETS[target]))
            for process in processes(shell, TARGETS[target]):
                try:
                    os.kill(process, signal.SIGKILL)
                    kills.append(target)
                except ProcessLookupError:
                    continue
        before = len(committed(dataset, known))
        wait_for("a run after the last kill", lambda: len(committed(dataset, known)) > before)
        flight.send_signal(signal.SIGINT)
        assert flight.wait(timeout=90) == 130, shell.report("killed")
    finally:
        if flight.poll() is None:
            flight.terminate()
            flight.wait(timeout=60)
    assert len(kills) >= KILLS
    assert processes(shell, b"") == [], "processes survived the session"
    runs = len(committed(dataset, known)) + 1
    shell.run("run_script.py", "-t", "killed", "--number_of_runs", runs, *FLIGHT, name="continued")
    lost = [name for name in known if not (dataset / name).is_dir()]
    changed = [name for name in known if name not in lost and digest(dataset / name) != known[name]]
    assert (lost, changed) == ([], [])
    names = [run.name for run in load_dataset(dataset).runs]
    assert names[:runs] == [f"{number:05d}_esatv3" for number in range(runs)]
    shell.run("dataset.py", "verify", "killed", name="verify")
    # Undisturbed, the same seed records the same bytes.
    shell.run("run_script.py", "-t", "whole", "--number_of_runs", min(3, runs), *FLIGHT, name="whole")
    for run in load_dataset(shell.data / "whole").runs:
        for file in ("frames.csv", "scan.npy", "RGB.tar", "Depth.tar"):
            assert (run.path / file).read_bytes() == (dataset / run.name / file).read_bytes()
    if "NAV_PKG_KILLS_RESULT" in os.environ:
        result = {"kills": len(kills), "runs": runs, "lost": len(lost), "changed": len(changed)}
        Path(os.environ["NAV_PKG_KILLS_RESULT"]).write_text(json.dumps(result))
