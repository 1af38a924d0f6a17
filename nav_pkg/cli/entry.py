"""The end of every command: an error that the user can fix becomes one line on stderr and an exit code."""

from __future__ import annotations

import io
import signal
import sys
from typing import Callable, List, NoReturn, Optional, Sequence

from nav_pkg.config import config_file, launched
from nav_pkg.core import EXIT_CHECKPOINTED, DataError, NavError, UsageError
from nav_pkg.ending import Interrupted, Terminated, failed_file, print_error, silence_broken_output
from nav_pkg.reading import printable


def run(command: Callable[[Optional[Sequence[str]]], Optional[int]], argv=None) -> NoReturn:
    """Run a command's main and exit: 0 or its own code; 130 on Ctrl-C.

    A NavError becomes one line, and so does a file system error, whose line names the file. (A path that is
    too long or not a folder may fail wherever it is first used.)

    A command that calls `raise_on_stop_signals` exits with 85 on SIGTERM, and resumes when it is run again.
    If the reader of its output is gone (`| head`), a command ends with 141, as other programs do.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # as stderr does by default; file names may be any bytes
        sys.stdout.reconfigure(errors="backslashreplace")
    files: List[str] = []
    try:
        launched.check()
        words, files = config_file.expand(sys.argv[1:] if argv is None else argv)
        if files:
            sys.argv[1:] = words  # some commands store it
        try:
            code = command(words if files else argv)
        except SystemExit as end:  # from argparse's --help
            code = end.code
        sys.stdout.flush()
    except NavError as error:
        print_error(f"error: {error}" + (f" (with the flags in {', '.join(files)})" if files else ""))
        code = error.code
    except KeyboardInterrupt as stop:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process is already ending
        text = "stopped by SIGTERM" if isinstance(stop, Terminated) else "stopped"
        resumes = isinstance(stop, (Terminated, Interrupted))
        print_error(f"{text}; run the same command to resume" if resumes else text)
        code = EXIT_CHECKPOINTED if isinstance(stop, Terminated) else 128 + signal.SIGINT
    except OSError as error:
        code = failed_file(error)
    except RuntimeError as error:
        if "home directory" in str(error):  # from pathlib: ~ without HOME, or ~NAME
            print_error(
                "error: a path begins with ~ or ~NAME, but there is no such user, or no HOME; write it out"
            )
            code = UsageError.code
        elif str(error).startswith("Symlink loop"):  # from Path.resolve on ELOOP, before Python 3.13
            print_error(f"error: {printable(str(error))}; check this path")
            code = DataError.code
        else:
            raise
    silence_broken_output()
    sys.exit(code or 0)
