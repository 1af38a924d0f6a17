"""Sessions side by side: errors are the session's own, and end all others."""

import pytest

from nav_pkg.session.parallel import ParallelSession, run_sessions
from nav_pkg.session.steps import StepFailed


def job(folder, name, *arguments):
    return ParallelSession(name, list(arguments), folder / name / "out.txt")


def test_an_error_is_the_sessions_own(tmp_path):
    jobs = [job(tmp_path, "fine", "--help"), job(tmp_path, "bad", "--number_of_runs", "0")]
    with pytest.raises(StepFailed, match=r"bad: --number_of_runs is 0; it must be between 1 and") as error:
        run_sessions(jobs, 1)
    assert error.value.code == 2
    assert "--number_of_runs" in (tmp_path / "fine" / "out.txt").read_text()


def test_nothing_begins_after_an_error(tmp_path):
    jobs = [job(tmp_path, "bad", "--number_of_runs", "0"), job(tmp_path, "later", "--help")]
    with pytest.raises(StepFailed):
        run_sessions(jobs, 1)
    assert not (tmp_path / "later").exists()


def test_all_are_run_and_looked_at(tmp_path):
    looks = []
    run_sessions([job(tmp_path, str(i), "--help") for i in range(3)], 2, looks.append)
    assert looks
    assert [(tmp_path / str(i) / "out.txt").stat().st_size > 0 for i in range(3)] == [True] * 3
    run_sessions([], 2)
