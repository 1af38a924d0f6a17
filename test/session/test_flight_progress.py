"""Life signs: share, pace and time left of a lap by hand; one line on a terminal, sparse ones elsewhere."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from tqdm import tqdm

from nav_pkg.session import flight_progress
from nav_pkg.session.flight_progress import FlightProgress, Lap

ROOT = Path(__file__).resolve().parents[2]


def write_heartbeat(wall, stamp, progress, state="running", run=3, **more):
    known = {
        "run": run,
        "pid": 7,
        "state": state,
        "stamp": stamp,
        "wall": 1000.0 + wall,
        "progress": progress,
    }
    return {**known, "lap": 200.0, "limit": 260.0, **more}


def lap(*beats):
    new_lap = Lap()
    for beat in beats:
        new_lap.update(beat)
    return new_lap


def test_a_lap_by_hand():
    """From 0 to 50 m of 200 in 10 s, in which 60 s were simulated: 150 m take 30 s more."""
    current = lap(write_heartbeat(0, 100.0, 0.0), write_heartbeat(10, 160.0, 50.0))
    assert (current.share, current.pace, current.left) == (0.25, 6.0, pytest.approx(30.0))
    assert current.text() == "run 3: 25 %, 6.0 x real time, 00:30 left"
    current.update(write_heartbeat(10, 160.0, 50.0, loss=0.12345, updates=7))
    assert current.text().endswith("00:30 left, loss 0.123 after 7 gradient steps")
    current.update(write_heartbeat(10, 160.0, 50.0, loss=None, updates=7))
    assert current.text().endswith("00:30 left, loss not finite after 7 gradient steps")


def test_the_time_limit_bounds_what_is_left():
    """One that hardly moves ends at its limit: 200 s more of simulated time, at 6 a second."""
    assert lap(write_heartbeat(0, 100.0, 0.0), write_heartbeat(10, 160.0, 1.0)).left == pytest.approx(200 / 6)
    assert lap(write_heartbeat(0, 100.0, 0.0), write_heartbeat(10, 160.0, 0.0)).left == pytest.approx(200 / 6)


def test_take_off_and_other_runs_do_not_count():
    current = lap(write_heartbeat(0, 0.0, 0.0, "idle"), write_heartbeat(20, 4.0, 0.0, "idle"))
    assert current.text() == "run 3: idle"
    for beat in (write_heartbeat(20, 4.0, 0.0), write_heartbeat(30, 64.0, 50.0)):
        current.update(beat)
    assert current.pace == 6.0
    current.update(write_heartbeat(31, 0.0, 0.0, "ended"))
    assert current.text() == "run 3: ended"
    current.update(write_heartbeat(40, 4.0, 2.0, run=4))
    assert (current.pace, current.left) == (None, None) and current.text() == "run 4: 1 %"
    current.update(None)
    assert current.text() == ""


@pytest.mark.parametrize(
    "odd", [{}, {"run": 1, "state": "running"}, write_heartbeat(0, [], None, lap="x", limit=True)]
)
def test_a_heartbeat_of_an_earlier_nav_pkg_or_a_damaged_one(odd):
    current = lap(odd, odd)
    assert (current.share, current.pace, current.left) == (None, None, None)
    assert current.text() in ("run None: None", "run 1: flies", "run 3: flies")


def test_sparse_lines_where_there_is_no_terminal(capsys):
    now = [0.0]
    signs = FlightProgress(tqdm(disable=True), lambda: now[0])
    for second in range(100):
        now[0] = float(second)
        signs.update({"": write_heartbeat(second, 6.0 * second, 1.0 * second, limit=1000.0)})
    assert capsys.readouterr().err.splitlines() == [
        "run 3: 15 %, 6.0 x real time, 02:17 left",  # (1000 - 180) / 6
        "run 3: 30 %, 6.0 x real time, 01:47 left",
        "run 3: 45 %, 6.0 x real time, 01:17 left",
    ]
    now[0] += 30.0
    signs.update({"": write_heartbeat(130, 0.0, 0.0, "ended")})
    assert capsys.readouterr().err == ""


def test_one_line_on_a_terminal():
    screen = io.StringIO()
    bar = tqdm(
        total=4,
        initial=1,
        desc="mine",
        file=screen,
        bar_format=flight_progress.FORMAT,
        ncols=100,
        mininterval=0,
    )
    signs = FlightProgress(bar)
    signs.update({"": write_heartbeat(0, 100.0, 0.0)})
    signs.update({"": write_heartbeat(10, 160.0, 50.0)})
    bar.refresh()
    last = screen.getvalue().split("\r")[-1]
    assert "mine: 1/4 runs" in last and "run 3: 25 %, 6.0 x real time, 00:30 left" in last
    signs.end()
    assert "\n" not in screen.getvalue().rstrip("\n")
    assert "run 3" not in screen.getvalue().split("\r")[-1]


def test_a_terminal_that_knows_no_width_shows_the_line():
    code = "from nav_pkg.session import flight_progress; flight_progress.bar(4, 1, 'mine').close()"
    terminal, program_end = pty.openpty()  # 0 columns
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, stderr=program_end, check=True)
    os.close(program_end)
    assert b"mine: 1/4 runs" in os.read(terminal, 4096)
    os.close(terminal)


def test_several_that_fly_share_the_line():
    screen = io.StringIO()
    bar = tqdm(total=4, desc="mine", file=screen, bar_format=flight_progress.FORMAT, ncols=100, mininterval=0)
    signs = FlightProgress(bar)
    for wall in (0, 10):
        first, second = (
            write_heartbeat(wall, 6.0 * wall, 5.0 * wall),
            write_heartbeat(wall, 3.0 * wall, 2.0 * wall),
        )
        signs.update({"a": first, "b": second, "c": None})
    bar.close()
    assert "2 fly: 25 %, 10 %, 9.0 x real time, 01:17 left" in screen.getvalue()
