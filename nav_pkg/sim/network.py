"""The address that all processes of a session listen on: loopback by default.

ROS and Gazebo have no authentication. Whoever reaches their ports can steer the robot, read the recorded
data and, through ROS parameters and services, do more. GAZEBO_IP, IGN_IP and ROS_IP change only the address
that processes advertise. A small preloaded library (src/listen) sets the address that they bind to.
"""

from __future__ import annotations

import ipaddress
import socket
import urllib.parse
from pathlib import Path
from typing import Dict, Mapping

from nav_pkg.config.session import LOOPBACK
from nav_pkg.core import ROOT, UsageError

LIBRARY = "libnav_pkg_listen.so"
ADDRESS_VARIABLE = "NAV_PKG_LISTEN"
"""Environment variable that passes the address to the library."""


def check_address(address: str) -> str:
    """Check the address of `--listen`, and return it.

    Raises:
        UsageError: it is no IPv4 address of this machine.
    """
    try:
        plain = ipaddress.IPv4Address(address)
    except ValueError:
        raise UsageError(
            f"--listen {address!r}: has to be an IPv4 address of this machine, such as 192.168.1.5"
        ) from None
    if plain.is_unspecified or plain.is_multicast or not is_local_address(address):
        raise UsageError(
            f"--listen {address}: has to be an address of this machine by which the other one reaches it "
            "(hostname -I lists them)"
        )
    return str(plain)


def is_local_address(address: str) -> bool:
    """Whether an IPv4 address is this machine's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def check_master(uri: str, address: str) -> None:
    """Refuse a simulator that the ROS master's machine cannot reach.

    Raises:
        UsageError: the master is on another machine, and the simulator would listen only on loopback.
    """
    host = urllib.parse.urlsplit(uri).hostname or "localhost"
    if not ipaddress.IPv4Address(address).is_loopback:
        return
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(host, None, socket.AF_INET)}
    except (OSError, UnicodeError):
        return  # the caller reports an unreachable master
    if addresses and not any(is_local_address(str(each)) for each in addresses):
        raise UsageError(
            f"the ROS master {uri} is on another machine, which does not reach {address}: give --listen and "
            "this machine's address"
        )


def library_folder(environment: Mapping[str, str]) -> Path:
    """Find the folder of the preloaded library.

    Raises:
        UsageError: the library is not built.
    """
    # First the current catkin workspace (setup/gzserver finds the plugin likewise), then the checkout's own.
    prefixes = environment.get("CMAKE_PREFIX_PATH", "").split(":")
    prefixes += [str(ROOT / "build" / ".ws" / "devel"), str(ROOT / "../..")]  # ROOT: PREFIX/share/nav_pkg
    for prefix in filter(None, prefixes):
        if (Path(prefix) / "lib" / LIBRARY).is_file():
            return Path(prefix) / "lib"
    raise UsageError(f"{LIBRARY} is not built: run 'make setup' in {ROOT} (or catkin_make in your workspace)")


def listen_environment(environment: Mapping[str, str], address: str = LOOPBACK) -> Dict[str, str]:
    """Make an environment whose processes bind to one address of this machine and advertise it.

    Args:
        environment: the base environment.
        address: IPv4.

    Raises:
        UsageError: the library is not built.
    """
    variables = dict(environment)
    variables.pop("ROS_HOSTNAME", None)  # it would override ROS_IP
    variables["ROS_IP"] = variables["GAZEBO_IP"] = variables["IGN_IP"] = variables[ADDRESS_VARIABLE] = address
    # By name: a path in LD_PRELOAD must not contain a space.
    folders = [str(library_folder(environment)), *variables.get("LD_LIBRARY_PATH", "").split(":")]
    variables["LD_LIBRARY_PATH"] = ":".join(dict.fromkeys(filter(None, folders)))
    loaded = [word for word in variables.get("LD_PRELOAD", "").replace(":", " ").split() if word != LIBRARY]
    variables["LD_PRELOAD"] = " ".join([LIBRARY, *loaded])
    return variables
