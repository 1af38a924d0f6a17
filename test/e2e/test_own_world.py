"""A session in a world of the user's own: flown from a plan file, and reachable from this machine alone."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from nav_pkg.sim import keeper
from nav_pkg.world import load_plan

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["-t", "own", "-ds", "--max_duration", "4", "--width", "64", "--height", "48", "--random_seed", "7"]
LOOPBACK = {
    "tcp": "0100007F",
    "udp": "0100007F",
    "tcp6": "0" * 24 + "01000000",
    "udp6": "0" * 24 + "01000000",
}


@pytest.fixture(scope="module")
def plan(shell, documented_plan):
    """A small plan, in a folder with a space in its name."""
    path = shell.folder / "my worlds" / "small.json"
    path.parent.mkdir()
    path.write_text(json.dumps(documented_plan))
    return path


def processes(folder):
    """The processes of the session that logs below a folder: number to program."""
    programs = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            around = Path("/proc", entry, "environ").read_bytes()
            name = Path("/proc", entry, "comm").read_text().strip()
        except OSError:
            continue
        if f"{keeper.MARK_VARIABLE}=".encode() in around and str(folder).encode() in around:
            programs[int(entry)] = name
    return programs


def listening(numbers):
    """Where processes can be reached, as `ss -ltnup` shows it: (program, protocol, address, port)."""
    inodes = {}
    for number, name in numbers.items():
        try:
            for fd in os.scandir(f"/proc/{number}/fd"):
                inodes[os.readlink(fd.path)] = name
        except OSError:
            continue
    sockets = set()
    for protocol in ("tcp", "udp", "tcp6", "udp6"):
        for line in Path("/proc/net", protocol).read_text().splitlines()[1:]:
            words = line.split()
            state, socket = words[3], f"socket:[{words[9]}]"
            if socket in inodes and state in ("0A", "07"):  # listening; a datagram socket without a peer
                address, _, port = words[1].partition(":")
                sockets.add((inodes[socket], protocol, address, int(port, 16)))
    return sockets


def authority_files(numbers):
    """The modes of the files by which X servers know their clients."""
    modes = set()
    for number in numbers:
        try:  # not while it starts or ends
            words = Path("/proc", str(number), "cmdline").read_text().split("\0")
            modes.add(Path(words[words.index("-auth") + 1]).stat().st_mode & 0o777)
        except (OSError, ValueError):
            continue
    return modes


def test_a_plan_file_is_flown_and_only_this_machine_can_reach_it(shell, plan):
    before = sorted((ROOT / "worlds").iterdir()) + sorted((ROOT / "models").iterdir())
    shell.environment["NAV_PKG_WORLDS"] = str(shell.folder / "cache")
    session = shell.start("run_script.py", "--world", plan, *FLAGS)
    sockets, programs, authorities = set(), set(), set()
    try:
        deadline = time.monotonic() + 400
        while session.poll() is None:
            assert time.monotonic() < deadline, shell.report()
            numbers = processes(shell.log)
            programs |= set(numbers.values())
            sockets |= listening(numbers)
            authorities |= authority_files(number for number, name in numbers.items() if name == "Xvfb")
            time.sleep(0.2)
    finally:
        if session.poll() is None:
            session.terminate()
            session.wait(60)
    assert session.returncode == 0, shell.report()
    assert {"gzserver", "Xvfb", "rosmaster", "rosout", "supervisor.py"} <= programs
    assert {"gzserver", "rosmaster", "rosout", "roslaunch"} <= {name for name, *_ in sockets}
    open_to_others = [
        socket for socket in sockets if socket[2] not in (LOOPBACK[socket[1]], "0" * 16 + "FFFF00000100007F")
    ]
    assert not open_to_others
    assert {10317, 10318} <= {port for _, protocol, _, port in sockets if protocol == "udp"}
    assert authorities == {0o600}

    facts = json.loads((shell.data / "own" / "00000_small" / "run.json").read_text())
    assert (facts["world"], facts["world_hash"]) == ("small", load_plan(plan).digest)
    assert (shell.log / "own" / "worlds" / "small.json").read_bytes() == plan.read_bytes()
    assert sorted((ROOT / "worlds").iterdir()) + sorted((ROOT / "models").iterdir()) == before
    assert [path.name.rpartition("-")[0] for path in (shell.folder / "cache").iterdir()] == ["small"]


def test_it_goes_on_only_in_the_same_world(shell, plan):
    plan_copy = shell.folder / "small.json"
    plan_copy.write_bytes(plan.read_bytes())
    assert "1 runs: " in shell.run(
        "run_script.py", "--world", plan_copy, *FLAGS
    )  # all runs are flown already
    plan_copy.write_text(json.dumps({**json.loads(plan.read_text()), "title": "Another"}))
    out = shell.run("run_script.py", "--world", plan_copy, *FLAGS, code=2)
    assert "holds a session with --world 'small (" in out and "give the same flags to continue it" in out
