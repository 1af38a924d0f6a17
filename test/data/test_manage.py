"""Removing and renaming datasets: whole, never through a link, never under somebody's hands."""

import io
import json
import os
import pty
import subprocess
import sys

import pytest

from nav_pkg.cli import dataset as command
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import files, manage
from nav_pkg.data.links import make_datasets
from nav_pkg.data.reader import Dataset
from nav_pkg.data.subset import Subset
from nav_pkg.data.verify import verify_dataset

from .conftest import ROOT


@pytest.fixture
def run(dataset, tmp_path, capsys):
    """Run an action under the dataset's data root; gives what it printed."""

    def run(*words, root=dataset.parent):
        where = ["--data_root", str(root), "--summary_dir", str(tmp_path / "log")]
        assert command.main([*map(str, words), *where]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def small(dataset):
    """A subset of it."""
    for part, numbers in (("train", (0, 1)), ("val", (2,)), ("test", ())):
        (dataset / f"{part}_set.txt").write_text("".join(f"{n:05d}_esatv3\n" for n in numbers))
    make_datasets([Subset(Dataset(dataset), 3, dataset.with_name("esat_3"))])
    return dataset.with_name("esat_3")


def dag(log, ended, **configuration):
    folder = log / "tiny" / "DAG"
    folder.mkdir(parents=True)
    plan = {"tag": "tiny", "command": "dag_train", "configuration": configuration, "jobs": []}
    (folder / "plan.json").write_text(json.dumps(plan))


def test_removed_with_a_line(dataset, small, run):
    out = run("remove", "esat", "--yes")
    assert f"removed {dataset}: 3 runs, 24 frames" in out
    assert f"note: {small} is a subset of esat; it keeps its own files" in out
    assert not dataset.exists() and not list(dataset.parent.glob(".esat*removed*"))
    assert not verify_dataset(Dataset(small)).all_problems


def test_nobody_is_asked_without_a_terminal(dataset, run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(UsageError, match="3 runs, 24 frames; .* add --yes"):
        run("remove", "esat")
    assert dataset.exists()


@pytest.mark.parametrize("answer", ["esat", "y"])
def test_on_a_terminal_the_exact_name_is_asked_for(dataset, tmp_path, answer):
    user_end, command_end = pty.openpty()
    line = [sys.executable, str(ROOT / "scripts/dataset.py"), "remove", "esat"]
    line += ["--data_root", str(dataset.parent), "--summary_dir", str(tmp_path / "log")]
    os.write(user_end, f"{answer}\n".encode())
    done = subprocess.run(line, stdin=command_end, capture_output=True, text=True, timeout=120)
    assert dataset.exists() == (answer != "esat")
    assert done.returncode == (0 if answer == "esat" else 2), done.stderr
    assert answer == "esat" or "not removed" in done.stderr
    os.close(user_end)
    os.close(command_end)


def test_links_are_not_followed(dataset, run, tmp_path):
    root, outside = dataset.parent, tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.txt").write_text("mine")
    (dataset / "away").symlink_to(outside)
    (root / "link").symlink_to(dataset)
    (root / "folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    dataset.rename(tmp_path / "elsewhere/esat")
    for action in (("remove", "folder/esat", "--yes"), ("rename", "folder/esat", "new")):
        with pytest.raises(UsageError, match="reached through a link"):
            run(*action)
    (tmp_path / "elsewhere/esat").rename(dataset)
    for action in (("remove", "link", "--yes"), ("rename", "link", "new")):
        with pytest.raises(UsageError, match="is a link to"):
            run(*action)
    with pytest.raises(UsageError, match="lies behind a link"):
        run("rename", "esat", "folder/new")
    run("rename", "esat", "new")
    run("remove", "new", "--yes")
    assert (outside / "mine.txt").read_text() == "mine" and not (root / "new").exists()


def test_a_data_root_that_is_a_link_serves(dataset, run, tmp_path):
    (tmp_path / "root").symlink_to(dataset.parent)
    run("rename", "esat", "new", root=tmp_path / "root")
    assert Dataset(dataset.with_name("new")).runs


@pytest.mark.parametrize("action", [("remove", "esat", "--yes"), ("rename", "esat", "new")])
def test_not_while_somebody_works_in_it(dataset, samples, run, action):
    lock = files.lock_folder(dataset)  # as a session does
    with pytest.raises(UsageError, match="esat is in use by a session"):
        run(*action)
    os.close(lock)
    writer = samples.writer(dataset, "00007_esatv3")
    with pytest.raises(DataError, match="00007_esatv3.partial: another process is writing"):
        run(*action)
    writer.abort()
    making = dataset.with_name(".esat.links")
    making.mkdir()
    partial_lock = manage.lock_partial(making)
    with pytest.raises(DataError, match="another process"):
        run(*action)
    os.close(partial_lock)
    assert len(Dataset(dataset).runs) == 3
    run(*action)
    assert not dataset.exists()


def test_renamed_as_a_whole_and_its_subsets_are_told(dataset, small, run, samples):
    before = samples.tree(dataset)
    out = run("rename", "esat", "sub/mine")
    new = dataset.parent / "sub/mine"
    assert f"{dataset} is now {new}" in out and not dataset.exists()
    assert samples.tree(new) == before
    assert Dataset(small).description["subset_of"]["dataset"] == "mine"
    for path in (new, small):
        assert not verify_dataset(Dataset(path)).all_problems


def test_a_rename_that_was_cut_off_is_finished(dataset, small, run, monkeypatch):
    def fails(*_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(manage.os, "rename", fails)
        with pytest.raises(DataError, match="input/output error"):
            run("rename", "esat", "mine")
    assert dataset.exists()
    run("rename", "esat", "mine")
    assert Dataset(small).description["subset_of"]["dataset"] == "mine"


def test_checksums_stay_true(dataset, small, run):
    """What was changed by hand is not sealed anew, what bears no checksum gets none."""
    file = small / "dataset.json"
    whole = file.read_text()
    file.write_text(whole.replace('"frames": 3', '"frames": 4'))
    before = file.read_text()
    run("rename", "esat", "mine")
    assert file.read_text() == before != whole
    plain = {**json.loads(whole), "format": 1}
    del plain["sha256"]
    plain["subset_of"]["dataset"] = "mine"
    file.write_text(json.dumps(plain))
    run("rename", "mine", "esat")
    description = json.loads(file.read_text())
    assert (
        description["subset_of"]["dataset"] == "esat"
        and description["format"] == 1
        and "sha256" not in description
    )


def test_of_two_datasets_of_one_name_no_subset_is_told(dataset, small, samples, run):
    samples.dataset(dataset.parent / "other" / "esat", 1)
    run("rename", "esat", "mine")
    assert Dataset(small).description["subset_of"]["dataset"] == "esat"


def test_names_that_can_not_be(dataset, small, run):
    (dataset.parent / "file").write_text("x")
    (dataset.parent / "empty").mkdir()
    for name in ("esat_3", "file", "empty", "esat"):
        with pytest.raises(UsageError, match="exists; choose another name"):
            run("rename", "esat", name)
    for name in ("esat_3/in", "esat/in"):
        with pytest.raises(UsageError, match="lies in the dataset"):
            run("rename", "esat", name)
    for name in ("../x", "/x", "a/../b", ".x", ""):
        with pytest.raises(UsageError, match="is not a name"):
            run("rename", "esat", name)
    with pytest.raises(DataError, match="no such dataset.*did you mean 'esat'"):
        run("remove", "esatt", "--yes")
    with pytest.raises(DataError, match="dataset.json"):
        run("remove", "empty", "--yes")
    (dataset / "inner").mkdir()
    (dataset / "inner/dataset.json").write_text("{}")
    with pytest.raises(UsageError, match="holds another dataset"):
        run("remove", "esat", "--yes")
    assert (dataset.parent / "empty").exists() and Dataset(dataset).runs


def test_dags_that_name_it_are_said(dataset, run, tmp_path):
    dag(tmp_path / "log", False, dataset="esat")
    out = run("rename", "esat", "mine")
    assert "note: the DAG tiny" in out and "has not ended, and may need it" in out
    assert "DAG" not in run("rename", "mine", "other")


def test_a_damaged_one_can_be_removed(dataset, run):
    (dataset / "00001_esatv3/run.json").write_text("{")
    out = run("remove", "esat", "--yes")
    assert "removed" in out and not dataset.exists()


def test_the_actions_are_explained(capsys):
    with pytest.raises(SystemExit):
        command.main(["--help"])
    out = capsys.readouterr().out
    for action in command.ACTIONS:
        line = next(line for line in out.splitlines() if line.startswith(f"  {action} "))
        assert len(line.split()) > 5, line
