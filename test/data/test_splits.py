"""The lists of runs to train, validate and test with: every use reads them by one function."""

import os
import shutil

import pytest

from nav_pkg.cli import dataset as command
from nav_pkg.core import DataError
from nav_pkg.data.clean import CleaningLimits, make_dataset, plan_cleaning
from nav_pkg.data.info import dataset_info
from nav_pkg.data.merge import MergedDataset
from nav_pkg.data.reader import Dataset, load_dataset
from nav_pkg.data.statistics import dataset_statistics
from nav_pkg.data.subset import Subset
from nav_pkg.data.verify import verify_dataset
from nav_pkg.learn.batches.loading import Splits


@pytest.fixture(scope="module")
def made(samples, tmp_path_factory):
    """A cleaned dataset of four runs to train on, one to validate and one to test with."""
    root = tmp_path_factory.mktemp("made")
    source = samples.dataset(root / "source", runs=6, frames=3)
    plan = plan_cleaning({"source": Dataset(source)}, CleaningLimits(min_distance=0, min_rgb=1), 1, 1)
    return make_dataset(plan, root / "made", 1)


@pytest.fixture
def cleaned(made, tmp_path):
    return shutil.copytree(made, tmp_path / "data" / "made")


def both(path, text):
    return path.write_text(path.read_text() + text)


def names(path):
    return path.read_text().split()


