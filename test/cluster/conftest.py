"""A pool for the tests, and jobs in it without DAGMan."""

from __future__ import annotations

import contextlib
import os
import runpy
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from nav_pkg.cluster import describe, transfer
from nav_pkg.cluster.condor import prefix_environment
from nav_pkg.cluster.plan import DagNode, DagPlan, Hosts, Resources
from nav_pkg.cluster.pool import Pool
from nav_pkg.core import DataError
from nav_pkg.data import files

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 240.0
"""Seconds that anything may take on a busy machine; what is measured elsewhere takes a few."""
CPUS = 12
"""Of the pool, whatever the machine has: that many of the tests' jobs wait side by side."""


@pytest.fixture(scope="session")
def need_condor():
    """Skip where HTCondor is not installed."""
    try:
        prefix_environment()
    except DataError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def base():
    """A folder below the checkout: DAGMan refuses node logs in the system's temporary folder."""
    folder = ROOT / "build" / f"test-cluster-{os.getpid()}"
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def pool(base, need_condor):
    """A running pool; it dies with this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CONDOR_CONFIG", raising=False)
        patch.setenv("NAV_PKG_POOL", str(base / "pool"))
        personal_pool = Pool()
        personal_pool.start(cpus=CPUS, memory=12000, die_with_parent=True)
        patch.setenv("CONDOR_CONFIG", str(personal_pool.config))
        yield personal_pool
        # a regular stop takes 10 s
        with contextlib.suppress(ProcessLookupError):
            os.kill(personal_pool.pid, signal.SIGKILL)
        personal_pool.stop(fast=True)


@pytest.fixture
def folders(base, pool, monkeypatch, tmp_path_factory):
    """Folders of all logs and datasets below the checkout, where DAGMan takes node logs, for this test."""
    work = base / f"dag-{time.monotonic_ns()}"
    for name, variable in (("log", "NAV_PKG_LOG"), ("data", "NAV_PKG_DATA"), ("packs", "NAV_PKG_CACHE")):
        (work / name).mkdir(parents=True)
        monkeypatch.setenv(variable, str(work / name))
    yield work
    import htcondor2

    htcondor2.reload_config()
    htcondor2.Schedd().act(htcondor2.JobAction.Remove, "true")  # what a failed test left


COMMAND = """
import os, signal, sys, time
from pathlib import Path

