"""Common functions of all nodes: parameters with checks, waiting with a limit, a clean exit."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import sys
import time
import xmlrpc.client
from typing import Callable, Iterable, NoReturn, Tuple, Type, TypeVar

import rosgraph
import rospy

from nav_pkg.config import launched
from nav_pkg.core import NavError, SimulatorError, UsageError, nearest_name

Table = TypeVar("Table")

IMAGE_BUFFER = 2**24
"""Read buffer of a subscriber in bytes; rospy's default of 64 KiB delays large images."""

_TYPES = {"bool": bool, "int": int, "float": float, "str": str}


def start(name: str, limit: float = 30.0) -> None:
    """Initialise the node; the master must answer within the limit (wall seconds).

    Raises:
        SimulatorError: the master does not answer.
    """
    deadline = time.monotonic() + limit
    while not rosgraph.is_master_online():
        if time.monotonic() > deadline:
            uri = os.environ.get("ROS_MASTER_URI", "(unset)")
            raise SimulatorError(
                f"{name}: waited {limit:g} s for the ROS master at {uri}; is roscore running?"
            )
        time.sleep(0.1)
    rospy.init_node(name)
    # rospy logs a warning for every publisher that leaves; that is normal at the end of a run.
    logging.getLogger("rosout").setLevel(logging.INFO)


def parameters(table: Type[Table]) -> Table:
    """Read the node's private parameters into a dataclass, whose defaults are those of the parameters.

    Raises:
        UsageError: an unknown parameter (with the nearest known name) or a value of another type.
    """
    given = rospy.get_param("~", {})
    fields = {field.name: field for field in dataclasses.fields(table)}
    values = {}
    for key, value in given.items():
        where = rospy.resolve_name("~" + key)
        if key not in fields:
            raise UsageError(f"unknown parameter {where}{nearest_name(key, list(fields))}")
        kind = fields[key].type if isinstance(fields[key].type, str) else fields[key].type.__name__
        try:
            values[key] = _convert(value, kind)
        except (TypeError, ValueError):
            raise UsageError(f"parameter {where} is {value!r}; it must be of type {kind}") from None
    return table(**values)


def _convert(value, kind: str):
    if kind == "bool":
        if isinstance(value, bool) or value in (0, 1):
            return bool(value)
        raise ValueError
    if isinstance(value, bool) and kind != "str":
        raise ValueError
    if kind == "int" and float(value) != int(value):
        raise ValueError
    return _TYPES[kind](value)


def wait_until(awaited: str, ready: Callable[[], bool], limit: float) -> None:
    """Wait (wall time) until `ready` returns true.

    Raises:
        SimulatorError: not within the limit, or ROS shut down meanwhile; the text names `awaited`.
    """
    deadline = time.monotonic() + limit
    while not ready():
        if rospy.is_shutdown():
            raise SimulatorError(f"ROS shut down while waiting for {awaited}")
        if time.monotonic() > deadline:
            raise SimulatorError(f"waited {limit:g} s for {awaited}")
        time.sleep(0.02)


def wait_for_connections(links: Iterable[Tuple[str, str]], limit: float) -> None:
    """Wait until nodes are connected to topics, so that they get even the first message.

    Args:
        links: pairs of topic and name of the subscribing node. The node's registration with the master is
            not enough: the publisher must have the connection.
        limit: wall seconds.

    Raises:
        SimulatorError: not within the limit; the text names the missing links.
    """
    master = rosgraph.Master(rospy.get_name())
    missing = sorted(set(links))

    def ready() -> bool:
        try:
            publishers = dict(master.getSystemState()[0])
            nodes = {node for topic, _ in missing for node in publishers.get(topic, [])}
            present = set()
            for node in nodes:
                with xmlrpc.client.ServerProxy(master.lookupNode(node)) as api:
                    present |= {(link[4], link[1]) for link in api.getBusInfo(rospy.get_name())[2]}
        except (OSError, xmlrpc.client.Error, rosgraph.MasterException):
            return False  # a node is still starting
        missing[:] = [link for link in missing if link not in present]
        return not missing

    try:
        wait_until("the topics", ready, limit)
    except SimulatorError as error:
        lacking = ", ".join(f"{node} on {topic}" for topic, node in missing)
        raise SimulatorError(f"{error}: not connected: {lacking}") from None


def connect(service: str, kind: type, limit: float) -> rospy.ServiceProxy:
    """Connect persistently to a service, which must be available within the limit (wall seconds).

    Raises:
        SimulatorError: the service is not available within the limit.
    """
    try:
        rospy.wait_for_service(service, timeout=limit)
    except rospy.ROSException:
        raise SimulatorError(f"waited {limit:g} s for the service {service}") from None
    return rospy.ServiceProxy(service, kind, persistent=True)


def call(proxy: rospy.ServiceProxy, *request):
    """Call a service whose reply has `success` and `message` (or gazebo_msgs' `status_message`).

    Raises:
        SimulatorError: the connection broke, or the reply reports a failure.
    """
    try:
        reply = proxy(*request)
    except (rospy.ServiceException, rospy.ROSException, OSError) as error:
        raise SimulatorError(f"service {proxy.resolved_name} failed: {error}") from None
    if not reply.success:
        why = reply.message if hasattr(reply, "message") else reply.status_message
        raise SimulatorError(f"service {proxy.resolved_name}: {why}")
    return reply


def stamp_of(nanoseconds: int) -> rospy.Time:
    """Convert nanoseconds to a ROS time, exactly."""
    return rospy.Time(*divmod(nanoseconds, 1_000_000_000))


def run(node: Callable[[], None]) -> NoReturn:
    """Run a node's main; its errors become one line and an exit code."""
    code = 0
    if {"-h", "--help"} & {*sys.argv[1:]}:
        print((sys.modules[node.__module__].__doc__ or "").strip(), end="\n\n")
        print("This is a ROS node, which roslaunch starts. docs/reference/ros.md lists its parameters.")
        sys.exit(0)
    try:
        launched.check()
        node()
    except rospy.ROSInterruptException:
        pass
    except NavError as error:
        code = error.code
        if rospy.is_shutdown() and isinstance(error, SimulatorError):
            code = 0  # shut down from outside while waiting: not this node's failure
        else:
            print(f"error: {error}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    rospy.signal_shutdown("done")
    sys.stdout.flush()
    # rospy threads that hang in a dead connection must not keep the process alive.
    os._exit(code)
