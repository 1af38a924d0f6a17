"""A recorder that is killed at any moment, and files that are cut at any byte."""

import contextlib
import json
import os
import random
import subprocess
import sys

from nav_pkg.core import DataError
from nav_pkg.data import files
from nav_pkg.data.reader import Dataset
from nav_pkg.data.repair import repair_dataset
from nav_pkg.data.verify import verify_dataset, verify_run

KILLED = """
import importlib.util, json, os, random, signal, sys, time
root, conftest, seed = sys.argv[1:]
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(conftest))))
spec = importlib.util.spec_from_file_location("samples", conftest)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
samples = module.Samples()
from nav_pkg.data.reader import Dataset
from nav_pkg.data.verify import verify_run
dataset = samples.dataset(root, runs=1, frames=4)
rng = random.Random(int(seed))
hashes = {}
for trial in range(30):
    number = len(Dataset(root).runs)
    child = os.fork()
    if child == 0:
        try:
            while True:
                samples.run(root, number, frames=rng.randrange(1, 12))
                number += 1
        finally:
            os._exit(9)
    # However slow the machine is: every third writer is left alone until it has committed a run.
    deadline = time.monotonic() + 60
    while trial % 3 == 0 and len(Dataset(root).runs) == number and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(rng.uniform(0, 0.12))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"the writer ended by itself: {status}"
    runs = Dataset(root).runs
    assert [run.name for run in runs] == [f"{i:05d}_esatv3" for i in range(len(runs))]
    assert len(Dataset(root).partials) <= 1
    for run in runs:
        if run.name in hashes:
            assert run.content_hash() == hashes[run.name], run.name
        else:
            assert not verify_run(run).problems, verify_run(run).problems
        hashes[run.name] = run.content_hash()
print(json.dumps(hashes))
"""

STORAGES = ("tar", "files")


def test_a_recorder_killed_at_30_moments_loses_no_run(samples, tmp_path):
    seed = random.randrange(10**6)
    conftest = samples.root / "test" / "data" / "conftest.py"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "d"), str(conftest), str(seed)],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    hashes = json.loads(done.stdout)
    assert len(hashes) > 10
    dataset = Dataset(tmp_path / "d")
    repair_dataset(dataset)
    assert not dataset.partials
    for run in dataset.runs:
        assert hashes.get(run.name, run.content_hash()) == run.content_hash()
    assert not verify_dataset(dataset).all_problems
    assert repair_dataset(dataset) == []


class Killed(BaseException):
    pass


def test_a_kill_at_any_step_of_the_commit_leaves_what_the_start_knew(samples, tmp_path, monkeypatch):
    facts = {"world": "esatv3", "seed": 3, "alpha": 0.25, "start": "start"}
    for moment in range(100):
        path = samples.dataset(tmp_path / str(moment), runs=0)
        writer = samples.writer(path, "00000_esatv3", facts)
        for i in range(3):
            writer.add(samples.frame(i), samples.rgb(i), samples.depth(i), samples.scan(i))
        writer._pool.shutdown(wait=True)
        left = [moment]

        def dying(call, left=left):
            def step(*arguments):
                left[0] -= 1
                if left[0] < 0:
                    raise Killed
                return call(*arguments)

            return step

        with monkeypatch.context() as patch:
            for name in ("write_file", "write_all", "fsync", "fsync_all"):
                patch.setattr(files, name, dying(getattr(files, name)))
            for name in ("unlink", "rename"):
                patch.setattr(os, name, dying(getattr(os, name)))
            with contextlib.suppress(Killed):
                writer.commit({"outcome": "success"})
        repair_dataset(Dataset(path))
        (run,) = Dataset(path).runs
        assert {key: run.facts.get(key) for key in facts} == facts, moment
        assert not verify_dataset(Dataset(path)).all_problems and not (run.path / "start.json").exists()
        if left[0] >= 0:
            break
    assert 10 < moment < 100


def test_a_file_size_limit_is_met_with_one_line(samples, dataset):
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000));"
        "sys.path.insert(0, sys.argv[2]);"
        "from nav_pkg.cli.entry import run;"
        "from nav_pkg.data.writer import RunWriter; from nav_pkg.core import *;"
        "w = RunWriter(sys.argv[1], '00003_esatv3');"
        "f = lambda i: Frame(i, i * 10**8, Command(), None, Command(), Actor.EXPERT, Pose(0., 0., 0.),"
        " Velocity(), 1., 0.);"
        "run(lambda _: [w.add(f(i)) for i in range(100)])"
    )
    before = {run.name: run.content_hash() for run in Dataset(dataset).runs}
    done = subprocess.run(
        [sys.executable, "-c", code, str(dataset), str(samples.root)], capture_output=True, text=True
    )
    assert done.returncode == 3
    assert (
        done.stderr.count("\n") == 1 and "00003_esatv3.partial: cannot write: file too large" in done.stderr
    )
    assert {run.name: run.content_hash() for run in Dataset(dataset).runs} == before
    assert len(Dataset(dataset).partials) == 1


def test_every_file_cut_at_random_bytes_is_found_and_mended(dataset, storage):
    rng = random.Random(5)
    whole = {run.name: run.content_hash() for run in Dataset(dataset).runs}
    victim = Dataset(dataset).runs[1]
    names = [p.relative_to(victim.path) for p in sorted(victim.path.rglob("*")) if p.is_file()]
    assert len(names) == (8 if storage == "tar" else 20)
    for name in names:
        path = victim.path / name
        data = path.read_bytes()
        for length in sorted({0, rng.randrange(len(data)), len(data) - 1}):
            if data[length:] == b"\n" and name.name == "run.json":
                continue  # all that it says is still there
            path.write_bytes(data[:length])
            problems = verify_run(Dataset(dataset).runs[1]).problems
            assert problems and any(str(path) in line for line in problems), (name, length)
        path.write_bytes(data)
        assert not verify_run(Dataset(dataset).runs[1]).problems
    for name in names:
        run = Dataset(dataset).runs[1]
        path = run.path / name
        if path.exists() and len(run) > 2:
            path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])
            assert repair_dataset(Dataset(dataset))
            assert not verify_dataset(Dataset(dataset)).all_problems
            if not (dataset / victim.name).exists():
                break
    for name in (f"0000{i}_esatv3" for i in (0, 2)):
        assert {r.name: r.content_hash() for r in Dataset(dataset).runs}[name] == whole[name]


def test_a_cut_file_is_one_clear_line_for_readers(dataset, storage):
    run = Dataset(dataset).runs[0]
    for name, read in (
        (
            "RGB.tar" if storage == "tar" else "RGB/0000000003.jpg",
            lambda r: r.rgb(7 if storage == "tar" else 3),
        ),
        (
            "Depth.tar" if storage == "tar" else "Depth/0000000003.png",
            lambda r: r.depth(7 if storage == "tar" else 3),
        ),
        ("scan.npy", lambda r: r.scan),
        ("frames.csv", lambda r: r.frames),
        ("run.json", lambda r: r.facts),
    ):
        path = run.path / name
        data = path.read_bytes()
        for cut in (data[: len(data) // 2], b"", None):
            path.unlink() if cut is None else path.write_bytes(cut)
            try:
                read(Dataset(dataset).runs[0])
            except DataError as error:
                assert str(path) in str(error) and "\n" not in str(error)
            else:
                raise AssertionError(f"{name} cut to {cut!r} was read")
            path.write_bytes(data)
