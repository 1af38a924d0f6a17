"""How commands end: codes and lines of errors and of stops."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nav_pkg import ending
from nav_pkg.cli import entry
from nav_pkg.config import types
from nav_pkg.config.parser import Parser
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
        (signal.SIGINT, 130, "stopped; run the same command to resume\n"),
        (signal.SIGTERM, 85, "stopped by SIGTERM; run the same command to resume\n"),
    ],
)
def test_stops(handlers, capsys, number, code, line):
    def command(_argv):
        ending.raise_on_stop_signals()
        os.kill(os.getpid(), number)

    with pytest.raises(SystemExit) as end:
        entry.run(command)
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
        entry.run(command)
    assert end.value.code == 3 and capsys.readouterr().err == "error: x.json: cut; make it again\n"


def test_errors_of_the_file_system(tmp_path, capsys):
    def command(argv):
        Path(argv[0]).read_text()

    for name, why in (("x" * 300, "file name too long"), ("no", "no such file"), ("", "is a directory")):
        with pytest.raises(SystemExit) as end:
            entry.run(command, [str(tmp_path / name)])
        errors = capsys.readouterr().err
        assert end.value.code == 3 and errors.count("\n") == 1 and why in errors and str(tmp_path) in errors


def test_words_that_no_file_could_hold():
    parser = Parser(prog="x.py")
    parser.add_argument("--name", type=types.name)
    for word, why in (
        ("\udcff", r"x.py: '\\udcff' is not UTF-8 text"),
        ("a" * 201, "too long for a name"),
        ("a/" * 600 + "b", "too long for a name"),
        ("../x", "is not a name"),
    ):
        with pytest.raises(UsageError, match=why):
            parser.parse_args(["--name", word])
    assert parser.parse_args(["--name", "a" * 200]).name == "a" * 200


def ends(script, redirection, **env):
    """Exit code and stderr of a script whose standard files are what a shell makes of them."""
    line = f"{sys.executable} {SCRIPTS / script} {redirection}"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **env},
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "redirection, code, line",
    [
        ("--help | true", 141, ""),  # it may not be done: a training would not be, either
        ("--help >/dev/full", 3, "error: cannot write to the standard output: no space left"),
        ("--help >&-", 0, ""),
        ("info nothing_there >&- 2>&- <&-", 3, ""),
        ("info nothing_there 2>&1 | exec true", 3, ""),
        ("info --data_root '~nobody_of_this_name/x'", 2, "error: a path begins with ~ or ~NAME, but"),
    ],
)
def test_output_that_nobody_takes(redirection, code, line):
    returned, output = ends("dataset.py", redirection)
    assert returned == code and output.startswith(line) and output.count("\n") == bool(line)


def test_closed_standard_files_do_not_become_data(tmp_path):
    code = (
        "import os; from nav_pkg.start import open_standard_files as o; o(); "
        f"d = os.open({str(tmp_path / 'data')!r}, os.O_WRONLY | os.O_CREAT); print('noise', flush=True); "
        "import sys; os._exit(d if sys.stdin.read() == '' else 99)"
    )
    done = subprocess.run(
        ["bash", "-c", f'exec {sys.executable} -c "{code}" <&- >&- 2>&-'], cwd=SCRIPTS.parent
    )
    assert done.returncode > 2 and (tmp_path / "data").read_bytes() == b""
