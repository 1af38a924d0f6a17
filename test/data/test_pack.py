"""Packs: right content, never stale, never damaged, made once, whatever stops or shares the work."""

import concurrent.futures
import dataclasses
import errno
import multiprocessing.spawn
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

from nav_pkg.config import paths
from nav_pkg.core import DataError
from nav_pkg.data import codec, files
from nav_pkg.data.packs import builder, committed_images, store, workers, writer
from nav_pkg.data.packs.lock import PackLock
from nav_pkg.data.packs.pack import open_packs, remove_packs, verify_packs
from nav_pkg.data.reader import Dataset
from nav_pkg.data.resize import decode_resized

SIZE = (12, 20)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


class Lines(list):
    """Keeps what is said."""

    def __call__(self, line):
        self.append(line)


def runs_of(path):
    return Dataset(path).runs


def expected_images(run, size=SIZE):
    return np.stack(
        [decode_resized((run.path / f"RGB/{i:010d}.jpg").read_bytes(), size) for i in range(len(run))]
    )


def assert_packs_equal(runs, packs, size=SIZE):
    assert len(packs) == len(runs)
    for run, item in zip(runs, packs):
        assert np.array_equal(item.images, expected_images(run, size)), run


def cache_files(cache):
    """All files of a cache but its records of runs."""
    return sorted(p for p in cache.rglob("*") if p.is_file() and p.parent.name != "seen")


def assert_only_complete_packs(cache, count):
    """Nothing is there but so many whole packs."""
    assert sorted(p.suffix for p in cache_files(cache)) == [".json"] * count + [".npy"] * count


@pytest.fixture
def no_building(monkeypatch):
    """Whoever makes a pack or hashes an image fails."""

    def fail(*_):
        raise AssertionError("nothing had to be made or compared")

    def forbid():
        monkeypatch.setattr(writer, "write_at", fail)
        monkeypatch.setattr(committed_images.CommittedImages, "read", fail)

    return forbid


def test_a_pack_holds_every_frame_at_the_size(dataset, cache):
    runs = runs_of(dataset)
    packs = open_packs(runs, SIZE, cache)
    assert_packs_equal(runs, packs)
    assert_only_complete_packs(cache, 3)
    for run, item in zip(runs, packs):
        assert item.frames == len(run) == 8
        assert item.images.dtype == np.uint8 and item.images.flags.c_contiguous
        assert not item.images.flags.writeable
        assert np.array_equal(np.load(item.path), item.images)
        assert item.path.parent.parent == cache / "12x20" and item.path.parent.name == item.path.name[:2]
        facts = files.read_json(item.path.with_suffix(".json"))
        assert (facts["frames"], facts["size"], facts["bytes"]) == (8, [12, 20], 8 * 12 * 20 * 3)


def test_a_second_call_makes_and_hashes_nothing(dataset, cache, no_building):
    runs = runs_of(dataset)
    open_packs(runs, SIZE, cache)
    no_building()
    assert_packs_equal(runs, open_packs(runs, SIZE, cache))
    assert_packs_equal(runs[::-1], open_packs(runs[::-1], SIZE, cache))
    assert_packs_equal([runs[1]] * 2, open_packs([runs[1]] * 2, SIZE, cache))
    assert open_packs([], SIZE, cache) == []


def test_each_size_has_its_packs_but_the_images_are_compared_once(dataset, cache, monkeypatch):
    runs = runs_of(dataset)
    assert_packs_equal(runs, open_packs(runs, SIZE, cache))
    assert_packs_equal(runs, open_packs(runs, (32, 48), cache), (32, 48))
    assert_only_complete_packs(cache, 6)
    monkeypatch.setattr(committed_images.CommittedImages, "read", None)
    assert_packs_equal(runs, open_packs(runs, SIZE, cache))


def test_the_default_folder_is_the_environments(dataset, cache, monkeypatch):
    monkeypatch.setenv("NAV_PKG_CACHE", str(cache))
    open_packs(runs_of(dataset), SIZE)
    assert_only_complete_packs(cache, 3)
    monkeypatch.delenv("NAV_PKG_CACHE")
    monkeypatch.setenv("HOME", "/somewhere")
    assert str(paths.cache_dir()) == "/somewhere/.cache/nav_pkg/packs"


