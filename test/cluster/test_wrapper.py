"""The wrapper without a pool: exit codes, surroundings, being asked to leave, files that travel."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest

from nav_pkg.cluster import job as jobs
from nav_pkg.cluster import job_files, uplink
from nav_pkg.config import paths
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import files

LIMIT = 240
"""Seconds that anything may take on a busy machine."""


class Job:
    """A job of a copy of the library, run as HTCondor runs it."""

    def __init__(self, checkout, folder):
        self.checkout, self.folder = checkout, folder
        self.log = folder / "log" / "x"
        self.state_file = folder / "DAG" / "state" / "x.json"

    def start(self, *words, constants="", scratch=None, **spec):
        """Start the wrapper; `constants` changes some of its own."""
        file = self.write(*words, folder=scratch, **spec)
        environment = dict(os.environ, PYTHONPATH=f"{self.checkout}:{os.environ.get('PYTHONPATH', '')}")
        environment.pop("_CONDOR_SCRATCH_DIR", None)
        if scratch:
            environment["_CONDOR_SCRATCH_DIR"] = str(scratch)
        code = f"import sys\nfrom nav_pkg.cluster import job\n{constants}\nsys.exit(job.main(sys.argv[1:]))"
        return subprocess.Popen(
            [sys.executable, "-c", code, str(file)],
            env=environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def write(self, *words, folder=None, **spec):
        """The job's spec, in a file."""
        file = (folder or self.folder / "DAG" / "jobs") / "x.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        values = {
            "format": 1, "name": "x", "kind": "train", "command": ["fake.py", "-t", "x", *map(str, words)],
            "wall_time": 0, "simulator": False, "datasets": [], "copy_dataset": False, "transfer": None,
            "env": {"NAV_PKG_LOG": str(self.folder / "log"), "NAV_PKG_DATA": str(self.folder / "data")},
        }  # fmt: skip
        file.write_text(json.dumps({**values, **spec}))
        return file

    def run(self, *words, **more):
        """Run it to its end: exit code, output, errors."""
        process = self.start(*words, **more)
        out, errors = process.communicate(timeout=LIMIT)
        assert "Traceback" not in errors, errors
        return process.returncode, out, errors

    def state(self):
        return json.loads(self.state_file.read_text())

    def wait(self):
        """Wait until the command listens; returns its process number."""
        ready = self.log / "ready"
        deadline = time.monotonic() + LIMIT
        while not (ready.exists() and ready.read_text().isdigit()):
            assert time.monotonic() < deadline, list(self.folder.rglob("*"))
            time.sleep(0.02)
        return int(ready.read_text())


@pytest.fixture
def job(checkout, tmp_path):
    return Job(checkout, tmp_path)


CODES = [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (75, 75), (85, 85), (130, 75)]


def test_codes(checkout, tmp_path):
    started = {code: Job(checkout, tmp_path / str(code)) for code, _ in CODES}
    processes = {code: job.start("exit", code) for code, job in started.items()}
    for code, wanted in CODES:
        _, errors = processes[code].communicate(timeout=LIMIT)
        assert "Traceback" not in errors, errors
        assert processes[code].returncode == wanted and errors.startswith(f"error: code {code}\n")
        state = started[code].state()
        assert state["exit_code"] == wanted and state["error_line"].startswith("error: ")
        assert state["status"] == {0: "done", 85: "checkpointed"}.get(wanted, "failed")


def test_a_killed_command_is_tried_elsewhere(job):
    process = job.start("wait")
    os.kill(job.wait(), signal.SIGKILL)
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 75 and "killed by signal 9" in errors


@pytest.mark.parametrize("word, wanted", [("0", 0), ("1", 85)])
def test_asked_to_leave(job, word, wanted):
    """SIGTERM is passed on; a command that has come to its end says so, another is resumed."""
    process = job.start("wait", word)
    job.wait()
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == wanted and (job.log / "saved").exists()
    assert ("stopped by signal SIGTERM" in out) == bool(wanted)


def test_a_command_that_does_not_leave_is_killed(job):
    process = job.start("deaf", constants="job.GRACE = 0.5")
    command = job.wait()
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 85 and "did not exit (signal SIGTERM): killed" in errors
    assert not Path("/proc", str(command)).exists()


