"""A publisher's connection: what a slow subscriber gets, and that nobody waits for it."""

from __future__ import annotations

import socket
import struct
import threading

import pytest

pytest.importorskip("rospy")

import rospy.exceptions  # noqa: E402
from rospy.impl.tcpros_base import TCPROSTransport, TCPROSTransportProtocol  # noqa: E402

from nav_pkg.ros.direct_connection import DirectConnection  # noqa: E402

QUEUE = 4
SIZE = 100_000


def message(number):
    """A message as rospy sends it: length, then the content."""
    return struct.pack("<II", SIZE, number) + bytes([number % 256]) * (SIZE - 4)


@pytest.fixture
def ends():
    """A connection, and the subscriber's end of it."""
    own, other = socket.socketpair()
    protocol = TCPROSTransportProtocol("/topic", None)
    transport = TCPROSTransport(protocol, "/topic")
    transport.set_socket(own, "/subscriber")
    connection = DirectConnection(transport, QUEUE)
    yield connection, other
    connection.close()
    other.close()


def received(other, last):
    """The numbers of all messages up to the last one; each is complete."""
    other.settimeout(240)
    stream = other.makefile("rb")
    numbers = []
    while last not in numbers:
        size, number = struct.unpack("<II", stream.read(8))
        assert size == SIZE and stream.read(SIZE - 4) == bytes([number % 256]) * (SIZE - 4)
        numbers.append(number)
    return numbers


def test_a_reader_that_keeps_up_gets_everything(ends):
    connection, other = ends
    for number in range(200):
        connection.write_data(message(number))
        assert received(other, number) == [number]


def test_a_reader_that_does_not_read_holds_nobody_up_and_loses_the_oldest(ends):
    connection, other = ends
    for number in range(100):
        connection.write_data(message(number))  # returns, though nobody reads
    numbers = received(other, 99)
    assert numbers == sorted(set(numbers)) and numbers[0] == 0
    assert numbers[-QUEUE:] == [96, 97, 98, 99] and len(numbers) < 50


def test_a_reader_that_is_gone_is_an_error_for_the_publisher(ends):
    connection, other = ends
    other.close()
    with pytest.raises((rospy.exceptions.TransportTerminated, OSError)):
        for number in range(100):
            connection.write_data(message(number))
            threading.Event().wait(0.01)
