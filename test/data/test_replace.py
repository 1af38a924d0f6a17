"""Datasets that take another's place: in one step, whatever is killed, and never that of a session."""

import os
import shutil
import signal

import pytest

from nav_pkg import locks
from nav_pkg.cli import clean_dataset
from nav_pkg.cli import dataset as command
from nav_pkg.core import UsageError
from nav_pkg.data import files
from nav_pkg.data.reader import Dataset
from nav_pkg.data.verify import verify_dataset

CLEAN = [
    "--sources",
    "esat",
    "--val_len",
    "1",
    "--test_len",
    "1",
    "--min_rgb",
    "1",
    "--min_distance",
    "0",
    "--owr",
]


def clean(root, *more):
    return clean_dataset.main([*CLEAN, "--destination", "made", *more, "--data_root", str(root)])


def act(root, *words):
    return command.main([*words, "--data_root", str(root)])


def killed_at(moment, name, call):
    """Run something in a child, killed before its call `moment` of a function of os; whether it was."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    left, real = [moment], getattr(os, name)

    def dying(*given, **more):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **more)

    setattr(os, name, dying)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        call()
    finally:
        os._exit(0)


@pytest.mark.parametrize(
    "make", [clean, lambda root: act(root, "gather", "esat", "--destination", "made", "--owr")]
)
def test_a_kill_at_any_rename_leaves_one_of_both(dataset, make, capsys):
    root = dataset.parent
    make(root)
    for moment in range(100):
        killed = killed_at(moment, "rename", lambda: make(root))
        assert not verify_dataset(Dataset(root / "made")).all_problems
        if not killed:
            break
    assert moment
    make(root)
    assert sorted(path.name for path in root.iterdir()) == ["esat", "made"]


def test_where_names_cannot_be_exchanged(dataset, monkeypatch):
    root = dataset.parent
    clean(root)
    monkeypatch.setattr(files, "_exchange", lambda *_: False)
    before = os.stat(root / "made").st_ino
    clean(root)
    assert os.stat(root / "made").st_ino != before and not verify_dataset(Dataset(root / "made")).all_problems
    assert sorted(path.name for path in root.iterdir()) == ["esat", "made"]
    with pytest.raises(OSError):
        files.replace_folder(root / "nothing", root / "made")
    assert not verify_dataset(Dataset(root / "made")).all_problems


def test_a_killed_removal_is_ended_by_the_next(dataset, capsys):
    root = dataset.parent
    shutil.copytree(dataset, root / "other")
    assert killed_at(20, "unlink", lambda: act(root, "remove", "esat", "--yes"))
    left = [path for path in root.iterdir() if path.name.endswith(".removed")]
    assert len(left) == 1 and not dataset.exists()
    lock = os.open(left[0], os.O_RDONLY)
    locks.flock(lock, shared=True)  # as if it were under way
    files.sweep_removed(root)
    assert left[0].exists()
    os.close(lock)
    act(root, "remove", "other", "--yes")
    assert [path.name for path in root.iterdir()] in ([], [".esat.lock"])


@pytest.mark.parametrize(
    "make",
    [
        clean,
        lambda root: clean(root, "--destination", "free", "--move", "--sources", "made"),
        lambda root: act(root, "gather", "esat", "--destination", "made", "--owr"),
        lambda root: act(root, "merge", "split", "--add", "esat", "--destination", "made", "--owr"),
        lambda root: act(root, "subset", "split", "--frames", "5", "--destination", "made", "--owr"),
    ],
)
def test_what_a_session_holds_between_two_runs_is_not_replaced(dataset, samples, make, capsys):
    root = dataset.parent
    clean(root, "--destination", "split")
    shutil.copytree(dataset, root / "made")
    before = samples.tree(root / "made")
    lock = files.lock_folder(root / "made")
    with pytest.raises(UsageError, match="made is in use by a session"):
        make(root)
    assert samples.tree(root / "made") == before
    os.close(lock)
    make(root)


def test_names_that_begin_alike_do_not_stop_each_other(dataset, capsys):
    root = dataset.parent
    (root / ".made.v2.77.new").mkdir()
    lock = os.open(root / ".made.v2.77.new", os.O_RDONLY)
    locks.flock(lock)
    clean(root)
    act(root, "rename", "made", "other")
    assert (root / ".made.v2.77.new").exists()
    os.close(lock)
