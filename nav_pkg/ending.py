"""How a command ends: on a stop signal, on an error of the file system, or when its output is closed."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import sys
from typing import NoReturn

from nav_pkg.core import DataError
from nav_pkg.reading import printable


class Terminated(KeyboardInterrupt):
    """SIGTERM, e.g. when a cluster evicts the job. All progress is on disk; the same command resumes."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in a command that resumes when it is repeated."""


def raise_on_stop_signals() -> None:
    """From now on, raise Interrupted on SIGINT and Terminated on SIGTERM.

    SIGINT needs it too: a shell that starts this process in the background makes it ignore SIGINT.
    """

    def stop(number: int, _frame: object) -> NoReturn:
        raise Terminated if number == signal.SIGTERM else Interrupted

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def os_error(error: OSError) -> str:
    """The error line for a file system error."""
    name = printable(
        os.fsdecode(error.filename) if isinstance(error.filename, bytes) else str(error.filename)
    )
    name = name if len(name) <= 300 else f"{name[:300]}..."
    return f"{name}: {(error.strerror or str(error)).lower()}; check this path and its rights"


def print_error(line: str) -> None:
    """Print a line on stderr; ignore a failure, so that the exit code is kept."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def silence_broken_output() -> None:
    """Redirect stdout and stderr to /dev/null if they cannot be written: Python's exit would fail on them."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def failed_file(error: OSError) -> int:
    """Print the line for an error of the file system or of the output; return its exit code.

    Raises:
        OSError: any other error.
    """
    if error.filename is not None:
        print_error(f"error: {os_error(error)}")
        return DataError.code
    if isinstance(error, BrokenPipeError) and _reader_is_gone():
        code = 128 + signal.SIGPIPE
    elif error.errno in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
    ):  # other files have names: most likely stdout
        reason = (error.strerror or str(error)).lower()
        print_error(f"error: cannot write to the standard output: {reason}; make room there")
        code = DataError.code
    else:
        raise error
    return code


def _reader_is_gone() -> bool:
    """Whether stdout or stderr is a pipe without a reader."""
    poll = select.poll()
    for number in (1, 2):
        poll.register(number, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
