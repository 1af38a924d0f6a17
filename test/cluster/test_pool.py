"""The personal pool: start, status, stop, two side by side, what is left of one that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nav_pkg.cli import pool as pool_command
from nav_pkg.cluster import condor
from nav_pkg.cluster import pool as pools
from nav_pkg.cluster.pool import Pool
from nav_pkg.core import DataError, UsageError

ROOT = Path(__file__).resolve().parents[2]
SOON = 240
"""Seconds that a start may take on a busy machine; less than the 5 minutes of HTCondor's cooling down."""


@pytest.fixture
def clean(monkeypatch):
    """No pool is configured."""
    for name in ("CONDOR_CONFIG", "NAV_PKG_POOL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(condor, "MACHINE_CONFIG", Path("/nowhere"))


@pytest.fixture
def folder(base, clean, monkeypatch, need_condor):
    """The folder of the personal pool; it is stopped at the end, and nothing of it is left."""
    pool_folder = base / f"pool-{time.monotonic_ns() % 10**6}"
    monkeypatch.setenv("NAV_PKG_POOL", str(pool_folder))
    yield pool_folder
    for pool in (Pool(pool_folder), Pool(pool_folder.with_name(pool_folder.name + "-2"))):
        pool.stop(fast=True)
        assert not pool._daemons() and not pool._jobs()


def command(*words, code=0):
    """Run scripts/pool.py."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "pool.py"), *words],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_start_status_stop(folder):
    assert "does not run" in command("status", code=4)
    # two at once: one starts it, the other finds it
    both = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "scripts" / "pool.py"), "start", "--cpus", "2", "--memory", "700"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    first_lines = sorted(process.communicate(timeout=300)[0].splitlines()[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert first_lines == [f"pool in {folder} runs already", f"pool in {folder} started"]
    pid = Pool(folder).pid
    text = command("status")
    assert f"(process {pid})" in text and "2 processors (2 free), 700 MB (700 free)" in text
    assert "0 running, 0 waiting, 0 held" in text
    line = command("start", "--cpus", "1", code=2)
    assert line.startswith("error: the pool in") and "stop it first" in line
    shell = subprocess.run(
        ["bash", "-c", 'eval "$("$0" "$1" env)"; condor_q -totals && condor_status -af Cpus', sys.executable]
        + [str(ROOT / "scripts" / "pool.py")],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert shell.returncode == 0 and shell.stdout.splitlines()[-1] == "2", shell.stderr
    assert "stopped" in command("stop")
    assert not Pool(folder)._daemons()
    assert "did not run" in command("stop")


def test_two_pools_side_by_side_and_a_queue_that_outlives_its_pool(folder):
    """Each has its own queue; a job and a DAG in it run again soon after a stop and a start.

    DAGMan runs in the scheduler universe, in which HTCondor lets a stopped job cool down for 5 minutes.
    """
    first, second = Pool(folder), Pool(folder.with_name(folder.name + "-2"))
    for pool in (first, second):
        assert pool.start(cpus=1, memory=500, die_with_parent=True)
        submit(
            pool, "job", "executable = /bin/sh", "transfer_executable = false", "should_transfer_files = no",
            "arguments = \"-c 'echo $$ >pid; sleep 600'\"", "request_memory = 50", "request_disk = 1MB",
            "request_cpus = 1",
        )  # fmt: skip
    program = folder / "dagman"  # ends as DAGMan does, which wants to be started again
    program.write_text("#!/bin/bash\ntrap 'exit 3' TERM\necho $$ >pid\nsleep 600 &\nwait\n")
    program.chmod(0o755)
    submit(first, "dag", "universe = scheduler", f"executable = {program}", "on_exit_remove = ExitCode =?= 0")
    pid_files = [first.folder / name / "pid" for name in ("job", "dag")]
    pids, other = [wait_for(file) for file in pid_files], wait_for(second.folder / "job" / "pid")
    for file in pid_files:
        file.unlink()
    assert first.stop()
    assert not any(map(alive, pids)) and alive(other), "another pool's job was ended"
    assert second.answers() and not first.answers()
    assert first.start(cpus=1, memory=500, die_with_parent=True)
    for file in pid_files:
        wait_for(file)  # in less than SOON
    assert second.stop(fast=True)
    assert not alive(other)


def submit(pool, name, *lines):
    """Submit a job that runs in a folder of its name below the pool's."""
    place = pool.folder / name
    place.mkdir()
    (place / "it.sub").write_text("\n".join([*lines, f"initialdir = {place}", "queue", ""]))
    condor.run("condor_submit", str(place / "it.sub"), config=pool.config)


def test_what_a_killed_pool_left_is_cleared(folder):
    pool = Pool(folder)
    pool.start(cpus=1, memory=500, die_with_parent=True)
    before = pool._daemons()
    os.kill(pool.pid, signal.SIGKILL)
    deadline = time.monotonic() + SOON
    while pool.pid is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert pool.start(cpus=1, memory=500, die_with_parent=True)
    assert not set(before) & set(pool._daemons()) and pool.answers()


def alive(number):
    try:
        return b") Z" not in Path("/proc", str(number), "stat").read_bytes()
    except OSError:
        return False


def wait_for(file, limit=SOON):
    """Wait for a file with a process number; returns it."""
    deadline = time.monotonic() + limit
    while not (file.exists() and file.read_text().strip()):
        assert time.monotonic() < deadline, f"waited {limit} s for {file}"
        time.sleep(0.05)
    return int(file.read_text())


def test_which_pool(clean, monkeypatch, tmp_path):
    """CONDOR_CONFIG's, or the machine's, is used as it is; NAV_PKG_POOL asks for the personal one."""
    monkeypatch.setenv("NAV_PKG_POOL", str(tmp_path / "own"))
    own = Pool()
    assert condor.configured() is None and own.folder == tmp_path / "own"
    monkeypatch.setenv("CONDOR_CONFIG", str(own.config))  # of `pool.py env`
    assert condor.configured() is None
    other = tmp_path / "condor_config"
    monkeypatch.setenv("CONDOR_CONFIG", str(other))
    with pytest.raises(UsageError, match=f"CONDOR_CONFIG is {other}: no such file"):
        pools.ensure_pool()
    other.write_text("")
    assert pools.ensure_pool() == other
    for words in (["start"], ["stop"]):
        assert f"the pool of {other} is configured" in command(*words, code=2)
    for none in ("ONLY_ENV", "/dev/null"):  # what importing htcondor2 may leave
        monkeypatch.setenv("CONDOR_CONFIG", none)
        assert condor.configured() is None
    monkeypatch.delenv("CONDOR_CONFIG")
    machine = tmp_path / "machine"
    machine.write_text("")
    monkeypatch.setattr(condor, "MACHINE_CONFIG", machine)
    monkeypatch.setattr(pools.shutil, "which", lambda name, path=None: f"/usr/sbin/{name}")
    assert condor.configured() is None
    monkeypatch.delenv("NAV_PKG_POOL")
    assert pools.ensure_pool() == machine


def test_no_pool_and_none_can_be_started(clean, monkeypatch, tmp_path):
    monkeypatch.setenv("NAV_PKG_POOL", str(tmp_path / "pool"))
    monkeypatch.setenv("NAV_PKG_SHARE", str(tmp_path))
    monkeypatch.setattr(pools.shutil, "which", lambda name, path=None: None)
    with pytest.raises(DataError, match="make setup"):
        pools.ensure_pool()


def test_a_pool_that_does_not_start_says_why(folder, monkeypatch):
    (folder / "log").mkdir(parents=True)
    if os.getuid() == 0:
        monkeypatch.setattr(pools.subprocess, "run", _refuses(pools.subprocess.run))
        with pytest.raises(condor.PoolError, match="as an ordinary user"):
            Pool().start()
        monkeypatch.undo()
        monkeypatch.setenv("NAV_PKG_POOL", str(folder))
    pool = Pool(folder)
    text = pool._configuration(1, 500)
    monkeypatch.setattr(Pool, "_configuration", lambda *_: text + "COLLECTOR = /nowhere/condor_collector\n")
    monkeypatch.setattr(pools, "START_LIMIT", 1.0)
    with pytest.raises(condor.PoolError, match="condor_master ended|does not answer within") as error:
        pool.start()
    assert str(folder) in str(error.value)
    assert not pool._daemons()


def _refuses(run):
    def refused(words, **more):
        return subprocess.CompletedProcess(words, 1) if words[0] == "unshare" else run(words, **more)

    return refused


@pytest.mark.parametrize("words", [["start", "--cpus", "-1"], ["start", "--memory", "x"], ["go"], []])
def test_wrong_use(clean, words):
    with pytest.raises(UsageError):
        pool_command.main(words)
