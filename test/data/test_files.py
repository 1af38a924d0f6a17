"""Reading small files: whatever stands in a file's place gives one clear line, at once."""

import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nav_pkg import fields
from nav_pkg.core import DataError
from nav_pkg.data import files


def test_what_is_no_file_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    os.mkfifo("fifo")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for name, text in (
            ("fifo", "fifo: cannot read: is a named pipe, not a file"),
            ("folder", "is a folder, not a file"),
            ("socket", "is a socket or device, not a file"),
            ("/dev/zero", "is a device, not a file"),
            ("no", "no such file or directory"),
            ("x" * 300, "file name too long"),
            ("a\0b", "its name is not one that a file can have"),
            ("a\ud800", "its name is not one that a file can have"),
        ):
            with pytest.raises(DataError) as error:
                files.read_small(name, remedy="; see x")
            assert text in str(error.value) and str(error.value).endswith("; see x")
            assert str(error.value).isprintable()
    os.symlink("loop", "loop")
    with pytest.raises(DataError, match="too many levels of symbolic links"):
        files.read_small("loop")


def test_a_file_is_as_large_as_its_reader_allows(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert files.read_small(file, 5) == b"12345"
    with pytest.raises(DataError, match="larger than the 4 bytes"):
        files.read_small(file, 4)
    os.truncate(file, 1 << 40)  # a hole
    with pytest.raises(DataError, match="larger than"):
        files.read_small(file)
    with pytest.raises(DataError, match="larger than the 1,000 bytes"):
        files.read_small("/proc/self/smaps", 1000)  # states no size


def test_text_is_utf8(tmp_path):
    file = tmp_path / "file"
    file.write_bytes("Grün\nblau".encode())
    assert files.read_text(file) == "Grün\nblau"
    file.write_bytes("Grün\n".encode() + b"bl\xe4u")
    with pytest.raises(DataError, match=r"file: line 2: not UTF-8 text \(byte 0xe4\)"):
        files.read_text(file)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'{"a": 1',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 40 + b"}",
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"a": "\xff"}',
        b"\xff\xfe\x00",
        b"5",
        b"[]",
        b"null",
        b'"x"',
    ],
)
def test_json_that_no_file_of_ours_holds(tmp_path, text):
    file = tmp_path / "file.json"
    file.write_bytes(text)
    with pytest.raises(DataError, match=r"file\.json: (not JSON|holds a)"):
        files.read_json(file)


def test_entries_are_what_they_must_be(tmp_path):
    kinds = {
        "name": fields.TEXT.required,
        "frames": fields.whole(0),
        "rate": fields.number(0.1, 100),
        "outcome": fields.one_of(["good", "bad"]),
        "size": fields.either(fields.a_list(fields.whole(1), 2), fields.NOTHING),
        "counts": fields.table(fields.whole(0)),
        "camera": fields.an_object({"width": fields.whole(1).required}),
        "moved": fields.TRUTH,
    }
    file = tmp_path / "file.json"
    good = {"name": "x", "frames": 3, "rate": 10, "outcome": "bad", "size": [4, 5], "counts": {"a": 1}}
    good.update(camera={"width": 3, "lens": "x"}, moved=False, more=[{}])
    file.write_text(files.to_json(good))
    assert files.read_json(file, kinds) == good
    file.write_text(files.to_json({"name": "x", "frames": None}))
    assert files.read_json(file, kinds) == {"name": "x", "frames": None}
    for key, value, text in (
        ("name", None, "name is null; it must be text"),
        ("frames", -1, "frames is -1; it must be a whole number of 0 or more"),
        ("frames", 3.0, "frames is 3.0"),
        ("frames", True, "frames is true"),
        ("rate", {}, "rate is {}; it must be a number from 0.1 to 100"),
        ("rate", 0, "rate is 0"),
        ("outcome", {}, "it must be one of good, bad"),
        ("size", [4], "size is [4]"),
        ("size", "xx", "a list of 2 values, each a whole number of 1 or more or null"),
        ("counts", {"a": "x"}, 'counts is {"a": "x"}'),
        ("camera", {}, "camera is {}"),
        ("moved", 1, "moved is 1; it must be true or false"),
    ):
        file.write_text(files.to_json({**good, key: value}))
        with pytest.raises(DataError) as error:
            files.read_json(file, kinds)
        assert text in str(error.value)
    file.write_text("{}")
    with pytest.raises(DataError, match="name is missing; it must be text"):
        files.read_json(file, kinds)


KILLED = """
import os, sys
from nav_pkg.data import files
with files.temporary(sys.argv[1]) as (beside, descriptor):
    os.write(descriptor, b"half")
    print(beside, flush=True)
    sys.stdin.readline() if len(sys.argv) > 2 else os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_is_swept(tmp_path):
    file = tmp_path / "metrics.jsonl"
    assert subprocess.run([sys.executable, "-c", KILLED, str(file)], capture_output=True).returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".metrics.jsonl.") and left.name.endswith(".tmp")
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(file), "wait"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as living:
        locked = Path(living.stdout.readline().strip())
        # of a number that a living process has again, and others that are not ours to remove
        again = tmp_path / f".config.json.{living.pid}.tmp"
        again.write_text("half")
        film = tmp_path / ".run.gif.12.tmp.gif"
        film.write_text("half")
        victim = tmp_path / "victim"
        victim.write_text("whole")
        (tmp_path / ".link.1.tmp").symlink_to(victim)
        (tmp_path / ".folder.1.tmp").mkdir()
        os.mkfifo(tmp_path / ".fifo.1.tmp")
        (tmp_path / ".metrics.jsonl.tmp").write_text("not ours")
        files.sweep(tmp_path, "run.gif")
        assert not film.exists() and left.exists()
        files.sweep(tmp_path)
        names = {path.name for path in tmp_path.iterdir()}
        kept = {".link.1.tmp", ".folder.1.tmp", ".fifo.1.tmp", ".metrics.jsonl.tmp", "victim"}
        assert names == {locked.name, *kept} and victim.read_text() == "whole"
        living.communicate("\n")
    assert not locked.exists()


def test_a_file_is_written_beside_whatever_lies_there(tmp_path):
    file = tmp_path / "file"
    victim = tmp_path / "victim"
    victim.write_text("whole")
    beside = tmp_path / f".file.{os.getpid()}.tmp"
    beside.symlink_to(victim)
    with pytest.raises(DataError, match="cannot write"):
        files.atomic_write(file, "x")
    assert victim.read_text() == "whole" and not file.exists()
    beside.unlink()
    beside.write_text("of an earlier process with this number, and longer")
    files.atomic_write(file, "x")
    assert file.read_text() == "x" and not beside.exists()


def test_a_file_that_another_thread_writes_is_not_emptied(tmp_path):
    """Two threads have one number, as processes of two hosts may: the second waits for the first."""
    file, opened = tmp_path / "file", threading.Event()

    def second():
        opened.set()
        files.atomic_write(file, "second")

    with files.temporary(file) as (beside, descriptor):
        os.write(descriptor, b"first")
        thread = threading.Thread(target=second)
        thread.start()
        opened.wait(60)
        thread.join(0.2)  # long enough to open the file that is there
        assert beside.read_bytes() == b"first"
        os.replace(beside, file)
    thread.join(60)
    assert file.read_text() == "second"


def test_many_threads_write_one_file(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: files.atomic_write(tmp_path / "file", str(i) * 1000), range(40)))
    text = (tmp_path / "file").read_text()
    assert text in {str(i) * 1000 for i in range(40)} and len(list(tmp_path.iterdir())) == 1
