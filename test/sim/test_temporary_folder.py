"""A simulator's folder: its own, gone at the end, and gone with the next one where it was killed."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nav_pkg.sim import temporary_folder
from nav_pkg.sim.temporary_folder import TemporaryFolder

PREFIX = "nav_pkg-sim-"
CODE = """
import os, sys
from nav_pkg.sim.temporary_folder import TemporaryFolder
made = TemporaryFolder("nav_pkg-sim-")
(made.path / "run.world").write_text("x")
print(made.path, flush=True)
sys.stdin.readline()
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A temporary folder for these tests alone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield tmp_path
    monkeypatch.setattr("tempfile.tempdir", None)


def old(path):
    """Make a folder look as if it had been there for an hour."""
    os.utime(path, (time.time() - 3600,) * 2)


def test_what_a_killed_simulator_left_goes(temporary):
    with subprocess.Popen(
        [sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        left = Path(other.stdout.readline().strip())
        with TemporaryFolder(PREFIX) as own:
            assert left.is_dir() and own.is_dir() and own.stat().st_mode & 0o777 == 0o700
        assert left.is_dir() and not own.exists()  # it lives
        other.communicate("\n")
    user = subprocess.Popen(["sleep", "60"], env={"TMPDIR": str(left)})  # a program that it started lives on
    try:
        TemporaryFolder(PREFIX).close()
        assert left.is_dir()
    finally:
        user.kill()
        user.wait()
    TemporaryFolder(PREFIX).close()
    assert not left.exists()


def test_folders_of_earlier_versions_and_others(temporary):
    """Without a lock: gone when nobody names them and they are not new; links and files stay."""
    for name in ("old", "new"):
        (temporary / f"{PREFIX}{name}").mkdir()
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (temporary / f"{PREFIX}link").symlink_to(elsewhere)
    (temporary / f"{PREFIX}file").write_text("x")
    (temporary / f"{PREFIX}old" / "link").symlink_to(elsewhere)
    for path in temporary.iterdir():
        if path.name != f"{PREFIX}new" and not path.is_symlink():
            old(path)
    with TemporaryFolder(PREFIX):
        assert {path.name for path in temporary.iterdir()} > {f"{PREFIX}{n}" for n in ("new", "link", "file")}
        assert not (temporary / f"{PREFIX}old").exists() and elsewhere.is_dir()


def test_a_folder_is_locked_until_it_is_removed(temporary, monkeypatch):
    """A process that has made it and not locked it yet then finds it gone, and makes another."""
    (temporary / f"{PREFIX}new").mkdir()
    lock = temporary / f"{PREFIX}new" / ".lock"
    lock.write_text("")
    looked = []

    def in_use(_paths):
        with open(lock) as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        looked.append(True)
        return iter(())

    monkeypatch.setattr(temporary_folder, "_in_use", in_use)
    temporary_folder.remove_abandoned(PREFIX)
    assert looked and not lock.parent.exists()


def test_a_folder_that_goes_while_it_is_looked_at(temporary, monkeypatch):
    removed = temporary / f"{PREFIX}gone"
    monkeypatch.setattr(Path, "glob", lambda *_: iter([removed]))
    temporary_folder.remove_abandoned(PREFIX)
