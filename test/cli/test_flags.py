"""How commands end: codes and lines of errors and of stops."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nav_pkg.cli import flags
from nav_pkg.core import DataError, UsageError

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


def test_errors_of_the_file_system(tmp_path, capsys):
    def command(argv):
        Path(argv[0]).read_text()

    for name, why in (("x" * 300, "file name too long"), ("no", "no such file"), ("", "is a directory")):
        with pytest.raises(SystemExit) as end:
            flags.run(command, [str(tmp_path / name)])
        said = capsys.readouterr().err
        assert end.value.code == 3 and said.count("\n") == 1 and why in said and str(tmp_path) in said


def test_words_that_no_file_could_hold():
    parser = flags.Parser(prog="x.py")
    parser.add_argument("--name", type=flags.name)
    for word, why in (
        ("\udcff", r"x.py: '\\udcff' is not UTF-8 text"),
        ("a" * 201, "too long for a name"),
        ("a/" * 600 + "b", "too long for a name"),
        ("../x", "is not a name"),
    ):
        with pytest.raises(UsageError, match=why):
            parser.parse_args(["--name", word])
    assert parser.parse_args(["--name", "a" * 200]).name == "a" * 200
