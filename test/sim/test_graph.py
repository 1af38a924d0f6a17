"""Ports, marks and the reading of roslaunch's last words."""

import ctypes
import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from nav_pkg import children
from nav_pkg.cli import attach
from nav_pkg.core import DataError
from nav_pkg.sim import graph, keeper


def test_ports_are_not_given_twice(capsys):
    first, second = graph.Port(), graph.Port()
    try:
        assert first.number != second.number
        first.describe({"master": f"http://127.0.0.1:{first.number}", "folder": "/log/a"})
        assert {"master": f"http://127.0.0.1:{first.number}", "folder": "/log/a"} in graph.sessions()
        assert attach.main(["--list"]) == 0
        assert f"http://127.0.0.1:{first.number}  /log/a\n" in capsys.readouterr().out
    finally:
        first.release()
        second.release()
    assert "/log/a" not in [session["folder"] for session in graph.sessions()]


def test_that_nothing_runs_is_said(monkeypatch, capsys):
    monkeypatch.setattr(attach, "sessions", lambda: [])
    assert attach.main(["--list"]) == 0
    assert capsys.readouterr().out == "no session is running here\n"


def test_jobs_with_temporary_folders_of_their_own_do_not_meet(tmp_path, monkeypatch):
    ports = []
    try:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            monkeypatch.setattr(graph.tempfile, "tempdir", str(tmp_path / name))
            ports.append(graph.Port())
        assert ports[0].number != ports[1].number
    finally:
        for port in ports:
            port.release()


@pytest.fixture
def ports(tmp_path, monkeypatch):
    """The folder of ports below a temporary folder that all may write; it does not exist yet."""
    monkeypatch.setattr(graph.tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"nav_pkg-ports-{os.getuid()}"


@pytest.mark.parametrize("kind", ["link", "file", "foreign"])
def test_a_folder_of_ports_that_another_made_is_refused(ports, tmp_path, monkeypatch, kind):
    (tmp_path / "other").mkdir()
    if kind == "link":
        ports.symlink_to(tmp_path / "other")
    elif kind == "file":
        ports.write_text("")
    else:
        other = os.getuid() + 1
        (tmp_path / f"nav_pkg-ports-{other}").mkdir()
        monkeypatch.setattr(os, "getuid", lambda: other)
    for use in (graph.Port, graph.sessions):
        with pytest.raises(DataError, match="is not a folder of this user's own; remove it, or set TMPDIR"):
            use()
    assert not list((tmp_path / "other").iterdir())


def test_a_link_among_the_ports_is_not_followed(ports, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text('{"master": "http://elsewhere", "folder": "/log/z"}')
    ports.mkdir()
    ports.chmod(0o777)
    for number in range(graph.FIRST_PORT, graph.FIRST_PORT + 3):
        (ports / str(number)).symlink_to(victim)
    port = graph.Port()
    try:
        port.describe({"master": f"http://127.0.0.1:{port.number}", "folder": "/log/a"})
        assert [session["folder"] for session in graph.sessions()] == ["/log/a"]
    finally:
        port.release()
    assert port.number >= graph.FIRST_PORT + 3 and "/log/z" in victim.read_text()
    assert ports.stat().st_mode & 0o777 == 0o700


def test_a_temporary_folder_that_takes_no_file_is_told_at_once(ports, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(graph, "open_private", full)
    with pytest.raises(DataError, match="No space left on device; set TMPDIR"):
        graph.Port()


def test_marked_processes_are_found_with_their_children():
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(900)'])"
    environment = dict(os.environ, **{keeper.MARK_VARIABLE: "a-test"})
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment)
    try:
        deadline = time.monotonic() + 240
        while len(keeper.marked("a-test")) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        numbers = keeper.marked("a-test")
        assert parent.pid in numbers
        assert len(numbers) == 2
        assert keeper.marked("another") == []
    finally:
        for number in keeper.marked("a-test"):
            os.kill(number, 9)
        parent.wait(timeout=240)


def test_a_child_loads_no_library_between_fork_and_exec(monkeypatch):
    """It could not, if another thread loaded one at that moment: the loader would end it with 127."""
    monkeypatch.setattr(ctypes, "CDLL", lambda *_: os._exit(127))
    child = subprocess.Popen(["sleep", "0"], preexec_fn=children.dying_with_parent(signal.SIGINT))
    assert child.wait(timeout=240) == 0


SESSION = """
import signal, subprocess, sys, time
from nav_pkg.children import dying_with_parent
keep = "import sys; from nav_pkg.sim import keeper as k; k.STOP_LIMIT = 0.5; k.keep('k-test', sys.argv[1:])"
subprocess.Popen([sys.executable, "-c", keep, *sys.argv[1:]], preexec_fn=dying_with_parent(signal.SIGINT))
time.sleep(900)
"""

LAUNCHER = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, {})
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(900)"], start_new_session=True)
time.sleep(900)
"""


@pytest.mark.parametrize("heeds", ["lambda *_: sys.exit(1)", "signal.SIG_IGN"])
def test_nothing_of_a_graph_outlives_a_killed_session(heeds):
    command = [sys.executable, "-c", SESSION, sys.executable, "-c", LAUNCHER.format(heeds)]
    session = subprocess.Popen(command)

    def until(count):
        deadline = time.monotonic() + 240
        while len(keeper.marked("k-test")) != count:
            assert time.monotonic() < deadline, keeper.marked("k-test")
            time.sleep(0.05)

    try:
        until(2)
        session.send_signal(signal.SIGKILL)
        until(0)
    finally:
        session.kill()
        session.wait(timeout=240)
        keeper.kill_marked("k-test")


REQUIRED = "=" * 80 + "REQUIRED process [{}] has died!\n"


@pytest.mark.parametrize(
    ("output", "node", "code", "line"),
    [
        (
            "error: unknown robot 'drome'\n\x1b[31m"
            + REQUIRED.format("recorder-4")
            + "process has died [pid 8120, exit code 2, cmd /x/recorder.py __name:=recorder].\n",
            "recorder",
            2,
            "unknown robot 'drome'",
        ),
        (
            REQUIRED.format("gazebo-2") + "process has died [pid 7, exit code -9, cmd /x/simulator.py].\n"
            "error: waited 30 s for /scan with stamp 1.000 s\n",
            "gazebo",
            -9,
            "the node gazebo died (signal 9)",
        ),
        (
            "[gazebo-2] process has died [pid 5, exit code 4, cmd x].\n",
            "gazebo",
            4,
            "the node gazebo died (exit code 4)",
        ),
        (REQUIRED.format("supervisor-5") + "process has finished cleanly\n", "supervisor", 0, "exit code 0"),
        ("\x1b[31mRLException: cannot locate x\n", "", None, "cannot locate x"),
        ("", "", None, "without a message"),
    ],
)
def test_failure(output, node, code, line):
    failure = graph.Failure(output)
    assert (failure.node, failure.code) == (node, code)
    assert line in failure.line