def test_a_command_that_hangs_at_its_wall_time_is_held_in_the_end(job):
    """As one that has saved itself, it would be begun again without end."""
    ready = job.log / "ready"
    over_when_it_runs = f"""
watch = job.Wrapper._watch
def watch_when_it_runs(self, process, progress):
    while not os.path.exists({str(ready)!r}):
        job.time.sleep(0.02)
    self.ask("the wall time of 4 s", 0.1)
    watch(self, process, progress)
import os
job.Wrapper._watch = watch_when_it_runs"""
    codes = []
    for _ in range(3):
        ready.unlink(missing_ok=True)
        code, _, errors = job.run("deaf", constants=over_when_it_runs)
        assert "error: the command did not exit (the wall time of 4 s): killed" in errors
        codes.append(code)
    assert codes == [75, 75, 3]
    assert job.run("exit", 0)[0] == 0 and job.state()["hangs"] == 0


def test_the_command_does_not_outlive_a_killed_wrapper(job):
    process = job.start("wait")
    command = job.wait()
    process.kill()
    process.wait()
    deadline = time.monotonic() + LIMIT
    while Path("/proc", str(command)).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_job_waits_for_one_that_still_saves(job):
    """condor_rm and the same command again: the removed job has the log folder until it has saved."""
    lock = files.lock_folder(job.log)
    process = job.start("exit", 0)
    deadline = time.monotonic() + LIMIT
    while not (job.state_file.exists() and "which another process has" in job.state()["last_line"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not (job.log / "tries").exists()
    os.close(lock)
    process.communicate(timeout=LIMIT)
    assert process.returncode == 0


def test_a_suspended_job_says_so(job):
    """Stopped and continued, as HTCondor suspends jobs; here after less than 30 s."""
    process = job.start("wait", 0, constants="job.SUSPENDED = 0.5")
    job.wait()
    process.send_signal(signal.SIGSTOP)
    time.sleep(1.0)  # the stop itself
    process.send_signal(signal.SIGCONT)
    assert any("suspended for " in line for line in process.stdout)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    assert job.state()["suspended"] >= 0.5


def test_surroundings(checkout, tmp_path, monkeypatch):
    """A simulator job gets no other session's master, ports or screen, and a temporary folder of its own."""
    spec = {
        "format": 1, "name": "x", "command": ["main.py"], "simulator": True, "transfer": None,
        "env": {"NAV_PKG_DATA": "/there"},
    }  # fmt: skip
    file = tmp_path / "jobs" / "x.json"
    file.parent.mkdir()
    file.write_text(json.dumps(spec))
    for name in jobs.FOREIGN:
        monkeypatch.setenv(name, "http://somewhere")
    long = tmp_path / ("scratch" * 10)
    for scratch in (tmp_path, long):
        scratch.mkdir(exist_ok=True)
        monkeypatch.setenv("_CONDOR_SCRATCH_DIR", str(scratch))
        wrapper = jobs.Wrapper(file)
        wrapper.temporary = wrapper._make_temporary()
        environment = wrapper.environment()
        assert not set(jobs.FOREIGN) & set(environment) and environment["NAV_PKG_DATA"] == "/there"
        assert Path(environment["TMPDIR"]).is_dir() and len(environment["TMPDIR"]) <= jobs.LONGEST_TMP


@pytest.mark.parametrize("home", ["missing", "file", "there"])
def test_a_home_folder_that_is_not_there_is_replaced(job, tmp_path, monkeypatch, home):
    """ROS does not start without one; in a container the submitting host's is seldom there."""
    (tmp_path / "file").write_text("")
    (tmp_path / "there").mkdir()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / home))
    monkeypatch.setenv("_CONDOR_SCRATCH_DIR", str(scratch))
    spec = {"format": 1, "name": "x", "command": ["main.py"], "env": {}}
    (tmp_path / "x.json").write_text(json.dumps(spec))
    wrapper = jobs.Wrapper(tmp_path / "x.json")
    wrapper.temporary = wrapper._make_temporary()
    wanted = tmp_path / home if home == "there" else scratch / "home"
    assert wrapper.environment()["HOME"] == str(wanted) and wanted.is_dir()


def test_setting_up_is_a_part_of_the_wall_time(job, monkeypatch):
    monkeypatch.setenv("NAV_PKG_JOB_BEGIN", str(time.time() - 580))
    got, out, _ = job.run("wait", 1, wall_time=600)
    assert got == 85 and "stopped by the wall time of 600 s" in out


