"""Errors that no second try would mend end a command at once, with exit code 2 and a remedy."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys

import pytest

from nav_pkg.core import UsageError
from nav_pkg.sim import network, preflight
from nav_pkg.sim.description import ROOT


@pytest.fixture
def good(monkeypatch, tmp_path):
    """An environment in which all is there."""
    (tmp_path / "bin").mkdir()
    for name in ("home", "tmp", "lib"):
        (tmp_path / name).mkdir()
    for file in ("bin/Xvfb", f"lib/{network.LIBRARY}", f"lib/{preflight.PLUGIN}"):
        (tmp_path / file).touch(mode=0o755)
    monkeypatch.setattr(network, "ROOT", tmp_path / "none")
    monkeypatch.setattr(preflight, "_group_limit", lambda: None)
    return {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PATH": str(tmp_path / "bin"),
        "CMAKE_PREFIX_PATH": str(tmp_path),
    }


def test_where_all_is_there(good):
    preflight.check(good)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"HOME": ""}, "HOME is not set.*export HOME="),
        ({"HOME": "/proc/none"}, "HOME=/proc/none: no folder that can be written to"),
        ({"TMPDIR": "/proc/none"}, "TMPDIR=/proc/none: no folder that can be written to"),
        ({"TMPDIR": "/etc/passwd"}, "TMPDIR=/etc/passwd: no folder"),
        ({"PATH": "/none"}, "Xvfb is not on the PATH; install it"),
        ({"CMAKE_PREFIX_PATH": ""}, "is not built: run 'make setup'"),
    ],
)
def test_what_is_missing(good, change, problem):
    with pytest.raises(UsageError, match=problem):
        preflight.check({**good, **change})


def test_a_window_needs_a_display(good):
    for display in ("", ":987"):
        with pytest.raises(UsageError, match=f"a window needs an X display, but DISPLAY is '{display}'"):
            preflight.check({**good, "DISPLAY": display}, window=True)


def test_a_missing_plugin(good, tmp_path):
    (tmp_path / "lib" / preflight.PLUGIN).unlink()
    with pytest.raises(UsageError, match=f"{preflight.PLUGIN} is missing: run 'make setup'"):
        preflight.check(good)


def test_a_full_temporary_folder(good, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 5 * 10**6))
    with pytest.raises(UsageError, match="5 MB are free, a simulator needs 34 MB for temporary files"):
        preflight.check(good)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UsageError, match="TMPDIR=.*: No space left on device; make room"):
        preflight.check(good)


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        (resource.RLIMIT_NOFILE, 64, r"64 open files here, the simulator needs 256: raise it \(ulimit -n"),
        (resource.RLIMIT_AS, 10**9, r"1\.0 GB of memory here, the simulator needs .*\(ulimit -v unlimited"),
        (resource.RLIMIT_DATA, 10**8, r"0\.1 GB of memory here, .*\(ulimit -d unlimited"),
    ],
)
def test_limits_that_are_too_low(good, monkeypatch, kind, value, problem):
    real = resource.getrlimit
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (value, value) if limit == kind else real(limit))
    with pytest.raises(UsageError, match=problem):
        preflight.check(good)


def test_a_soft_limit_of_files_is_raised(good, monkeypatch):
    raised = []
    monkeypatch.setattr(
        resource, "getrlimit", lambda kind: (64, 4096) if kind == resource.RLIMIT_NOFILE else (-1, -1)
    )
    monkeypatch.setattr(resource, "setrlimit", lambda kind, value: raised.append((kind, value)))
    preflight.check(good)
    assert raised == [(resource.RLIMIT_NOFILE, (256, 4096))]


def test_a_containers_memory(good, monkeypatch):
    monkeypatch.setattr(preflight, "_group_limit", lambda: 500_000_000)
    with pytest.raises(UsageError, match="may use 500 MB of memory, a session needs 1074 MB"):
        preflight.check(good)


@pytest.mark.parametrize(
    "command",
    [
        ["run_script.py", "-t", "x"],
        ["simulator.py"],
        ["demo.py", "--output", "demo"],
    ],
    ids=lambda command: command[0],
)
def test_commands_tell_at_once(tmp_path, command):
    """With 64 open files they were silent for minutes, with 32 they tried three times."""
    script = f'ulimit -n 64; exec "$0" "{ROOT}/scripts/{command[0]}" "$@"'
    environment = dict(os.environ, NAV_PKG_LOG=str(tmp_path), NAV_PKG_DATA=str(tmp_path))
    done = subprocess.run(
        ["bash", "-c", script, sys.executable, *command[1:]],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: a process may have 64 open files here, the simulator needs 256")
    assert done.stderr.count("\n") == 1 and not list(tmp_path.iterdir())


def test_a_limit_that_no_library_survives(tmp_path):
    script = f'ulimit -v 300000; exec "$0" "{ROOT}/scripts/run_script.py" -t x'
    line = ["bash", "-c", script, sys.executable]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: a process may have 307 MB of memory here")