WRONG = {
    "in train and test": (
        lambda d: both(d / "test_set.txt", names(d / "train_set.txt")[0] + "\n"),
        "is listed in line 1 of train_set.txt already",
    ),
    "twice": (
        lambda d: both(d / "train_set.txt", names(d / "train_set.txt")[1] + "\n"),
        "train_set.txt: line 5: .* is listed in line 2 of train_set.txt already",
    ),
    "missing run": (lambda d: shutil.rmtree(d / names(d / "val_set.txt")[0]), "val_set.txt: line 1: no run"),
    "another run": (lambda d: both(d / "val_set.txt", "00077_esatv3\n"), "line 2: no run '00077_esatv3'"),
    "empty val": (lambda d: (d / "val_set.txt").write_text(""), "val_set.txt: is empty, but"),
    "empty test": (lambda d: (d / "test_set.txt").write_text(" \n\n"), "test_set.txt: is empty, but"),
    "empty train": (lambda d: (d / "train_set.txt").write_text(""), "train_set.txt: no runs to train on"),
    "deleted test": (lambda d: (d / "test_set.txt").unlink(), "test_set.txt: cannot read; clean_dataset"),
    "deleted train": (lambda d: (d / "train_set.txt").unlink(), "train_set.txt: cannot read; clean_dataset"),
    "all deleted": (
        lambda d: [(d / f"{part}_set.txt").unlink() for part in ("train", "val", "test")],
        "train_set.txt: cannot read; clean_dataset",
    ),
    "a path up": (lambda d: both(d / "val_set.txt", "../made/00000_esatv3\n"), "line 2: .* is no run's name"),
    "absolute": (lambda d: both(d / "val_set.txt", f"{d}/00000_esatv3\n"), "line 2: .* is no run's name"),
    "not UTF-8": (lambda d: (d / "val_set.txt").write_bytes(b"\n\xff\n"), "line 2: not UTF-8 text"),
    "too long": (lambda d: both(d / "val_set.txt", f"00000_{'x' * 5000}\n"), "line 2: no run '00000_xx"),
    "a NUL": (lambda d: both(d / "val_set.txt", "00000_esat\0v3\n"), "line 2: .* is no run's name"),
    "a folder": (
        lambda d: ((d / "val_set.txt").unlink(), (d / "val_set.txt").mkdir()),
        "val_set.txt: cannot read: is a folder",
    ),
    "a FIFO": (
        lambda d: ((d / "val_set.txt").unlink(), os.mkfifo(d / "val_set.txt")),
        "val_set.txt: cannot read: is a named pipe",
    ),
    "a link": (
        lambda d: ((d / "val_set.txt").unlink(), (d / "val_set.txt").symlink_to("test_set.txt")),
        "val_set.txt: cannot read: is a symbolic link",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_lists_are_checked_at_every_use(samples, cleaned, what, tmp_path, capsys):
    damage, message = WRONG[what]
    damage(cleaned)
    dataset = Dataset(cleaned)
    for use in (
        dataset.splits,
        lambda: dataset.split("train"),
        lambda: Splits(dataset),
        lambda: Subset(dataset, 3, tmp_path / "subset"),
        lambda: MergedDataset(dataset, [dataset], tmp_path / "merged"),
        lambda: dataset_statistics(dataset),
        lambda: command.main(["pack", str(cleaned)]),
    ):
        with pytest.raises(DataError, match=message) as error:
            use()
        assert str(error.value).isprintable() and len(str(error.value)) < 6000
    assert any(str(cleaned) in line for line in verify_dataset(dataset).problems)
    assert dataset_info(dataset)["damaged"]


def test_lists_may_be_shortened_and_verify_says_so(cleaned):
    train = cleaned / "train_set.txt"
    train.write_text("\n".join(names(train)[:3]))
    dataset = Dataset(cleaned)
    assert [len(runs) for runs in dataset.splits().values()] == [3, 1, 1]
    report = verify_dataset(dataset)
    assert not report.all_problems
    assert (
        "lists 3 runs; the dataset was made with 4" in report.notes[0] and "no list names" in report.notes[1]
    )


def test_an_emptied_list_of_an_older_dataset_is_a_problem(samples, cleaned):
    samples.age(cleaned)
    assert not verify_dataset(Dataset(cleaned)).all_problems
    (cleaned / "test_set.txt").write_text("")
    (problem,) = verify_dataset(Dataset(cleaned)).all_problems
    assert "test_set.txt is empty, while no list names 0000" in problem


def test_a_dataset_may_be_a_link_but_holds_none(cleaned, tmp_path):
    (tmp_path / "data" / "linked").symlink_to(cleaned)
    dataset = load_dataset("linked", tmp_path / "data")
    assert len(dataset.runs) == 6 and not verify_dataset(dataset).all_problems
    run = dataset.runs[0].path
    run.rename(tmp_path / run.name)
    run.symlink_to(tmp_path / run.name)
    for use in (lambda: dataset.runs[0].facts, lambda: Subset(dataset, 3, tmp_path / "s"), dataset.files):
        with pytest.raises(DataError, match="00000_esatv3: is a symbolic link, which a dataset may not hold"):
            use()
    assert any(f"{run}: is a symbolic link" in line for line in verify_dataset(dataset).all_problems)
    run.unlink()
    (tmp_path / run.name).rename(run)
    (run / "RGB").rename(tmp_path / "RGB")
    (run / "RGB").symlink_to(tmp_path / "RGB")
    for use in (lambda: Dataset(cleaned).runs[0].rgb(0), dataset.files):
        with pytest.raises(DataError, match="RGB: is a symbolic link, which a dataset may not hold"):
            use()
    assert any("RGB: is a symbolic link" in line for line in verify_dataset(dataset).all_problems)
    (run / "RGB").unlink()
    (tmp_path / "RGB").rename(run / "RGB")
    (run / "extra.txt").symlink_to("/etc/passwd")
    assert any("no commit lists: extra.txt" in line for line in verify_dataset(dataset).all_problems)
    (run / "extra.txt").unlink()
    (cleaned / "extra.txt").symlink_to("/etc/passwd")
    assert any("extra.txt: is a symbolic link" in line for line in verify_dataset(dataset).all_problems)
    (cleaned / "extra.txt").unlink()
    (cleaned / "notes.txt").write_text("mine")
    report = verify_dataset(dataset)
    assert not report.all_problems and "no part of a dataset: notes.txt" in report.notes[0]
