"""Jobs on a real pool: what becomes of each exit code, of vacated, killed and wrong ones."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import tarfile
from pathlib import Path

import pytest

from nav_pkg.cluster.plan import Hosts, Resources

ROOT = Path(__file__).resolve().parents[2]
RUNNING, COMPLETED, HELD = 2, 4, 5


def state(folder, name):
    return json.loads((folder / "state" / f"{name}.json").read_text())


def tries(queue, name):
    """How often a command began; 0 before it says so, or while it writes."""
    with contextlib.suppress(OSError, ValueError):
        return int((queue.folder / "log" / name / "tries").read_text())
    return 0


def test_exit_codes(queue, host):
    """0 ends, 2 and 3 are held at once, 1, 4, 5 and 75 are tried again, 85 goes on."""
    codes = {"c0": [0], "c2": [2], "c3": [3], "c1": [1, 0], "c4": [4, 0], "c5": [5, 0], "c75": [75, 0]}
    codes["c85"] = [85, 85, 0]
    jobs = [queue.job(name, "fake.py", "-t", name, "exit", *words) for name, words in codes.items()]
    # A job whose simulator failed waits for another host; of these there is none.
    folder, numbers = queue.submit(*jobs, changes={"requirements": "true"})
    for name in ("c2", "c3"):
        ad = queue.wait(numbers[name], HELD, COMPLETED)
        assert ad["JobStatus"] == HELD and ad["HoldReasonSubCode"] == int(name[1:])
        assert f"exit code {name[1:]}" in ad["HoldReason"]
        assert tries(queue, name) == 1
        found = state(folder, name)
        assert found["status"] == "failed" and found["error_line"] == f"error: code {name[1:]}"
    for name in set(codes) - {"c2", "c3"}:
        ad = queue.wait(numbers[name], COMPLETED)
        assert ad["ExitCode"] == 0 and tries(queue, name) == len(codes[name]), queue.report()
        found = state(folder, name)
        assert (found["status"], found["exit_code"], found["host"]) == ("done", 0, host)
        assert found["tries"] == len(codes[name])


def test_the_last_try(queue):
    """As many failures as are allowed and one more, whatever was saved between them."""
    job = queue.job("last", "fake.py", "-t", "last", "exit", 1, 85, 75, 85, 85, 1, 0, retries=2)
    folder, numbers = queue.submit(job)
    ad = queue.wait(numbers["last"], COMPLETED, HELD)
    assert (ad["JobStatus"], ad["ExitCode"]) == (COMPLETED, 101), queue.report()
    assert tries(queue, "last") == 6 and state(folder, "last")["failures"] == 3
    _, numbers = queue.submit(job)  # as DAGMan does once more: counted anew
    assert queue.wait(numbers["last"], COMPLETED, HELD)["ExitCode"] == 0, queue.report()


def test_vacated(queue):
    """condor_vacate_job asks the job to save; it goes on when it runs again."""
    folder, numbers = queue.submit(queue.job("away", "fake.py", "-t", "away", "wait", 1))
    ready = queue.folder / "log" / "away" / "ready"
    queue.until(ready.exists, "the job")
    queue.run("condor_vacate_job", numbers["away"])
    queue.until((queue.folder / "log" / "away" / "saved").exists, "the job to save")
    ready.unlink()
    queue.until(lambda: tries(queue, "away") == 2, "the second try")
    _end(queue, ready)
    assert queue.wait(numbers["away"], COMPLETED)["ExitCode"] == 0


def _end(queue, ready):
    """Let a waiting job end with 0."""
    queue.until(lambda: ready.exists() and ready.read_text().isdigit(), "it to listen")
    os.kill(int(ready.read_text()), signal.SIGTERM)


def test_killed(queue):
    """kill -9 of the command, and then of the wrapper: tried again each time."""
    folder, numbers = queue.submit(queue.job("shot", "fake.py", "-t", "shot", "wait", 0))
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


def test_wrong_use_and_missing_data_are_held(queue, host):
    """The project's own command line, and a dataset that is not on the node."""
    use = queue.job("use", "main.py", "--no_such_flag")
    data = queue.job("data", "main.py", "-t", "x", "--dataset", "nowhere", datasets=("nowhere",))
    folder, numbers = queue.submit(use, data, root=ROOT)
    assert queue.wait(numbers["use"], HELD, COMPLETED)["HoldReasonSubCode"] == 2
    assert queue.wait(numbers["data"], HELD, COMPLETED)["HoldReasonSubCode"] == 3
    lines = (folder / "out" / "data.err").read_text().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: dataset nowhere cannot be read on ")
    assert host in lines[0] and str(queue.folder / "data" / "nowhere") in lines[0]