def test_datasets_that_share_runs_share_packs(dataset, cache, tmp_path, monkeypatch):
    open_packs(runs_of(dataset), SIZE, cache)
    shutil.copytree(dataset, tmp_path / "other", copy_function=os.link)
    monkeypatch.setattr(writer, "write_at", None)
    runs = runs_of(tmp_path / "other")
    assert_packs_equal(runs, open_packs(runs, SIZE, cache))
    assert_only_complete_packs(cache, 3)


def test_only_new_runs_are_packed(samples, dataset, cache, monkeypatch):
    open_packs(runs_of(dataset), SIZE, cache)
    samples.run(dataset, 3, frames=5)
    write, count = writer.write_at, []
    monkeypatch.setattr(writer, "write_at", lambda *a: (count.append(1), write(*a))[1])
    assert_packs_equal(runs_of(dataset), open_packs(runs_of(dataset), SIZE, cache))
    assert len(count) == 5


def test_a_run_that_was_recorded_anew_has_another_pack(samples, dataset, cache):
    before = open_packs(runs_of(dataset), SIZE, cache)
    shutil.rmtree(dataset / "00001_esatv3")
    samples.run(dataset, 1, seed=77)
    after = open_packs(runs_of(dataset), SIZE, cache)
    assert_packs_equal(runs_of(dataset), after)
    assert [a.path == b.path for a, b in zip(before, after)] == [True, False, True]


def damage_image(path):
    """Another image of the same length, written in place."""
    data = path.read_bytes()
    path.write_bytes(data[:-40] + bytes([data[-40] ^ 1]) + data[-39:])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "change, text",
    [
        (damage_image, "0000000005.jpg: changed since its commit; see dataset.py verify"),
        (lambda path: path.write_bytes(b""), "0000000005.jpg: changed since its commit"),
        (lambda path: path.unlink(), "0000000005.jpg: missing; see dataset.py verify"),
        (
            lambda path: shutil.copy(path, path.parent / "0000000099.jpg"),
            "0000000099.jpg: belongs to no frame",
        ),
        (lambda path: shutil.rmtree(path.parent), "0000000000.jpg: missing"),
    ],
)
def test_changed_images_are_refused(dataset, cache, packed, change, text):
    runs = runs_of(dataset)
    if packed:
        open_packs(runs, SIZE, cache)
    change(dataset / "00001_esatv3/RGB/0000000005.jpg")
    for _ in range(2):
        with pytest.raises(DataError, match=text):
            open_packs(runs, SIZE, cache)
        assert not [p for p in cache_files(cache) if p.name[0] == "."]
    others = [run for run in runs if run.name != "00001_esatv3"]
    assert_packs_equal(others, open_packs(others, SIZE, cache))
    assert any(text in line for line in verify_packs(runs, SIZE, cache))


