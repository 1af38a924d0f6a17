"""What the preloaded library does to sockets, and what --listen takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from nav_pkg.cli import simulator
from nav_pkg.core import UsageError
from nav_pkg.sim import network

SOCKETS = """
import json, socket, sys
made = {}
def bound(name, family, kind, address=None, only=None):
    one = socket.socket(family, kind)
    if only is not None:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
    if address is not None:
        one.bind(address)
    if kind == socket.SOCK_STREAM:
        one.listen()
    elif address is None:
        one.sendto(b"x", ("127.0.0.1", 9))
    made[name] = one.getsockname()[0]
v4, v6, tcp, udp = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM, socket.SOCK_DGRAM
bound("any", v4, tcp, ("0.0.0.0", 0))
bound("none", v4, tcp)
bound("own", v4, tcp, ("127.0.0.3", 0))
bound("datagram", v4, udp, ("0.0.0.0", 0))
bound("sent", v4, udp)
if socket.has_ipv6:
    try:
        bound("six", v6, tcp, ("::", 0), 1)
        bound("both", v6, tcp, ("::", 0), 0)
    except OSError:
        pass
print(json.dumps(made))
"""


@pytest.fixture
def around():
    """An environment with the library; skipped where it is not built."""
    try:
        network.library_folder(os.environ)
    except UsageError as error:
        pytest.skip(str(error))
    return network.listen_environment


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
def test_what_would_listen_everywhere_listens_on_one_address(around, address):
    environment = around({**os.environ, "ROS_HOSTNAME": "elsewhere"}, address)
    done = subprocess.run([sys.executable, "-c", SOCKETS], env=environment, capture_output=True, text=True)
    addresses = json.loads(done.stdout)
    assert not done.stderr
    expected = {name: address for name in ("any", "none", "datagram", "sent")}
    assert addresses == {**addresses, **expected, "own": "127.0.0.3"}
    assert (
        addresses.get("six", "::1") == "::1"
        and addresses.get("both", f"::ffff:{address}") == f"::ffff:{address}"
    )
    assert environment["ROS_IP"] == address and "ROS_HOSTNAME" not in environment


def test_it_is_loaded_once_and_beside_others(around):
    twice = around(around({"LD_PRELOAD": "libother.so", "LD_LIBRARY_PATH": "/a:/b"}))
    assert twice["LD_PRELOAD"].split() == [network.LIBRARY, "libother.so"]
    assert twice["LD_LIBRARY_PATH"].split(":")[1:] == ["/a", "/b"]


def test_a_library_that_is_not_built_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(network, "ROOT", tmp_path)
    with pytest.raises(UsageError, match="is not built: run 'make setup'"):
        network.listen_environment({})


@pytest.mark.parametrize("address", ["0.0.0.0", "203.0.113.7", "224.0.0.1", "robot", "::1", ""])
def test_addresses_that_are_not_this_machines(address):
    with pytest.raises(UsageError, match="--listen .*of this machine"):
        simulator.main(["--listen", address])


def test_a_master_elsewhere_needs_an_address(monkeypatch):
    network.check_master("http://localhost:11311", network.LOOPBACK)
    network.check_master("http://127.0.0.1:11311/", network.LOOPBACK)
    network.check_master("http://203.0.113.7:11311", "10.0.0.1")
    with pytest.raises(UsageError, match=r"http://203\.0\.113\.7:11311 is on another machine.*give --listen"):
        network.check_master("http://203.0.113.7:11311", network.LOOPBACK)