@pytest.mark.parametrize(
    "change, says",
    [
        ({"format": 2}, "format 2, this nav_pkg reads 1"),
        ({"command": "main.py -t x"}, "is no list of words"),
        ({"command": ["../setup/check"]}, "is none of nav_pkg's commands"),
        ({"command": ["no_such.py"]}, "is none of nav_pkg's commands"),
        ({"name": "a/b"}, "can't be a job's"),
        ({"transfer": {"in": [], "out": ["../x"]}}, "leads outside the job's folder"),
    ],
)
def test_wrong_specs(job, change, says, capsys):
    assert jobs.main([str(job.write(**{"command": ["main.py"], **change}))]) == 2
    errors = capsys.readouterr().err
    assert says in errors and len(errors.splitlines()) == 1


def test_a_spec_that_cannot_be_read(tmp_path, capsys):
    (tmp_path / "x.json").write_text('{"format": 1, "na')
    assert jobs.main([str(tmp_path / "x.json")]) == 3 and "cut or damaged" in capsys.readouterr().err
    assert jobs.main([str(tmp_path / "y.json")]) == 3
    assert jobs.main([]) == 2


def test_what_sends_the_state_home_is_loaded_before_the_thread_that_does(tmp_path, monkeypatch):
    """While a thread loads native code, the main thread would fork for the command."""
    (tmp_path / "chirp").write_text("")
    monkeypatch.setenv("_CONDOR_CHIRP_CONFIG", str(tmp_path / "chirp"))
    loaded = []
    monkeypatch.setattr(
        uplink.importlib, "import_module", lambda name: loaded.append((name, threading.current_thread()))
    )
    monkeypatch.setattr(uplink.Uplink, "_keep", lambda self: loaded.append("sends"))
    line = uplink.Uplink(tmp_path / "x.json", "state/x.json")
    line.start()
    line._thread.join(LIMIT)
    assert loaded == [("htcondor2.htchirp", threading.main_thread()), "sends"]


def test_progress(tmp_path):
    """By number: neither a failed attempt nor an interrupted run is one, and none is counted twice."""
    lines = [(0, "sim_failure", 5), (0, "success", 10), (1, "collision", 7), (1, "collision", 7)]
    text = "".join(
        json.dumps({"run": run, "outcome": outcome, "frames": n}) + "\n" for run, outcome, n in lines
    )
    text += json.dumps({"run": 2, "outcome": "aborted", "interrupted": True}) + '\n{"run": 3, "outc'
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "runs.jsonl").write_text(text)
    assert jobs.Progress(tmp_path, "runs").count() == 2
    assert jobs.Progress(tmp_path, "frames").count() == 17
    (tmp_path / "metrics.jsonl").write_text("{}\n{}\n")
    assert jobs.Progress(tmp_path, "episodes").count() == 2
    assert jobs.Progress(None, "runs").count() == 0
    assert jobs.Progress(tmp_path / "nowhere", "runs").count() == 0


def test_datasets(tmp_path):
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "dataset.json").write_text("{}")
    job_files.check_datasets(["good"], tmp_path)
    with pytest.raises(DataError, match=f"dataset bad cannot be read on .*{tmp_path}/bad"):
        job_files.check_datasets(["good", "bad"], tmp_path)


