"""How commands end: codes and lines of errors and of stops."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nav_pkg.cli import flags
from nav_pkg.core import DataError

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


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
        (signal.SIGINT, 130, "stopped; run the same command to go on\n"),
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


def test_a_shell_that_has_not_sourced_env_sh():
    """One line that says what to do; -I: no packages but Python's own."""
    for script in sorted(SCRIPTS.glob("*.py")):
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(script), "--help"],
            env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2, (script, done)
        assert done.stderr.count("\n") == 1 and f"source {SCRIPTS.parent}/env.sh" in done.stderr


def test_errors(capsys):
    def command(_argv):
        raise DataError("x.json: cut; make it again")

    with pytest.raises(SystemExit) as end:
        flags.run(command)
    assert end.value.code == 3 and capsys.readouterr().err == "error: x.json: cut; make it again\n"
