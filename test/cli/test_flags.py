"""How commands end: codes and lines of errors and of stops."""

import os
import signal

import pytest

from nav_pkg.cli import flags
from nav_pkg.core import DataError


@pytest.fixture
def handlers():
    """Puts the signal handlers back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    "number, code, line",
    [
        (signal.SIGINT, 130, "stopped\n"),
        (signal.SIGTERM, 85, "stopped by SIGTERM; run the same command to go on\n"),
    ],
)
def test_stops(handlers, capsys, number, code, line):
    def command(_argv):
        flags.hear_stops()
        os.kill(os.getpid(), number)

    with pytest.raises(SystemExit) as end:
        flags.run(command)
    assert end.value.code == code and capsys.readouterr().err == line


def test_errors(capsys):
    def command(_argv):
        raise DataError("x.json: cut; make it again")

    with pytest.raises(SystemExit) as end:
        flags.run(command)
    assert end.value.code == 3 and capsys.readouterr().err == "error: x.json: cut; make it again\n"
