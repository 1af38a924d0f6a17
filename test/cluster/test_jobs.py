"""Jobs on a real pool: what becomes of each exit code, of vacated, killed, removed and wrong ones.

All are submitted at once, since most of the time HTCondor waits; each test then looks at its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tarfile
from pathlib import Path

import pytest

from nav_pkg.cluster.plan import Hosts

ROOT = Path(__file__).resolve().parents[2]
RUNNING, COMPLETED, HELD = 2, 4, 5


def state(folder, name):
    return json.loads((folder / "state" / f"{name}.json").read_text())


def tries(queue, name):
    """How often a command began; 0 before it says so, or while it writes."""
    with contextlib.suppress(OSError, ValueError):
        return int((queue.folder / "log" / name / "tries").read_text())
    return 0


CODES = {"c0": [0], "c2": [2], "c3": [3], "c1": [1, 0], "c4": [4, 0], "c5": [5, 0], "c75": [75, 0]}
CODES["c85"] = [85, 85, 0]
TRAVELS = Hosts(file_transfer=True, nice=False)


@pytest.fixture(scope="module")
def queue(make_queue):
    new_queue = make_queue("jobs")
    yield new_queue
    new_queue.clear()


@pytest.fixture(scope="module")
def last(queue):
    return queue.job("last", "fake.py", "-t", "last", "exit", 1, 85, 75, 85, 85, 1, 0, retries=2)


@pytest.fixture(scope="module")
def gone(queue):
    """A job whose files travel, which is to be removed."""
    return queue.job("gone", "fake.py", "-t", "gone", "wait", 1, outputs=("log/gone",))


@pytest.fixture(scope="module")
def jobs(queue, last, gone):
    """All jobs: their plan's folder, and their numbers by name."""
    far = queue.job(
        "far", "fake.py", "-t", "far", "exit", 1, 85, 0, datasets=("small",), outputs=("log/far",)
    )
    left = queue.job("left", "fake.py", "-t", "left", "wait", 1, outputs=("log/left",))
    content = queue.folder / "input"
    content.mkdir(parents=True)
    (content / "dataset.json").write_text("{}")
    (archive,) = [path for path in queue.plan(far, hosts=TRAVELS).transfer_in(far) if "small" in path.name]
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w") as tar:
        tar.add(content, "data/small")
    # those that take longest first
    folder, numbers = queue.submit(far, left, gone, hosts=TRAVELS)
    others = [
        queue.job(name, "fake.py", "-t", name, "wait", code) for name, code in (("away", 1), ("shot", 0))
    ]
    numbers.update(queue.submit(last, *others)[1])
    codes = [queue.job(name, "fake.py", "-t", name, "exit", *words) for name, words in CODES.items()]
    # A job whose simulator failed waits for another host; of these there is none.
    numbers.update(queue.submit(*codes, changes={"requirements": "true"})[1])
    use = queue.job("use", "main.py", "--no_such_flag")
    data = queue.job("data", "main.py", "-t", "x", "--dataset", "nowhere", datasets=("nowhere",))
    numbers.update(queue.submit(use, data, root=ROOT)[1])
    return folder, numbers


def test_exit_codes(queue, jobs, host):
    """0 ends, 2 and 3 are held at once, 1, 4, 5 and 75 are tried again, 85 is resumed."""
    folder, numbers = jobs
    for name in ("c2", "c3"):
        ad = queue.wait(numbers[name], HELD, COMPLETED)
        assert ad["JobStatus"] == HELD and ad["HoldReasonSubCode"] == int(name[1:])
        assert f"exit code {name[1:]}" in ad["HoldReason"]
        assert tries(queue, name) == 1
        job_state = state(folder, name)
        assert job_state["status"] == "failed" and job_state["error_line"] == f"error: code {name[1:]}"
    for name in set(CODES) - {"c2", "c3"}:
        ad = queue.wait(numbers[name], COMPLETED)
        assert ad["ExitCode"] == 0 and tries(queue, name) == len(CODES[name]), queue.report()
        job_state = state(folder, name)
        assert (job_state["status"], job_state["exit_code"], job_state["host"]) == ("done", 0, host)
        assert job_state["tries"] == len(CODES[name])


def test_the_last_try(queue, jobs, last):
    """As many failures as are allowed and one more, whatever was saved between them."""
    folder, numbers = jobs
    ad = queue.wait(numbers["last"], COMPLETED, HELD)
    assert (ad["JobStatus"], ad["ExitCode"]) == (COMPLETED, 101), queue.report()
    assert tries(queue, "last") == 6 and state(folder, "last")["failures"] == 3
    _, numbers = queue.submit(last)  # as DAGMan does once more: counted anew
    assert queue.wait(numbers["last"], COMPLETED, HELD)["ExitCode"] == 0, queue.report()


