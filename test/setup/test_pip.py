"""What `pip install .` gives: the command nav_pkg, away from the checkout and without ROS."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nav_pkg.cluster.transfer import _code

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Runs the installed command from an empty folder; packages it needs are this environment's."""
    folder = tmp_path_factory.mktemp("pip")
    for name in _code(ROOT):  # a copy, since pip builds where the source lies
        if name.startswith(("nav_pkg/", "src/", "config/", "models/", "scripts/")) or "/" not in name:
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / "source" / name)
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "--ignore-installed", "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *flags, "--prefix", str(folder / "prefix"), "./source"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(folder / "source")
    (library,) = folder.glob("prefix/**/site-packages")
    (folder / "empty").mkdir()
    environment = {"HOME": str(folder), "PYTHONPATH": str(library), "PATH": str(folder / "empty")}

    def run(*words):
        program = next(folder.glob("prefix/**/bin/nav_pkg"))
        return subprocess.run(
            [str(program), *words], cwd=folder / "empty", env=environment, capture_output=True, text=True
        )

    run.home = folder
    return run


def test_its_commands(installed):
    done = installed("--help")
    assert done.returncode == 0
    for name in ("dataset", "train", "export", "report", "collect", "evaluate"):
        assert f"  {name} " in done.stdout
    assert "usage: nav_pkg train" in installed("train", "--help").stdout
    assert installed("main", "--help").stdout.startswith("usage: nav_pkg main")  # as the script is called
    done = installed("trian")
    assert done.returncode == 2 and done.stderr.endswith("did you mean 'train'?\n")


def test_offline_work(installed):
    done = installed("dataset", "info")
    assert done.returncode in (0, 3) and "Traceback" not in done.stderr
    done = installed("train", "-t", "x", "--dataset", "missing")
    assert done.returncode == 3 and done.stderr.count("\n") == 1 and "--data_root" in done.stderr
    done = installed("world", "esatv3")  # its plan is a part of the library
    assert done.returncode == 0, done.stderr
    assert (installed.home / "prefix/share/nav_pkg/worlds/esatv3.world").is_file()


def test_a_flight_without_ros(installed):
    flight = (
        "--simulator",
        "embedded",
        "--width",
        "64",
        "--height",
        "48",
        "--max_duration",
        "2",
        "--jobs",
        "2",
    )
    done = installed("collect", "-t", "flown", "-n", "2", *flight)
    assert done.returncode == 0, done.stderr
    assert "2 runs: 2 timeout" in done.stdout
    done = installed("dataset", "verify", "flown")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["collect", "evaluate"])
def test_flying_says_what_it_needs(installed, name):
    done = installed(name, "-t", "x")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "roslaunch" in done.stderr and "make setup" in done.stderr


def test_the_cpu_builds_are_those_of_the_pins():
    lines = (ROOT / "setup/torch-cpu.txt").read_text()
    for name in ("requirements.txt", "requirements-py3.8.txt"):
        pins = (ROOT / "setup" / name).read_text().splitlines()
        (pin,) = (line for line in pins if line.startswith("torch=="))
        assert f"\n{pin}+cpu;" in lines
