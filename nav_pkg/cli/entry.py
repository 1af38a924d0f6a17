"""The end of every command: an error that the user can fix becomes one line on stderr and an exit code."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import signal
import sys
from typing import Callable, NoReturn, Optional, Sequence

from nav_pkg.config import launched
from nav_pkg.core import EXIT_CHECKPOINTED, DataError, NavError, UsageError
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


def _tell(line: str) -> None:
    """Print a line on stderr; ignore a failure, so that the exit code is kept."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def _silence_broken_output() -> None:
    """Redirect stdout and stderr to /dev/null if they cannot be written: Python's exit would fail on them."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _failed_file(error: OSError) -> int:
    """Print the line for an error of the file system or of the output; return its exit code.

    Raises:
        OSError: any other error.
    """
    if error.filename is not None:
        _tell(f"error: {os_error(error)}")
        return DataError.code
    if isinstance(error, BrokenPipeError) and _reader_is_gone():
        code = 128 + signal.SIGPIPE
    elif error.errno in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
    ):  # other files have names: most likely stdout
        reason = (error.strerror or str(error)).lower()
        _tell(f"error: cannot write to the standard output: {reason}; make room there")
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


def run(command: Callable[[Optional[Sequence[str]]], Optional[int]], argv=None) -> NoReturn:
    """Run a command's main and exit: 0 or its own code; 130 on Ctrl-C.

    A NavError becomes one line, and so does a file system error, whose line names the file. (A path that is
    too long or not a folder may fail wherever it is first used.)

    A command that calls `raise_on_stop_signals` exits with 85 on SIGTERM, and resumes when it is run again.
    If the reader of its output is gone (`| head`), a command ends with 141, as other programs do.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # as stderr does by default; file names may be any bytes
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        launched.check()
        try:
            code = command(argv)
        except SystemExit as end:  # from argparse's --help
            code = end.code
        sys.stdout.flush()
    except NavError as error:
        _tell(f"error: {error}")
        code = error.code
    except KeyboardInterrupt as stop:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process is already ending
        what = "stopped by SIGTERM" if isinstance(stop, Terminated) else "stopped"
        resumes = isinstance(stop, (Terminated, Interrupted))
        _tell(f"{what}; run the same command to resume" if resumes else what)
        code = EXIT_CHECKPOINTED if isinstance(stop, Terminated) else 128 + signal.SIGINT
    except OSError as error:
        code = _failed_file(error)
    except RuntimeError as error:
        if "home directory" in str(error):  # from pathlib: ~ without HOME, or ~NAME
            _tell("error: a path begins with ~ or ~NAME, but there is no such user, or no HOME; write it out")
            code = UsageError.code
        elif str(error).startswith("Symlink loop"):  # from Path.resolve on ELOOP, before Python 3.13
            _tell(f"error: {printable(str(error))}; check this path")
            code = DataError.code
        else:
            raise
    _silence_broken_output()
    sys.exit(code or 0)