# What the tests' jobs do, by their words: `exit CODE [CODE ...]` (one a try), `wait` for SIGTERM.
words, folder = sys.argv[3:], Path(os.environ["NAV_PKG_LOG"], sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
tries = folder / "tries"
number = int(tries.read_text()) if tries.exists() else 0
tries.write_text(str(number + 1))
print("try", number + 1, "in", os.environ["TMPDIR"], flush=True)
if words[0] == "exit":
    code = int(words[min(1 + number, len(words) - 1)])
    print("error: code", code, file=sys.stderr)
    sys.exit(code)
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
(folder / "ready").write_text(str(os.getpid()))
while not stop or words[0] == "deaf":
    time.sleep(0.05)
(folder / "saved").write_text("saved")
sys.exit(85 if number < int((words + ["1"])[1]) else 0)
"""


@pytest.fixture(scope="session")
def checkout(base):
    """A copy of the library with a command for tests; jobs take it as their checkout."""
    folder = base / "checkout"
    shutil.copytree(ROOT / "nav_pkg", folder / "nav_pkg", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup", "scripts"):
        (folder / name).mkdir()
    shutil.copy(ROOT / "setup" / "condor_job", folder / "setup")
    (folder / "scripts" / "fake.py").write_text(COMMAND)
    (folder / "env.sh").write_text(f'. "{ROOT}/env.sh"\nexport PYTHONPATH="{folder}:$PYTHONPATH"\n')
    return folder


class Queue:
    """Submits the jobs of a plan one by one, and watches them by their log."""

    def __init__(self, pool, folder, root):
        import htcondor2

        self.pool, self.folder, self.root = pool, folder, root
        self.condor = htcondor2
        htcondor2.reload_config()
        self.schedd = htcondor2.Schedd()
        self.submitted = []

    def job(self, name, *command, kind="train", **values):
        """A small job."""
        values.setdefault("resources", Resources(cpus=1, memory=300, disk=100))
        return DagNode(name, kind, tuple(map(str, command)), **values)

    def plan(self, *jobs, hosts=None, root=None):
        """The plan of jobs below this test's folder."""
        return DagPlan(
            "test", "dag", self.folder / "log", self.folder / "data", root or self.root, jobs,
            hosts or Hosts(nice=False),
        )  # fmt: skip

    def submit(self, *jobs, hosts=None, root=None, changes=None, spec=None):
        """Submit jobs; returns the plan's folder and their cluster numbers by name."""
        plan = self.plan(*jobs, hosts=hosts, root=root)
        plan.check()
        for folder in describe.paths_of(plan).values():
            folder.mkdir(parents=True, exist_ok=True)
        # the code, which jobs on this host do not need: they find the checkout
        code = plan.folder / "transfer" / "nav_pkg.tar.gz"
        if not code.exists():  # else a job may be reading it
            tarfile.open(code, "w:gz").close()
        transfer.make_empty_tars(
            plan.folder / "transfer", [job.name for job in jobs if plan.transferred(job)]
        )
        numbers = {}
        for job in jobs:
            files.atomic_write(
                plan.folder / "jobs" / f"{job.name}.json", files.to_json({**plan.spec(job), **(spec or {})})
            )
            commands = {**describe.variables(plan, job), **describe.description(plan, [job])}
            commands.update(log=f"{job.name}.log", **(changes or {}))
            before = os.getcwd()
            os.chdir(plan.folder)
            try:
                numbers[job.name] = self.schedd.submit(self.condor.Submit(commands)).cluster()
                self.submitted.append(numbers[job.name])
            finally:
                os.chdir(before)
        return plan.folder, numbers

    def ad(self, number):
        """The job's ClassAd, of the queue or of history."""
        for ads in (
            self.schedd.query(f"ClusterId == {number}"),
            list(self.schedd.history(f"ClusterId == {number}", [], match=1)),
        ):
            if ads:
                return ads[0]
        raise AssertionError(f"no job {number}")

    def wait(self, number, *status, limit=LIMIT):
        """Wait until a job has a status (2 running, 4 completed, 5 held); returns its ClassAd."""
        deadline = time.monotonic() + limit
        while True:
            ad = self.ad(number)
            if ad["JobStatus"] in status:
                return ad
            assert time.monotonic() < deadline, f"job {number}: {ad['JobStatus']}\n{self.report()}"
            time.sleep(0.1)

    def until(self, ready, awaited, limit=LIMIT):
        """Wait until something is so."""
        deadline = time.monotonic() + limit
        while not ready():
            assert time.monotonic() < deadline, f"waited {limit} s for {awaited}\n{self.report()}"
            time.sleep(0.05)

    def report(self):
        """The output and the logs of the jobs."""
        logs = [*self.folder.rglob("out/*"), *self.folder.rglob("DAG/*.log")]
        return "\n".join(f"--- {file}\n{file.read_text(errors='replace')[-3000:]}" for file in logs)

    def run(self, program, *arguments):
        """One of HTCondor's programs, as a user runs it."""
        environment = dict(os.environ, **prefix_environment())
        done = subprocess.run(
            [shutil.which(program, path=environment["PATH"]), *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def clear(self):
        """Remove what was submitted here, and wait until it is gone."""
        if not self.submitted:
            return
        constraint = " || ".join(f"ClusterId == {number}" for number in self.submitted)
        self.schedd.act(self.condor.JobAction.Remove, constraint)
        deadline = time.monotonic() + 30
        while self.schedd.query(constraint) and time.monotonic() < deadline:
            time.sleep(0.1)
        if self.schedd.query(constraint):
            self.schedd.act(self.condor.JobAction.RemoveX, constraint)


@pytest.fixture(scope="session")
def make_queue(pool, base, checkout):
    """A function that makes a queue of the tests' command, with the folders of its jobs in one of a name."""
    return lambda name: Queue(pool, base / name, checkout)


@pytest.fixture(scope="session")
def write_dataset():
    """A function that writes a small dataset: that of the tests of learning."""
    return runpy.run_path(str(ROOT / "test" / "learn" / "conftest.py"))["_write_dataset"]


@pytest.fixture
def host():
    """This machine's name as jobs say it."""
    return socket.gethostname()