TRAINING = ("--network", "tiny_net", "--discrete", "--loss", "CrossEntropy", "--learning_rate", 0.1)
TRAINING += ("--batch_size", 1, "--max_episodes", 3, "--num_threads", 1)


def pending(pid, number):
    """Whether a process has a signal that it has not taken yet."""
    (mask,) = re.findall(r"^ShdPnd:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(mask, 16) & 1 << (number - 1))


def weights(folder):
    import torch

    return torch.load(folder / "my-model", weights_only=True)["model_state_dict"]


def test_a_training_job_vacated_in_mid_episode_ends_with_the_same_weights(queue, write_dataset):
    """Bit for bit those of a run that nothing disturbed."""
    import torch

    (queue.folder / "data").mkdir(parents=True)
    write_dataset(queue.folder / "data", "easy", runs=2, frames=60)
    # An episode has 100 batches, after each of which a stop is heard.
    words = ["main.py", "--dataset", "easy", *TRAINING]
    jobs = [queue.job(name, *words, "-t", name, datasets=("easy",)) for name in ("left", "whole")]
    folder, numbers = queue.submit(*jobs, root=ROOT)
    log = queue.folder / "log" / "left"
    out = folder / "out" / "left.out"
    metrics = log / "metrics.jsonl"
    queue.until(lambda: metrics.exists() and metrics.read_text().count("\n") >= 1, "the first episode")
    # stopped, until it has been told: else a fast machine would be done before
    wrapper = state(folder, "left")["pid"]
    (training,) = Path(f"/proc/{wrapper}/task/{wrapper}/children").read_text().split()
    os.kill(int(training), signal.SIGSTOP)
    queue.run("condor_vacate_job", numbers["left"])
    queue.until(lambda: pending(training, signal.SIGTERM), "the word to leave")
    os.kill(int(training), signal.SIGCONT)
    queue.until(
        lambda: "the next try goes on" in out.read_text() or (log / "results.json").exists(), "a stop"
    )
    saved = re.search(r"saved \S+ after (\d+) episodes and (\d+) batches", out.read_text())
    assert saved and int(saved.group(1)) >= 1, queue.report()
    print(saved.group())  # on a machine that does not stand still, in the middle of the second episode
    for name in numbers:
        assert queue.wait(numbers[name], COMPLETED)["ExitCode"] == 0, queue.report()
    assert state(folder, "left")["tries"] == 2
    left, whole = weights(log), weights(queue.folder / "log" / "whole")
    assert left.keys() == whole.keys() and all(torch.equal(left[key], whole[key]) for key in left)
    assert (log / "metrics.jsonl").read_bytes() == (queue.folder / "log/whole/metrics.jsonl").read_bytes()


def test_checkpoints_travel(queue):
    """Without a shared file system: what a try saved (85) or left (1) is there for the next one."""
    job = queue.job(
        "far", "fake.py", "-t", "far", "exit", 1, 85, 85, 0, datasets=("small",), outputs=("log/far",)
    )
    hosts = Hosts(file_transfer=True, nice=False)
    content = queue.folder / "input"
    content.mkdir(parents=True)
    (content / "dataset.json").write_text("{}")
    (archive,) = [path for path in queue.plan(job, hosts=hosts).transfer_in(job) if "small" in path.name]
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w") as tar:
        tar.add(content, "data/small")
    folder, numbers = queue.submit(job, hosts=hosts)
    assert queue.wait(numbers["far"], COMPLETED)["ExitCode"] == 0, queue.report()
    with tarfile.open(folder / "transfer" / "far.tar") as tar:
        assert tar.extractfile("log/far/tries").read() == b"4"
    # what it says of itself comes over HTCondor's line, and is known to the next try
    assert (state(folder, "far")["tries"], state(folder, "far")["exit_code"]) == (4, 0)
    assert not (queue.folder / "log" / "far").exists()


def test_a_vacated_job_takes_its_files_along(queue):
    """Evicted without a shared file system: what it saved comes back with it."""
    job = queue.job("gone", "fake.py", "-t", "gone", "wait", 1, outputs=("log/gone",))
    folder, numbers = queue.submit(job, hosts=Hosts(file_transfer=True, nice=False))
    queue.until(lambda: _there(queue, 1), "the first try")
    queue.run("condor_vacate_job", numbers["gone"])
    queue.until(lambda: _there(queue, 2), "the second try, with what the first one left")
    _end(queue, _there(queue, 2))
    assert queue.wait(numbers["gone"], COMPLETED)["ExitCode"] == 0, queue.report()
    with tarfile.open(folder / "transfer" / "gone.tar") as tar:
        assert tar.extractfile("log/gone/tries").read() == b"2"


def test_a_removed_job_brings_home_what_it_has(queue):
    """condor_rm deletes what HTCondor holds for a job; the same command goes on with what came home."""
    job = queue.job("gone", "fake.py", "-t", "gone", "wait", 1, outputs=("log/gone",))
    hosts = Hosts(file_transfer=True, nice=False)
    folder, numbers = queue.submit(job, hosts=hosts)
    queue.until(lambda: _there(queue, 1), "the first try")
    queue.run("condor_rm", numbers["gone"])
    queue.until(lambda: not queue.schedd.query(f"ClusterId == {numbers['gone']}"), "its end")
    assert [path.name for path in (folder / "transfer").iterdir() if "tmp" in path.name] == []
    _, numbers = queue.submit(job, hosts=hosts)
    queue.until(lambda: _there(queue, 2), "the next try, with what the first one left")
    _end(queue, _there(queue, 2))
    assert queue.wait(numbers["gone"], COMPLETED)["ExitCode"] == 0, queue.report()


def _there(queue, number):
    """The file by which a job in a scratch folder of this pool says that its n-th try listens, or None."""
    with contextlib.suppress(OSError):  # HTCondor removes a folder meanwhile
        for file in (queue.pool.folder / "execute").rglob("log/gone/tries"):
            ready = file.with_name("ready")
            # of the second try, the first one's comes along with its other files
            pid = ready.read_text() if ready.exists() else ""
            if file.read_text() == str(number) and pid.isdigit() and Path("/proc", pid).exists():
                return ready
    return None


FLIGHT = (
    "-ds", "--random_seed", 31, "--alpha", 1, "--start", "route", "--max_duration", 4,
    "--width", 160, "--height", 120, "--depth_width", 80, "--depth_height", 45,
)  # fmt: skip


@pytest.mark.skipif(shutil.which("roslaunch") is None, reason="needs ROS")
def test_two_simulators_on_one_host(queue):
    """At the same time, each with its own ROS master, ports, display and folder.

    One writes to the shared file system; the other's files travel, and it is sent home after each run. What
    they record is the same, to the byte.
    """
    resources = Resources(cpus=2, memory=1500, disk=500)
    words = ["run_script.py", *FLIGHT, "--number_of_runs", 2]
    jobs = {
        name: queue.job(
            name, *words, "-t", name, "--data_location", f"rec/{name}", kind="record", simulator=True,
            total=2, unit="runs", resources=resources, outputs=(f"log/{name}", f"data/rec/{name}"),
        )
        for name in ("here", "far")
    }  # fmt: skip
    # the one whose files are brought first begins: HTCondor takes five seconds more for it
    far = Hosts(file_transfer=True, nice=False)
    folder, numbers = queue.submit(jobs["far"], root=ROOT, hosts=far, spec={"save_every": 0.1})
    numbers.update(queue.submit(jobs["here"], root=ROOT)[1])
    for number in numbers.values():
        assert queue.wait(number, COMPLETED, limit=240)["ExitCode"] == 0, queue.report()
    found = state(folder, "here")
    assert (found["runs"], found["of"], found["unit"]) == (2, 2, "runs")
    assert "sending home what there is" in (folder / "out" / "far.out").read_text()
    begin = [queue.ad(number)["JobStartDate"] for number in numbers.values()]
    end = [queue.ad(number)["CompletionDate"] for number in numbers.values()]
    assert max(begin) < min(end), "they did not run at the same time"
    with tarfile.open(folder / "transfer" / "far.tar") as tar:
        tar.extractall(queue.folder / "brought")
    log = [
        json.loads(line) for line in (queue.folder / "brought/log/far/runs.jsonl").read_text().splitlines()
    ]
    assert sorted(run["run"] for run in log if not run.get("interrupted")) == [0, 1], "a run twice, or lost"
    for run in ("00000_esatv3", "00001_esatv3"):
        here, far = queue.folder / "data/rec/here" / run, queue.folder / "brought/data/rec/far" / run
        names = sorted(file.relative_to(here) for file in here.rglob("*") if file.is_file())
        assert names == sorted(file.relative_to(far) for file in far.rglob("*") if file.is_file())
        for name in names:
            if name.name != "run.json":  # which has the times of the recording
                assert (here / name).read_bytes() == (far / name).read_bytes(), name
