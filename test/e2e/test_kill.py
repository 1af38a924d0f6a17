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
pytestmark = pytest.mark.timeout(300 + 120 * KILLS)

TARGETS = {
    "simulator": b"gzserver",
    "recorder": b"recorder.py",
    "supervisor": b"supervisor.py",
    "roscore": b"rosmaster",
}
FLIGHT = (
    "-ds", "--random_seed", 31, "--alpha", 1, "--start", "route", "--max_duration", 4,
    "--width", 160, "--height", 120, "--depth_width", 80, "--depth_height", 45,
)  # fmt: skip


def processes(shell, wanted):
    """Processes of this test's session (their environment names its folder) whose command contains a word."""
    found = []
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
                found.append(int(entry.name))
    return found


def digest(run):
    """A hash over every byte of a committed run."""
    total = hashlib.sha256()
    for path in sorted(run.rglob("*")):
        if path.is_file():
            total.update(str(path.relative_to(run)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def committed(dataset, known):
    """Hashes of the committed runs; those already known are not read again."""
    if dataset.is_dir():
        for run in dataset.iterdir():
            if (run / "run.json").exists() and not run.name.endswith(".partial") and run.name not in known:
                known[run.name] = digest(run)
    return known


def test_kill_any_process(shell):
    generator = random.Random(4)
    runs = 4 + 2 * KILLS
    dataset = shell.data / "killed"
    flight = shell.start("run_script.py", "-t", "killed", "--number_of_runs", runs, *FLIGHT, name="killed")
    known, kills = {}, []
    targets = [list(TARGETS)[number % len(TARGETS)] for number in range(KILLS)]
    generator.shuffle(targets)
    try:
        for target in targets:
            # From the first moments of a graph, while it starts, to well into its runs.
            deadline = time.monotonic() + 200
            while not processes(shell, TARGETS[target]):
                assert flight.poll() is None, shell.report("killed")
                assert time.monotonic() < deadline, f"no {target} within 200 s\n" + shell.report("killed")
                time.sleep(0.05)
            time.sleep(generator.uniform(0, 12))
            committed(dataset, known)
            for number in processes(shell, TARGETS[target]):
                try:
                    os.kill(number, signal.SIGKILL)
                    kills.append(target)
                except ProcessLookupError:
                    continue
        flight.wait(timeout=100 + 30 * runs)
    finally:
        if flight.poll() is None:
            flight.terminate()
            flight.wait(timeout=60)
    assert flight.returncode == 0, shell.report("killed")
    lost = [name for name in known if not (dataset / name).is_dir()]
    changed = [name for name in known if name not in lost and digest(dataset / name) != known[name]]
    assert (lost, changed) == ([], [])
    assert len(load_dataset(dataset).runs) == runs
    assert processes(shell, b"") == [], "processes survived the session"
    shell.run("dataset.py", "verify", "killed", name="verify")
    # Undisturbed, the same seed records the same bytes.
    shell.run("run_script.py", "-t", "whole", "--number_of_runs", 4, *FLIGHT, name="whole")
    for run in load_dataset(shell.data / "whole").runs:
        for file in ("frames.csv", "scan.npy", "RGB/0000000020.jpg", "Depth/0000000020.png"):
            assert (run.path / file).read_bytes() == (dataset / run.name / file).read_bytes()
    if "NAV_PKG_KILLS_RESULT" in os.environ:
        result = {"kills": len(kills), "runs": runs, "lost": len(lost), "changed": len(changed)}
        Path(os.environ["NAV_PKG_KILLS_RESULT"]).write_text(json.dumps(result))