def test_a_change_that_leaves_size_and_time_is_found_by_verifying(dataset, cache):
    runs = runs_of(dataset)
    open_packs(runs, SIZE, cache)
    assert verify_packs(runs, SIZE, cache) == []
    path = dataset / "00001_esatv3/RGB/0000000005.jpg"
    before = path.stat()
    damage_image(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    (line,) = verify_packs(runs, SIZE, cache)
    assert "0000000005.jpg: changed since its commit" in line
    with pytest.raises(DataError, match="0000000005.jpg: changed"):
        open_packs(runs, SIZE, cache)


def test_a_time_that_changed_alone_costs_a_comparison(dataset, cache, no_building, monkeypatch):
    runs = runs_of(dataset)
    open_packs(runs, SIZE, cache)
    os.utime(dataset / "00001_esatv3/RGB/0000000005.jpg")
    read, names = committed_images.CommittedImages.read, set()
    monkeypatch.setattr(
        committed_images.CommittedImages, "read", lambda s, i: (names.add(s.run.name), read(s, i))[1]
    )
    assert_packs_equal(runs, open_packs(runs, SIZE, cache))
    assert names == {"00001_esatv3"}
    no_building()
    assert_packs_equal(runs, open_packs(runs, SIZE, cache))


def test_other_sums_are_refused(dataset, cache):
    path = dataset / "00001_esatv3/sha256sums.txt"
    text = path.read_text()
    path.write_text(text.replace("RGB/0000000005.jpg", "RGB/0000000008.jpg"))
    with pytest.raises(DataError, match="sha256sums.txt: not the one of the commit"):
        open_packs(runs_of(dataset), SIZE, cache)
    path.write_text("what\n" + text)
    with pytest.raises(DataError, match="sha256sums.txt: not the one of the commit"):
        open_packs(runs_of(dataset), SIZE, cache)
    path.unlink()
    with pytest.raises(DataError, match="sha256sums.txt: missing or damaged"):
        open_packs(runs_of(dataset), SIZE, cache)


def test_a_run_without_colour_images_is_refused(samples, dataset, cache):
    writer = samples.writer(dataset, "00003_esatv3")
    writer.add(samples.frame(0), None, samples.depth(0))
    writer.commit({"outcome": "success"})
    with pytest.raises(DataError, match="00003_esatv3: the run has no colour images"):
        open_packs(runs_of(dataset), SIZE, cache)


def cut(path):
    os.truncate(path, path.stat().st_size - 1)


def flip(path):
    with path.open("r+b") as stream:
        stream.seek(1000)
        byte = stream.read(1)
        stream.seek(1000)
        stream.write(bytes([byte[0] ^ 16]))


@pytest.mark.parametrize(
    "damage, text",
    [
        (cut, r"\.npy: 5887 bytes instead of 5888; it is made again"),
        (flip, r"\.npy: frame 1 is damaged \(its CRC differs\); it is made again"),
        (lambda p: p.with_suffix(".json").unlink(), r"\.npy: was not finished; it is made again"),
        (lambda p: p.with_suffix(".json").write_bytes(b"{"), r"\.json: not JSON.*; it is made again"),
        (lambda p: p.with_suffix(".json").write_bytes(b"{}"), r"\.json: does not fit.*; it is made again"),
        (lambda p: p.write_bytes(bytes(5888)), r"\.npy: the header is damaged.*; it is made again"),
        (
            lambda p: np.save(p, np.zeros((3, 4), np.uint8)),
            r"\.npy: the header is damaged.*; it is made again",
        ),
        (lambda p: p.unlink(), r"\.npy: cannot read: no such file.*; it is made again"),
    ],
)
def test_a_damaged_pack_is_told_and_made_again(dataset, cache, damage, text):
    runs, lines = runs_of(dataset), Lines()
    packs = open_packs(runs, SIZE, cache, say=lines)
    assert lines == []
    damage(packs[1].path)
    assert_packs_equal(runs, open_packs(runs, SIZE, cache, say=lines))
    (line,) = lines
    assert str(packs[1].path.with_suffix("")) in line
    assert re.search(text, line), line
    assert_only_complete_packs(cache, 3)
    assert_packs_equal(runs, open_packs(runs, SIZE, cache, say=lines))
    assert len(lines) == 1


def test_a_flipped_byte_that_leaves_the_time_is_found_by_verifying(dataset, cache):
    runs = runs_of(dataset)
    packs = open_packs(runs, SIZE, cache)
    before = packs[1].path.stat()
    flip(packs[1].path)
    os.utime(packs[1].path, ns=(before.st_atime_ns, before.st_mtime_ns))
    (line,) = verify_packs(runs, SIZE, cache)
    assert "frame 1 is damaged" in line and "dataset.py pack" in line
    assert_packs_equal(runs, open_packs(runs, SIZE, cache, say=Lines()))
    assert verify_packs(runs, SIZE, cache) == []


def test_a_moved_cache_is_compared_once(dataset, cache, tmp_path, monkeypatch):
    runs = runs_of(dataset)
    open_packs(runs, SIZE, cache)
    shutil.copytree(cache, tmp_path / "moved", copy_function=shutil.copyfile)
    monkeypatch.setattr(writer, "write_at", None)
    assert_packs_equal(runs, open_packs(runs, SIZE, tmp_path / "moved"))
    monkeypatch.setattr(store.PackFile, "frame_reader", None)
    assert_packs_equal(runs, open_packs(runs, SIZE, tmp_path / "moved"))


def test_memory_is_given_back_and_the_images_stay(dataset, cache):
    def resident(path):
        total, in_file = 0, False
        for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
            if "-" in line.split()[0]:
                in_file = line.endswith(str(path))
            elif in_file and line.startswith("Rss:"):
                total += int(line.split()[1])
        return total

    runs = runs_of(dataset)
    packs = open_packs(runs, SIZE, cache)
    assert_packs_equal(runs, packs)
    assert resident(packs[0].path) > 0
    packs[0].release()
    assert resident(packs[0].path) == 0
    assert_packs_equal(runs, packs)


class Stopped(Exception):
    pass


@pytest.mark.parametrize("moment", range(6))
def test_a_tick_that_raises_leaves_whole_packs_only(dataset, cache, moment):
    calls = []

    def tick(frames):
        calls.append(frames)
        if len(calls) > moment:
            raise Stopped

    runs = runs_of(dataset)
    with pytest.raises(Stopped):
        open_packs(runs, SIZE, cache, tick=tick)
    assert_only_complete_packs(cache, len(cache_files(cache)) // 2)
    assert_packs_equal(runs, open_packs(runs, SIZE, cache))


def test_ticks_count_the_frames(dataset, cache):
    counts = []
    open_packs(runs_of(dataset), SIZE, cache, tick=counts.append)
    assert sum(counts) == 24


def test_a_stop_is_heard_soon(samples, dataset, cache, monkeypatch):
    samples.run(dataset, 3, frames=200)
    decode = committed_images.CommittedImages.decode
    monkeypatch.setattr(
        committed_images.CommittedImages, "decode", lambda *a: (time.sleep(0.02), decode(*a))[1]
    )
    asked = time.monotonic() + 0.5

    def tick(_frames):
        if time.monotonic() > asked:
            raise Stopped

    with pytest.raises(Stopped):
        open_packs([runs_of(dataset)[3]], SIZE, cache, tick=tick)
    assert time.monotonic() - asked < 1.5
    assert cache_files(cache) == []


def test_a_bar_is_told_all(dataset, cache, capsys, monkeypatch):
    monkeypatch.setattr("nav_pkg.data.progress.EVERY", 0.0)
    open_packs(runs_of(dataset), SIZE, cache)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("24 of 24 images packed, ")


def full(monkeypatch, name, after):
    """`os.<name>` finds the disk full from its call number `after` on."""
    call, count = getattr(os, name), []

    def fails(*arguments):
        count.append(1)
        if len(count) > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return call(*arguments)

    monkeypatch.setattr(os, name, fails)


@pytest.mark.parametrize(
    "name, after", [("pwrite", 0), ("pwrite", 3), ("pwrite", 20), ("fsync", 0), ("write", 5)]
)
def test_a_full_disk_leaves_whole_packs_only(dataset, cache, monkeypatch, name, after):
    runs = runs_of(dataset)
    with monkeypatch.context() as patch:
        full(patch, name, after)
        with pytest.raises(DataError, match="no space left.*free some space or choose another NAV_PKG_CACHE"):
            open_packs(runs, SIZE, cache)
    assert_only_complete_packs(cache, len(cache_files(cache)) // 2)
    assert_packs_equal(runs, open_packs(runs, SIZE, cache))


def test_space_is_asked_for_beforehand(dataset, cache, monkeypatch):
    monkeypatch.setattr(files, "free_bytes", lambda path: 10_000)
    text = "the packs of 3 runs take 0 MB, 0 MB are free; free some space or set NAV_PKG_CACHE"
    with pytest.raises(DataError, match=text):
        open_packs(runs_of(dataset), SIZE, cache)
    assert not cache.exists()


def test_a_cache_that_cannot_be_made_is_one_line(dataset, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="cannot write: .*check NAV_PKG_CACHE and its rights"):
        open_packs(runs_of(dataset), SIZE, tmp_path / "file/cache")


def test_packs_are_copied_from_another_cache(dataset, cache, tmp_path, monkeypatch):
    runs = runs_of(dataset)
    open_packs(runs, SIZE, cache)
    monkeypatch.setattr(committed_images.CommittedImages, "read", None)  # the source knows them
    packs = open_packs(runs, SIZE, tmp_path / "node", source=cache)
    assert_packs_equal(runs, packs)
    assert_only_complete_packs(tmp_path / "node", 3)
    assert not any(
        os.path.samefile(item.path, cache / item.path.relative_to(tmp_path / "node")) for item in packs
    )
    shutil.rmtree(cache)
    assert_packs_equal(runs, packs)
    assert_packs_equal(runs, open_packs(runs, SIZE, tmp_path / "node"))  # which now knows them, too


def test_what_the_source_lacks_is_made_from_images(samples, dataset, cache, tmp_path):
    open_packs(runs_of(dataset), SIZE, cache)
    samples.run(dataset, 3, frames=5)
    lines = Lines()
    assert_packs_equal(
        runs_of(dataset), open_packs(runs_of(dataset), SIZE, tmp_path / "node", source=cache, say=lines)
    )
    assert lines == []
    assert_packs_equal(
        runs_of(dataset), open_packs(runs_of(dataset), SIZE, tmp_path / "b", source=tmp_path / "no")
    )


@pytest.mark.parametrize("damage", [cut, flip])
def test_what_is_damaged_in_the_source_is_made_from_images(dataset, cache, tmp_path, damage):
    runs, lines = runs_of(dataset), Lines()
    packs = open_packs(runs, SIZE, cache)
    damage(packs[1].path)
    assert_packs_equal(runs, open_packs(runs, SIZE, tmp_path / "node", source=cache, say=lines))
    assert damage is cut or ("frame 1 is damaged" in lines[0] and "made from its images" in lines[0])


def test_a_copied_pack_of_changed_images_is_refused(dataset, cache, tmp_path):
    runs = runs_of(dataset)
    open_packs(runs, SIZE, cache)
    damage_image(dataset / "00001_esatv3/RGB/0000000005.jpg")
    with pytest.raises(DataError, match="0000000005.jpg: changed"):
        open_packs(runs, SIZE, tmp_path / "node", source=cache)
    assert cache_files(tmp_path / "node") == []


def test_packs_are_removed(dataset, cache):
    runs = runs_of(dataset)
    open_packs(runs, SIZE, cache)
    assert remove_packs(runs[:2], SIZE, cache) == (2, 2 * 5888)
    assert_only_complete_packs(cache, 1)
    assert remove_packs(runs[:2], SIZE, cache) == (0, 0)
    lines = verify_packs(runs, SIZE, cache)
    assert len(lines) == 2 and all("has no pack of this size; dataset.py pack" in line for line in lines)
    lock = PackLock.acquire(
        store.PackFile(cache, committed_images.CommittedImages(runs[2]).key(SIZE), 8, SIZE)
    )
    with pytest.raises(DataError, match=f"process {os.getpid()} on .* is making it"):
        remove_packs(runs, SIZE, cache)
    lock.release()


def locked_pack(run, cache):
    """The pack of a run, and its lock as another process holds it."""
    pack_file = store.PackFile(cache, committed_images.CommittedImages(run).key(SIZE), len(run), SIZE)
    return pack_file, PackLock.acquire(pack_file)


def test_a_holder_that_does_not_get_on_is_not_waited_for_for_ever(dataset, cache, monkeypatch):
    monkeypatch.setattr(builder, "STALL_TIMEOUT", 0.5)
    runs, lines = runs_of(dataset), Lines()
    _, lock = locked_pack(runs[0], cache)
    text = rf"00000_esatv3: waited .* for process {os.getpid()} on .*\.lock and makes no progress; end it"
    with pytest.raises(DataError, match=text):
        open_packs(runs, SIZE, cache, say=lines)
    assert lines == [line for line in lines if "waiting for process" in line] and len(lines) == 1
    assert len([p for p in cache_files(cache) if p.suffix == ".npy"]) == 2  # the others were made first
    lock.release()
    assert_packs_equal(runs, open_packs(runs, SIZE, cache))


def test_a_holder_that_gets_on_is_waited_for(dataset, cache, monkeypatch):
    monkeypatch.setattr(builder, "STALL_TIMEOUT", 0.6)
    runs, lines = runs_of(dataset), Lines()
    pack_file, lock = locked_pack(runs[0], cache)

    def grow():
        beside = pack_file.folder / f".{pack_file.key}.elsewhere.1.tmp"
        for i in range(8):
            time.sleep(0.2)
            beside.write_bytes(bytes(i))
        lock.release()  # and dies: its file stays

    thread = threading.Thread(target=grow)
    thread.start()
    packs = open_packs(runs, SIZE, cache, say=lines)
    thread.join()
    assert_packs_equal(runs, packs)
    assert_only_complete_packs(cache, 3)
    assert len(lines) == 1


def test_a_tick_is_heard_while_waiting(dataset, cache):
    runs = runs_of(dataset)
    _, lock = locked_pack(runs[0], cache)
    with pytest.raises(Stopped):
        calls = []

        def tick(frames):
            calls.append(frames)
            if len(calls) > 10:
                raise Stopped

        open_packs(runs[:1], SIZE, cache, tick=tick, say=Lines())
    assert set(calls) == {0}
    lock.release()


CHILD = """
import os, signal, sys, time
root, dataset, cache, kind = sys.argv[1:5]
sys.path.insert(0, root)
from nav_pkg.data.packs import committed_images, pack, writer
from nav_pkg.data.reader import Dataset
runs = Dataset(dataset).runs
if kind == "kill":
    moment = 0
    while True:
        child = os.fork()
        if child == 0:
            left = [moment]
            def dying(call):
                def step(*arguments, **options):
                    left[0] -= 1
                    if left[0] < 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return call(*arguments, **options)
                return step
            for name in ("pwrite", "fsync", "rename", "replace", "write", "unlink"):
                setattr(os, name, dying(getattr(os, name)))
            pack.open_packs(runs, (12, 20), cache)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        packs = pack.open_packs(runs, (12, 20), cache, say=lambda line: None)
        assert not pack.verify_packs(runs, (12, 20), cache), moment
        names = [n for folder, _, names in os.walk(cache) if "seen" not in folder for n in names]
        assert not [n for n in names if n[0] == "." and not n.endswith(".lock")], (moment, names)
        pack.remove_packs(runs, (12, 20), cache)
        if os.WIFEXITED(status):
            break
        moment += 3
    print(moment)
else:
    commit = writer.PackWriter.commit
    def counted(self):
        commit(self)
        with open(kind, "a") as stream:
            stream.write(f"{os.getpid()} {self.pack.key}\\n")
    writer.PackWriter.commit = counted
    decode = committed_images.CommittedImages.decode
    committed_images.CommittedImages.decode = lambda *a: (time.sleep(0.01), decode(*a))[1]
    while time.time() < float(sys.argv[5]):
        time.sleep(0.001)
    pack.open_packs(runs, (12, 20), cache)
"""


def child(samples, *arguments):
    command = [sys.executable, "-c", CHILD, str(samples.root), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_builder_killed_at_any_moment_is_gone_on_from(samples, dataset, cache):
    output, errors = child(samples, dataset, cache, "kill").communicate(timeout=200)
    assert errors == "" and int(output) > 20
    assert_packs_equal(runs_of(dataset), open_packs(runs_of(dataset), SIZE, cache))


def test_two_processes_share_the_work(samples, dataset, cache, tmp_path):
    for number in range(3, 8):
        samples.run(dataset, number, frames=16)
    start = time.time() + 1.5
    both = [child(samples, dataset, cache, tmp_path / "builds", start) for _ in range(2)]
    for running in both:
        _, errors = running.communicate(timeout=60)
        assert running.returncode == 0, errors
        assert all("waiting for process" in line for line in errors.splitlines()), errors
    lines = [line.split() for line in (tmp_path / "builds").read_text().splitlines()]
    assert len(lines) == len({key for _, key in lines}) == 8
    assert len({process for process, _ in lines}) == 2
    assert_only_complete_packs(cache, 8)
    assert_packs_equal(runs_of(dataset), open_packs(runs_of(dataset), SIZE, cache))


@pytest.fixture
def long_run(samples, dataset, monkeypatch):
    """A run that processes decode."""
    samples.run(dataset, 3, frames=160)
    monkeypatch.setattr(workers, "IMAGES_FOR_PROCESSES", 1)
    return runs_of(dataset)[3]


@pytest.fixture
def pools(monkeypatch):
    """The process pools that were started; the work begins when they are ready."""
    pools, start = [], workers.start_process_pool

    def start_and_wait(count):
        pool, started = start(count)
        pools.append(pool)
        concurrent.futures.wait([started])
        return pool, started

    monkeypatch.setattr(workers, "start_process_pool", start_and_wait)
    return pools


def process_ids(pool):
    return [process.pid for process in list(pool._processes.values())]


def has_ended(pid):
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().split()[2] == "Z"
    except OSError:
        return True


def test_processes_and_a_thread_make_the_same_packs(long_run, cache, monkeypatch, pools):
    counts, decoded_here, decode = [], [], committed_images.CommittedImages.decode

    def count_and_decode(images, i, *rest):
        decoded_here.append(i)
        return decode(images, i, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(committed_images.CommittedImages, "decode", count_and_decode)
        packs = open_packs([long_run], SIZE, cache, workers=3, tick=counts.append)
    assert 0 < len(decoded_here) < 160
    assert_packs_equal([long_run], packs)
    assert len(pools) == 1 and sum(counts) == 160
    assert_only_complete_packs(cache, 1)
    assert verify_packs([long_run], SIZE, cache) == []


@pytest.mark.parametrize("frames, count", [(0, 2), (1, 2), (7, 3), (160, 3), (2411, 1), (2411, 64)])
def test_chunks_cover_all_frames_and_shrink(frames, count):
    chunks = list(workers._chunks(frames, count))
    assert [i for first, last in chunks for i in range(first, last)] == list(range(frames))
    sizes = [last - first for first, last in chunks]
    assert sizes == sorted(sizes, reverse=True) and all(size <= 64 for size in sizes)
    assert all(size >= 8 for size in sizes[:-1])


def test_a_slow_first_chunk_does_not_hold_up_ticks(monkeypatch):
    monkeypatch.setattr(workers, "POLL", 0.01)
    ticked = threading.Event()

    def wait_until_a_later_chunk_ends(futures, **_):
        time.sleep(0.001)
        return concurrent.futures._base.DoneAndNotDoneFutures(set(futures), set())

    def task(first, last):
        assert first or ticked.wait(10), "no tick while later chunks end"

    monkeypatch.setattr(workers, "wait", wait_until_a_later_chunk_ends)

    with workers.Workers(2, lambda *_: None, lambda frames: ticked.set(), print) as work:
        work.run(5000, task, lambda first, last, _: None)


def test_few_images_start_no_process(long_run, cache, monkeypatch, pools):
    monkeypatch.setattr(workers, "IMAGES_FOR_PROCESSES", 161)
    assert_packs_equal([long_run], open_packs([long_run], SIZE, cache, workers=3))
    assert pools == []


def test_one_worker_starts_no_process(long_run, cache, pools):
    assert_packs_equal([long_run], open_packs([long_run], SIZE, cache, workers=1))
    assert pools == []


@pytest.mark.parametrize("image", [3, 50], ids=["process", "thread"])
def test_an_error_of_a_worker_is_raised_here(long_run, cache, pools, image):
    damage_image(long_run.path / f"RGB/{image:010}.jpg")
    with pytest.raises(DataError, match=f"{image:010}.jpg: changed since its commit; see dataset.py verify"):
        open_packs([long_run], SIZE, cache, workers=3)
    assert cache_files(cache) == []


def test_a_process_that_cannot_write_is_reported_as_here(long_run, cache, monkeypatch, pools):
    task = writer.PackWriter.task
    monkeypatch.setattr(
        writer.PackWriter, "task", lambda *a: dataclasses.replace(task(*a), file=str(cache / "none/file"))
    )
    with pytest.raises(DataError, match="cannot write: no such file.*check NAV_PKG_CACHE and its rights"):
        open_packs([long_run], SIZE, cache, workers=3)
    assert cache_files(cache) == []


def test_threads_continue_the_work_of_a_killed_process(long_run, cache, monkeypatch, pools):
    lines, killed, decode = Lines(), [], committed_images.CommittedImages.decode

    def kill_and_decode(*args):
        if not killed:  # this process's first image: the processes have just got their first chunks
            killed.extend(process_ids(pools[0]))
            os.kill(killed[0], signal.SIGKILL)
            with pytest.raises(BrokenProcessPool):
                while True:
                    pools[0].submit(os.getpid).result(60)
        return decode(*args)

    with monkeypatch.context() as patch:
        patch.setattr(committed_images.CommittedImages, "decode", kill_and_decode)
        packs = open_packs([long_run], SIZE, cache, workers=3, say=lines)
    assert_packs_equal([long_run], packs)
    assert lines == ["a process that packs images ended (killed, or no memory?); threads continue its work"]
    assert len(killed) == 2 and all(has_ended(pid) for pid in killed)
    assert_only_complete_packs(cache, 1)


@pytest.mark.parametrize("executable", ["/bin/false", "/no/such/file"])
def test_processes_that_cannot_start_are_done_without(long_run, cache, monkeypatch, executable, pools):
    monkeypatch.setattr(multiprocessing.spawn, "_python_exe", os.fsencode(executable))
    assert_packs_equal([long_run], open_packs([long_run], SIZE, cache, workers=3, say=Lines()))


def test_a_stop_ends_the_processes(long_run, cache, pools):
    pids = []

    def tick(frames):
        if frames:
            pids.extend(process_ids(pools[0]))
            raise Stopped

    with pytest.raises(Stopped):
        open_packs([long_run], SIZE, cache, workers=3, tick=tick)
    assert cache_files(cache) == [] and len(pids) == 2 and all(has_ended(pid) for pid in pids)


UNGUARDED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from nav_pkg.data.packs import workers
from nav_pkg.data.packs.pack import open_packs
from nav_pkg.data.reader import Dataset
print("the script begins", flush=True)
workers.IMAGES_FOR_PROCESSES = 1

def tick(frames):
    if frames and len(sys.argv) > 4:
        os.kill(os.getpid(), 9)  # while the processes start

print(len(open_packs(Dataset(sys.argv[2]).runs[3:], (12, 20), sys.argv[3], workers=3, tick=tick)))
"""


def test_the_script_of_the_user_runs_once(samples, long_run, dataset, cache, tmp_path):
    script = tmp_path / "pack_it.py"
    script.write_text(UNGUARDED)
    command = [sys.executable, str(script), str(samples.root), str(dataset), str(cache)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.stdout == "the script begins\n1\n" and ended.returncode == 0, ended


def test_processes_end_after_their_parent_was_killed(samples, long_run, dataset, cache):
    command = [sys.executable, "-c", UNGUARDED, str(samples.root), str(dataset), str(cache), "kill"]
    # their standard output is closed when the last of them has ended
    ended = subprocess.run(command, stdout=subprocess.PIPE, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert_packs_equal([long_run], open_packs([long_run], SIZE, cache))
    assert_only_complete_packs(cache, 1)


def test_the_node_folder_is_this_users_own(tmp_path, monkeypatch):
    monkeypatch.delenv("_CONDOR_SCRATCH_DIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    own = tmp_path / f"nav_pkg-{os.getuid()}"
    assert paths.node_dir() == own / "packs" and paths.node_dir().is_dir()
    assert own.stat().st_mode & 0o777 == 0o700
    assert paths.cache_variable(paths.node_dir()) == "TMPDIR"
    assert paths.cache_variable(paths.cache_dir()) == "NAV_PKG_CACHE"
    os.chmod(own, 0o755)
    assert paths.node_dir().parent.stat().st_mode & 0o777 == 0o700
    (tmp_path / "job").mkdir()
    monkeypatch.setenv("_CONDOR_SCRATCH_DIR", str(tmp_path / "job"))
    assert paths.node_dir() == tmp_path / "job" / own.name / "packs"
    monkeypatch.setenv("_CONDOR_SCRATCH_DIR", str(tmp_path / "no"))
    with pytest.raises(DataError, match="cannot make this folder: no such file.*set TMPDIR"):
        paths.node_dir()


@pytest.mark.parametrize("kind", ["foreign", "link", "file"])
def test_a_node_folder_of_others_is_refused(tmp_path, monkeypatch, kind):
    monkeypatch.delenv("_CONDOR_SCRATCH_DIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    other = os.getuid() + 1
    if kind == "foreign":
        (tmp_path / f"nav_pkg-{other}").mkdir()
        monkeypatch.setattr(os, "getuid", lambda: other)
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / f"nav_pkg-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / f"nav_pkg-{os.getuid()}").write_bytes(b"")
    with pytest.raises(DataError, match="is not a folder of this user's own; remove it, or set TMPDIR"):
        paths.node_dir()


def test_damage_before_the_commit_names_the_image(samples, dataset, cache, monkeypatch):
    with monkeypatch.context() as patch:
        encode = codec.encode_rgb
        patch.setattr(codec, "encode_rgb", lambda *a: encode(*a)[:300])
        samples.run(dataset, 3)
    with pytest.raises(
        DataError, match=r"00003_esatv3/RGB/000000000\d.jpg: no whole JPEG.*dataset.py verify"
    ):
        open_packs(runs_of(dataset), SIZE, cache)
    assert_only_complete_packs(cache, len(cache_files(cache)) // 2)
