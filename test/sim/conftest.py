"""A ROS master of the tests' own, and simulators on it. Skipped where ROS or Gazebo is not set up."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nav_pkg.children import Child
from nav_pkg.sim.description import ROOT, SimulatorOptions
from nav_pkg.sim.gazebo import Gazebo, free_port, master_answers

HERE = Path(__file__).parent
ROOM = str(HERE / "room.world")
sys.path.insert(0, str(HERE))

if importlib.util.find_spec("rospy") is None:  # offline use: only what needs no ROS is tested
    collect_ignore = ["test_drone.py", "test_lockstep.py", "test_services.py", "test_determinism.py"]


def _available() -> str:
    """Why Gazebo can't be started here; empty when it can."""
    try:
        import rospy  # noqa: F401
    except ImportError:
        return "rospy is not there (run make setup and source env.sh)"
    version = subprocess.run([str(ROOT / "setup" / "gzserver"), "--version"], capture_output=True)
    return "" if b"version 11" in version.stdout else "Gazebo is not there (run make setup)"


@pytest.fixture(scope="session")
def master():
    """The URI of a ROS master on a port of its own; the environment names it."""
    reason = _available()
    if reason:
        pytest.skip(reason)
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    os.environ["ROS_MASTER_URI"] = uri
    os.environ["ROS_IP"] = "127.0.0.1"
    core = Child(["rosmaster", "--core", "-p", str(port)], dict(os.environ))
    deadline = time.monotonic() + 240
    while not master_answers(uri):
        assert core.running and time.monotonic() < deadline, "\n".join(core.lines)
        time.sleep(0.1)
    yield uri
    core.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def simulator(master):
    """One simulator in the room, for all tests of a module."""
    with Gazebo(SimulatorOptions(world=ROOM, seed=1)) as gazebo:
        yield gazebo


@pytest.fixture(scope="module")
def client(simulator):
    """A client of the module's simulator with all sensors."""
    from ros_client import Client

    client = Client()
    yield client
    client.close()
