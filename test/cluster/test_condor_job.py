"""The executable of jobs on a host without nav_pkg: what HTCondor brought is set up once, and then shared."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETUP = """#!/bin/bash
[ ! -e "$HOME/refuse" ] || { echo "setup: ask an administrator" >&2; exit 2; }
echo "$CONDOR_CONFIG" >>"$HOME/setups"
"""
ENV = 'PYTHONPATH=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); export PYTHONPATH\n'
WRAPPER = 'import os, sys\nprint(os.environ["HOME"], os.environ["PYTHONPATH"], *sys.argv[1:])\n'

pytestmark = pytest.mark.skipif(
    Path("/opt/nav_pkg/env.sh").exists(), reason="this host has an image's nav_pkg"
)


class Host:
    """A host without nav_pkg: a home folder, and scratch folders as HTCondor makes them."""

    def __init__(self, folder):
        self.folder, self.home = folder, folder / "home"
        self.home.mkdir()
        self.jobs = 0

    def start(self, note="", **environment):
        """Start a job with code that differs by a note."""
        self.jobs += 1
        scratch = self.folder / f"scratch{self.jobs}"
        code = scratch / "code"
        for name, text in (
            ("env.sh", ENV), ("setup/setup.sh", SETUP), ("nav_pkg/cluster/job.py", WRAPPER), ("note", note),
        ):  # fmt: skip
            (code / name).parent.mkdir(parents=True, exist_ok=True)
            (code / name).write_text(text)
            os.utime(code / name, (1e9, 1e9))
        (code / "setup/setup.sh").chmod(0o755)
        with tarfile.open(scratch / "nav_pkg.tar.gz", "w:gz") as tar:
            for name in ("env.sh", "setup/setup.sh", "nav_pkg/cluster/job.py", "note"):
                tar.add(code / name, name)
        shutil.rmtree(code)
        shutil.copy(ROOT / "setup/condor_job", scratch / "condor_exec.exe")
        path = {
            name: value for name, value in os.environ.items() if not name.startswith(("NAV_PKG_", "CONDOR_"))
        }
        return subprocess.Popen(
            [str(scratch / "condor_exec.exe"), "r0.json"],
            cwd=scratch,
            env={**path, "HOME": str(self.home), "_CONDOR_SCRATCH_DIR": str(scratch), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, note="", **environment):
        process = self.start(note, **environment)
        out, errors = process.communicate(timeout=300)
        return process.returncode, out, errors

    def code(self):
        return sorted((self.home / ".local/share/nav_pkg/brought").iterdir())


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_jobs_with_the_same_code_share_it(host):
    code, out, errors = host.run()
    assert code == 0, errors
    (folder,) = host.code()
    assert out == f"{host.home} {folder} r0.json\n"
    assert (host.home / "setups").read_text() == "none\n"  # no HTCondor is made for a job
    assert host.run()[1] == out and host.code() == [folder]
    assert host.run("mended")[0] == 0 and len(host.code()) == 2


def test_jobs_that_begin_together_end_well(host):
    started = [host.start() for _ in range(4)]
    for process in started:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert len(host.code()) == 1


def test_code_that_no_job_asks_for_is_removed(host):
    host.run()
    (old,) = host.code()
    os.utime(old, (1e9, 1e9))
    host.run("mended")
    assert old not in host.code() and len(host.code()) == 1


def test_a_host_that_cannot_be_set_up_is_left(host):
    (host.home / "refuse").write_text("")
    code, _, errors = host.run()
    first, second = errors.splitlines()
    assert code == 4 and first == "setup: ask an administrator"
    assert second.startswith("error: ") and "--blacklist" in second and "--image" in second


def test_a_home_folder_that_is_not_there(host, tmp_path):
    node = tmp_path / "node"
    node.mkdir()
    code, out, errors = host.run(HOME="/home/of/nobody", NAV_PKG_NODE=str(node))
    own = node / f"nav_pkg-{os.getuid()}"
    assert code == 0, errors
    assert out.startswith(f"{own}/home {own}/home/.local/share/nav_pkg/brought/")
    assert own.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_someone_elses_is_not_taken(host, tmp_path):
    node = tmp_path / "node"
    node.mkdir()
    (node / f"nav_pkg-{os.getuid()}").symlink_to(tmp_path)
    code, _, errors = host.run(HOME="/home/of/nobody", NAV_PKG_NODE=str(node))
    assert code == 4 and errors.startswith("error: ") and "/home/of/nobody" in errors
    assert len(errors.splitlines()) == 1


def test_a_damaged_tar_goes_elsewhere(host, tmp_path):
    scratch = tmp_path / "damaged"
    scratch.mkdir()
    (scratch / "nav_pkg.tar.gz").write_bytes(b"no tar")
    shutil.copy(ROOT / "setup/condor_job", scratch / "condor_exec.exe")
    done = subprocess.run(
        [str(scratch / "condor_exec.exe"), "r0.json"],
        env={"PATH": os.environ["PATH"], "HOME": str(host.home), "_CONDOR_SCRATCH_DIR": str(scratch)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 75 and "can not be unpacked" in done.stderr and host.code() == []
