"""Starting, failing and ending: one clear line each, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from conftest import ROOM

from nav_pkg.children import Child
from nav_pkg.core import SimulatorError
from nav_pkg.sim.description import ROOT, SimulatorOptions
from nav_pkg.sim.gazebo import Gazebo, free_port, master_answers

SCRIPT = [sys.executable, str(ROOT / "scripts" / "simulator.py"), "--world", ROOM]
LIMIT = 240.0
"""Wall seconds that a start or an end may take on a busy machine."""


class Running:
    """scripts/simulator.py as a child, with what it prints."""

    def __init__(self, *flags, environment=None):
        self.child = Child([*SCRIPT, *flags], dict(environment or os.environ))

    def until_ready(self, limit=LIMIT):
        deadline = time.monotonic() + limit
        while not any("[nav_pkg] ready" in line for line in self.child.lines):
            assert self.child.running and time.monotonic() < deadline, "\n".join(self.child.lines)
            time.sleep(0.05)
        return self

    def end(self, limit=LIMIT):
        """Exit code and last line."""
        self.child.process.wait(limit)
        self.child.drain()
        return self.child.process.returncode, (self.child.lines or [""])[-1]

    def descendants(self):
        """The process numbers of gzserver and Xvfb of this simulator."""
        children = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    parent = int(stat.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if parent == self.child.process.pid:
                children.append(int(entry))
        return children


def gone(numbers, limit=LIMIT):
    """Whether all these processes end (a zombie has ended)."""
    deadline = time.monotonic() + limit

    def alive(number):
        try:
            with open(f"/proc/{number}/stat") as stat:
                return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False

    while any(alive(number) for number in numbers):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def running(master):
    """Start scripts/simulator.py; ended by the fixture if need be."""
    started = []

    def start(*flags, **more):
        started.append(Running(*flags, **more))
        return started[-1]

    yield start
    for simulator in started:
        simulator.child.stop(signal.SIGINT, 20)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_0_and_nothing_is_left(running, number):
    simulator = running("__name:=gazebo", "__log:=/dev/null").until_ready()
    children = simulator.descendants()
    assert len(children) == 2
    simulator.child.process.send_signal(number)
    assert simulator.end()[0] == 0
    assert gone(children)


def test_a_signal_while_starting_ends_it_too(running):
    simulator = running()
    deadline = time.monotonic() + LIMIT
    while len(simulator.descendants()) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    children = simulator.descendants()
    simulator.child.process.send_signal(signal.SIGINT)
    assert simulator.end()[0] == 0
    assert gone(children)


def test_killed_it_leaves_nothing(running):
    simulator = running().until_ready()
    children = simulator.descendants()
    simulator.child.process.kill()
    assert gone(children)


def test_gzserver_killed_is_exit_code_4_and_one_line(running):
    simulator = running().until_ready()
    (server,) = [n for n in simulator.descendants() if "gzserver" in os.readlink(f"/proc/{n}/exe")]
    os.kill(server, signal.SIGKILL)
    code, line = simulator.end()
    assert code == 4 and re.match(r"error: gzserver ended \(signal SIGKILL\)", line)


def test_a_held_gzserver_obeys_ctrl_c(running):
    simulator = running().until_ready()
    (server,) = [n for n in simulator.descendants() if "gzserver" in os.readlink(f"/proc/{n}/exe")]
    os.kill(server, signal.SIGINT)
    assert gone([server])
    assert simulator.end()[0] == 4  # it was not asked to: for the watcher that is a failure


def test_no_master(running):
    environment = dict(os.environ, ROS_MASTER_URI=f"http://127.0.0.1:{free_port()}")
    code, line = running(environment=environment).end()
    assert code == 4 and "no ROS master at" in line


def test_the_master_goes_away(running):
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    core = Child(["rosmaster", "--core", "-p", str(port)], dict(os.environ, ROS_MASTER_URI=uri))
    try:
        deadline = time.monotonic() + LIMIT
        while not master_answers(uri) and time.monotonic() < deadline:
            time.sleep(0.1)
        simulator = running(environment=dict(os.environ, ROS_MASTER_URI=uri)).until_ready()
        children = simulator.descendants()
        core.stop(signal.SIGKILL)
        code, line = simulator.end()
        assert code == 4 and f"the ROS master at {uri} is gone" in line
        assert gone(children)
    finally:
        core.stop(signal.SIGKILL)


def test_a_port_in_use(running):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, line = running("--gazebo_port", str(port)).end()
    assert code == 4 and f"port {port} is in use" in line


def test_no_x_server_program(running, tmp_path):
    for name in ("bash", "dirname", "readlink"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    environment = {**os.environ, "PATH": str(tmp_path)}
    environment.pop("DISPLAY", None)
    code, line = running(environment=environment).end()
    assert code == 2 and "Xvfb is not on the PATH" in line


def test_a_launcher_that_complains(master, tmp_path):
    launcher = tmp_path / "gzserver"
    launcher.write_text("#!/bin/sh\necho \"setup: no Gazebo 11 here: run 'make setup'\" >&2\nexit 2\n")
    launcher.chmod(0o755)
    with pytest.raises(SimulatorError, match="no Gazebo 11 here: run 'make setup'"):
        Gazebo(SimulatorOptions(world=ROOM), launcher=launcher)


def test_the_plugin_does_not_load(master, tmp_path, monkeypatch):
    for module in ("description", "gazebo"):
        monkeypatch.setattr(f"nav_pkg.sim.{module}.PLUGIN", "libno_nav_pkg_gazebo.so")
    with pytest.raises(SimulatorError, match="the plugin did not load: .*run 'make setup'"):
        Gazebo(SimulatorOptions(world=ROOM))


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--wold", "x"], "did you mean '--world'"),
        (["--real_time"], "--free_running"),
        (["--width", "1"], "--width"),
    ],
)
def test_wrong_use_is_exit_code_2(flags, words):
    done = subprocess.run([*SCRIPT, *flags], capture_output=True, text=True)
    assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1


def test_two_side_by_side(running):
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    core = Child(["rosmaster", "--core", "-p", str(port)], dict(os.environ, ROS_MASTER_URI=uri))
    try:
        deadline = time.monotonic() + LIMIT
        while not master_answers(uri) and time.monotonic() < deadline:
            time.sleep(0.1)
        first = running()
        second = running(environment=dict(os.environ, ROS_MASTER_URI=uri))
        first.until_ready()
        second.until_ready()
    finally:
        core.stop(signal.SIGINT)