def test_files_that_travel(job, tmp_path):
    """Inputs are unpacked; what was made goes into a tar, which the next try takes up; also when it fails."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (tmp_path / "dataset.json").write_text("{}")
    transfer = {"in": ["/home/somebody/data-small.tar"], "out": ["log/x", "data/none"]}
    more = {"env": {"NAV_PKG_DATA": "data", "NAV_PKG_LOG": "log"}, "datasets": ["small"]}
    with tarfile.open(scratch / "data-small.tar", "w") as tar:
        tar.add(tmp_path / "dataset.json", "data/small/dataset.json")
    assert job.run("exit", 85, scratch=scratch, transfer=transfer, **more)[0] == 85
    tar = scratch / "x.tar"
    other = tmp_path / "other"
    other.mkdir()
    tar.rename(other / "x.tar")
    assert not (scratch / "data-small.tar").exists()
    with tarfile.open(other / "data-small.tar", "w") as again:
        again.add(tmp_path / "dataset.json", "data/small/dataset.json")
    assert job.run("exit", 85, 0, scratch=other, transfer=transfer, **more)[0] == 0
    assert (other / "log" / "x" / "tries").read_text() == "2"
    third = tmp_path / "third"
    third.mkdir()
    code, _, errors = job.run("exit", 0, scratch=third, transfer=transfer, **more)
    assert code == 3 and "dataset small" in errors
    with tarfile.open(third / "x.tar") as third_tar:
        assert third_tar.getnames() == []


def test_a_training_sends_home_what_there_is_from_time_to_time(job, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    transfer = {"in": [], "out": ["log/x"]}
    more = {
        "env": {"NAV_PKG_DATA": "data", "NAV_PKG_LOG": "log"},
        "constants": "job.SAVE_EVERY['train'] = 0.1",
    }
    code, out, _ = job.run("wait", scratch=scratch, transfer=transfer, **more)
    assert code == 85 and "stopped by sending home what there is (every 0.1 s)" in out
    with tarfile.open(scratch / "x.tar") as tar:
        assert tar.extractfile("log/x/saved").read() == b"saved"


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil"])
def test_tars_that_lead_outside(tmp_path, name):
    (tmp_path / "file").write_text("x")
    (tmp_path / "here").mkdir()
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        member = tarfile.TarInfo(name)
        tar.addfile(member)
    with pytest.raises(DataError, match="leads outside"):
        job_files.unpack(tmp_path / "bad.tar", tmp_path / "here")
    (tmp_path / "cut.tar").write_bytes(b"x" * 700)
    with pytest.raises(DataError, match="cut or damaged"):
        job_files.unpack(tmp_path / "cut.tar", tmp_path / "here")


@pytest.mark.parametrize("filtered", [True, False])
def test_tars_are_taken_as_plain_files_of_this_user(tmp_path, monkeypatch, filtered):
    """With tarfile's filter, and with Pythons that have none: no set-uid bits, nothing through links."""
    if not filtered:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    elif not hasattr(tarfile, "data_filter"):
        pytest.skip("this Python has no filters")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        member = tarfile.TarInfo("log/x/program")
        member.mode, member.uid, member.gid, member.uname = 0o6777, 12345, 12345, "nobody"
        tar.addfile(member)
    (tmp_path / "here").mkdir()
    job_files.unpack(tmp_path / "x.tar", tmp_path / "here")
    state = (tmp_path / "here/log/x/program").stat()
    assert (state.st_mode & 0o7777, state.st_uid, state.st_gid) == (0o755, os.getuid(), os.getgid())
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "there/log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="leads outside"):
        job_files.unpack(tmp_path / "x.tar", tmp_path / "there")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_unfinished_runs_stay_behind(tmp_path):
    for name in ("data/d/00000_esatv3/run.json", "data/d/00001_esatv3.partial/frames.csv", "data/d/.x.tmp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    job_files.pack(tmp_path / "x.tar", tmp_path, ["data/d"])
    with tarfile.open(tmp_path / "x.tar") as tar:
        assert sorted(name for name in tar.getnames() if "." in name) == ["data/d/00000_esatv3/run.json"]


def test_links_do_not_keep_a_tar_from_being_taken_up(tmp_path):
    """roslaunch leaves `ros/latest`, which points to a folder; datasets share images by hard links."""
    log = tmp_path / "log" / "x"
    (log / "ros" / "newest").mkdir(parents=True)
    (log / "ros" / "latest").symlink_to(log / "ros" / "newest")
    (log / "gone").symlink_to(log / "nowhere")
    (log / "a.jpg").write_text("image")
    os.link(log / "a.jpg", log / "b.jpg")
    job_files.pack(tmp_path / "x.tar", tmp_path, ["log/x"])
    (tmp_path / "next").mkdir()
    job_files.unpack(tmp_path / "x.tar", tmp_path / "next")
    unpacked = tmp_path / "next" / "log" / "x"
    assert [(unpacked / name).read_text() for name in ("a.jpg", "b.jpg")] == ["image", "image"]
    assert not (unpacked / "gone").exists() and sorted(p.name for p in (unpacked / "ros").iterdir()) == [
        "newest"
    ]


def test_names_that_lead_outside():
    with pytest.raises(UsageError, match="leads outside"):
        job_files.check_names(["log/x", "/etc"], "out")


def test_packs_of_a_host_are_shared_and_removed_by_the_last_job(tmp_path, monkeypatch):
    monkeypatch.setenv("NAV_PKG_NODE", str(tmp_path))
    with job_files.shared_packs():
        packs = paths.node_dir()
        assert packs == tmp_path / f"nav_pkg-{os.getuid()}" / "packs"
        with job_files.shared_packs():
            (packs / "one").write_text("x")
        assert (packs / "one").exists()
    assert not packs.exists()