def _end(queue, ready):
    """Let a waiting job end with 0."""
    queue.until(lambda: ready.exists() and ready.read_text().isdigit(), "its handler of SIGTERM")
    os.kill(int(ready.read_text()), signal.SIGTERM)


def test_killed(queue, jobs):
    """kill -9 of the command, and then of the wrapper: tried again each time."""
    folder, numbers = jobs
    ready = queue.folder / "log" / "shot" / "ready"
    for number, victim in ((1, "command"), (2, "wrapper")):
        queue.until(lambda number=number: ready.exists() and tries(queue, "shot") == number, f"try {number}")
        queue.until(lambda: ready.read_text().isdigit(), "its number")
        pid = int(ready.read_text()) if victim == "command" else state(folder, "shot")["pid"]
        ready.unlink()
        os.kill(pid, signal.SIGKILL)
    queue.until(lambda: tries(queue, "shot") == 3, "the third try")
    _end(queue, ready)
    assert queue.wait(numbers["shot"], COMPLETED)["ExitCode"] == 0


def test_wrong_use_and_missing_data_are_held(queue, jobs, host):
    """The project's own command line, and a dataset that is not on the node."""
    folder, numbers = jobs
    assert queue.wait(numbers["use"], HELD, COMPLETED)["HoldReasonSubCode"] == 2
    assert queue.wait(numbers["data"], HELD, COMPLETED)["HoldReasonSubCode"] == 3
    lines = (folder / "out" / "data.err").read_text().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: dataset nowhere cannot be read on ")
    assert host in lines[0] and str(queue.folder / "data" / "nowhere") in lines[0]


def test_vacated_and_removed_jobs_are_resumed(queue, jobs, gone):
    """condor_vacate_job asks a job to save, also one whose files travel, which it takes along.

    condor_rm deletes what HTCondor holds for a job; the same command resumes with what came home.
    """
    folder, numbers = jobs
    for name in ("away", "left", "gone"):
        queue.until(lambda name=name: _ready_file(queue, name, 1), f"the first try of {name}")
    queue.run("condor_vacate_job", numbers["away"], numbers["left"])
    queue.run("condor_rm", numbers["gone"])
    queue.until((queue.folder / "log" / "away" / "saved").exists, "the job to save")
    queue.until(lambda: not queue.schedd.query(f"ClusterId == {numbers['gone']}"), "the removed job's end")
    names = [path.name for path in (folder / "transfer").iterdir()]
    assert [name for name in names if "tmp" in name and "gone" in name] == []
    numbers = {**numbers, **queue.submit(gone, hosts=TRAVELS)[1]}
    for name in ("away", "left", "gone"):
        queue.until(lambda name=name: _ready_file(queue, name, 2), f"{name} with what its first try left")
        _end(queue, _ready_file(queue, name, 2))
        assert queue.wait(numbers[name], COMPLETED)["ExitCode"] == 0, queue.report()
    for name in ("left", "gone"):
        with tarfile.open(folder / "transfer" / f"{name}.tar") as tar:
            assert tar.extractfile(f"log/{name}/tries").read() == b"2"
    assert tries(queue, "away") == 2


def _ready_file(queue, name, number):
    """The file by which a job says that its n-th try has its handler, or None; `away` uses no scratch."""
    with contextlib.suppress(OSError):  # HTCondor removes a folder meanwhile
        here = [queue.folder / "log" / name / "tries"] if name == "away" else []
        for file in here or (queue.pool.folder / "execute").rglob(f"log/{name}/tries"):
            ready = file.with_name("ready")
            # of the second try, the first one's comes along with its other files
            pid = ready.read_text() if ready.exists() else ""
            if file.read_text() == str(number) and pid.isdigit() and Path("/proc", pid).exists():
                return ready
    return None


def test_checkpoints_travel(queue, jobs):
    """Without a shared file system: what a try saved (85) or left (1) is there for the next one."""
    folder, numbers = jobs
    assert queue.wait(numbers["far"], COMPLETED)["ExitCode"] == 0, queue.report()
    with tarfile.open(folder / "transfer" / "far.tar") as tar:
        assert tar.extractfile("log/far/tries").read() == b"3"
    # what it says of itself comes over HTCondor's line, and is known to the next try
    assert (state(folder, "far")["tries"], state(folder, "far")["exit_code"]) == (3, 0)
    assert not (queue.folder / "log" / "far").exists()
