"""Images that several parts of a split share are named by every command that splits, verifies or trains."""

import shutil

import pytest

from nav_pkg.cli import dataset as command
from nav_pkg.data import clean, overlap
from nav_pkg.data.overlap import RunImages, run_images, warnings
from nav_pkg.data.reader import Dataset
from nav_pkg.data.verify import verify_dataset
from nav_pkg.data.writer import create_dataset

ANY = clean.CleaningLimits(min_distance=0, min_rgb=1)


def write_splits(path, **parts):
    for part in ("train", "val", "test"):
        names = [f"{number:05d}_esatv3" for number in parts.get(part, ())]
        (path / f"{part}_set.txt").write_text("".join(f"{name}\n" for name in names))


def test_counts_by_hand():
    images = [
        RunImages("train", "a", [b"1", b"2", b"3", b"2"]),
        RunImages("train", "b", [b"4", b"5"]),
        RunImages("val", "c", [b"2", b"2", b"5", b"6"]),
        RunImages("test", "d", [b"7"]),
        RunImages("", "e", [b"1", b"6", b"7"]),
    ]
    assert warnings(images) == [
        "3 of the 4 images of the val set are in the train set, too (a and c share 2; b and c share 1), "
        f"so that scores on the val set say too much: {overlap.REMEDY}"
    ]
    assert warnings(images[:2] + images[3:]) == []
    many = [RunImages("val", f"v{i}", [b"1"]) for i in range(6)] + [RunImages("test", "t", [b"8", b"8"])]
    lines = warnings([RunImages("train", "a", [b"1", b"8"]), *many])
    assert "6 of the 6 images of the val set" in lines[0] and "; 3 more pairs of runs)" in lines[0]
    assert "2 of the 2 images of the test set are in the train set" in lines[1] and len(lines) == 2


@pytest.fixture
def repeated(samples, tmp_path):
    """Runs 0 to 2 are of one seed: each repeats the others as far as it goes; run 3 is another."""
    path = create_dataset(tmp_path / "repeated", samples.description)
    for number, frames in enumerate((8, 6, 7)):
        samples.run(path, number, frames, seed=0)
    samples.run(path, 3, 8, seed=3)
    return path


def test_laps_of_one_start_are_named(repeated, tmp_path, capsys):
    write_splits(repeated, train=[0, 3], val=[1], test=[2])
    checked = verify_dataset(Dataset(repeated))
    assert not checked.all_problems
    assert [line.split(" (")[0] for line in checked.warnings] == [
        "6 of the 6 images of the val set are in the train set, too",
        "7 of the 7 images of the test set are in the train set, too",
        "6 of the 7 images of the test set are in the val set, too",
    ]
    assert "00000_esatv3 and 00001_esatv3 share 6" in checked.warnings[0]
    assert "--start varied" in checked.warnings[0]
    assert command.main(["verify", str(repeated)]) == 0
    out = capsys.readouterr().out
    assert out.count("warning: ") == 3 and "4 runs, 0 damaged, 0 problems" in out


def test_different_laps_are_not(samples, tmp_path):
    path = samples.dataset(tmp_path / "d")
    write_splits(path, train=[0], val=[1], test=[2])
    assert verify_dataset(Dataset(path)).warnings == []


def test_one_run_under_two_names(samples, tmp_path):
    path = samples.dataset(tmp_path / "d", runs=2)
    shutil.copytree(path / "00000_esatv3", path / "00002_esatv3")
    write_splits(path, train=[0], val=[1], test=[2])
    (line,) = verify_dataset(Dataset(path)).warnings
    assert "(00000_esatv3 and 00002_esatv3 are one run by their images)" in line


def test_cleaning_names_them_by_their_sources(repeated):
    plan = clean.plan_cleaning({"source": Dataset(repeated)}, ANY, val_len=1, test_len=1)
    parts = {item.run.name: item.part for item in plan.kept}
    assert plan.warnings and len({parts[f"0000{i}_esatv3"] for i in range(3)}) > 1
    assert "source/0000" in plan.warnings[0]


def test_merging_and_subsets_say_so(repeated, samples, tmp_path, capsys):
    base = create_dataset(tmp_path / "base", samples.description)
    for number in (4, 5, 6):
        samples.run(base, number)
    write_splits(base, train=[4], val=[5], test=[6])
    samples.run(repeated, 7, seed=5)  # as the one that base validates on
    root = ["--data_root", str(tmp_path)]
    assert command.main(["merge", "base", "--add", "repeated", "--destination", "m", *root]) == 0
    out = capsys.readouterr().out
    assert "warning: " in out and "8 of the 8 images of the val set are in the train set, too" in out
    assert command.main(["subset", "m", "--frames", "20", *root]) == 0
    capsys.readouterr()
    assert command.main(["merge", "base", "--add", "base", "--destination", "n", *root]) == 0
    assert capsys.readouterr().out.count("warning: ") == 2


def test_a_run_without_sums_is_nobodys_match(samples, tmp_path):
    path = samples.dataset(tmp_path / "d", runs=1)
    (path / "00000_esatv3/sha256sums.txt").unlink()
    assert not run_images(Dataset(path).runs[0], "train").sums
