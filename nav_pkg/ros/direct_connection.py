"""Publishing without a thread switch for each message and subscriber.

rospy passes every message of a publisher with a queue to a thread of the connection. With 15 connections that
took longer than drawing the images. `DirectConnection` sends in the publishing thread what the socket takes
at once, and leaves to the connection's thread only what a slow subscriber does not take.
"""

from __future__ import annotations

import socket
from typing import Any, List

import rospy.topics
from rospy.impl.tcpros_pubsub import QueuedConnection


class DirectConnection(QueuedConnection):
    """A publisher's connection to one subscriber; see rospy's QueuedConnection.

    Args:
        connection: the connection.
        queue_size: messages that are held for a slow subscriber; then the oldest is dropped.
    """

    def __init__(self, connection: Any, queue_size: int):
        self._rest = b""  # of a message of which a part is sent: must not be dropped
        self._sending = False
        super().__init__(connection, queue_size)

    def write_data(self, data: bytes) -> bool:
        """Send a message, or hold it for the connection's thread.

        Raises:
            Exception: of an earlier message in the connection's thread; the subscriber is gone.
        """
        with self._lock:
            if self._error:
                error, self._error = self._error, None
                raise error
            if self._sending or self._rest or self._queue:
                if 0 < self._queue_size <= len(self._queue):
                    del self._queue[0]
                self._queue.append(data)
            else:
                self._rest = data[self._send(data) :]
            if self._rest or self._queue:
                self._cond_data_available.notify()
        return True

    def _send(self, data: bytes) -> int:
        """Send what the socket takes without a wait; return the number of bytes."""
        connection = self._connection
        try:
            sent = connection.socket.send(data, socket.MSG_DONTWAIT)
        except (OSError, AttributeError):  # full; or closed, which the connection's thread finds out, too
            return 0
        connection.stat_bytes += sent
        connection.stat_num_msg += 1
        return sent

    def _run(self) -> None:
        while not self._connection.done:
            with self._lock:
                self._sending = False
                while not (self._rest or self._queue or self._connection.done):
                    self._cond_data_available.wait()
                pending: List[bytes] = [self._rest, *self._queue]
                self._rest, self._queue, self._sending = b"", [], True
            for data in filter(None, pending):
                try:
                    self._connection.write_data(data)
                except Exception as error:  # the publisher closes the connection at its next message
                    with self._lock:
                        self._error = error
                    return


def use() -> None:
    """Let all publishers of this process that have a queue use it from now on."""
    rospy.topics.QueuedConnection = DirectConnection
