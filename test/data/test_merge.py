"""A dataset and further runs to train on."""

import json

import pytest

from nav_pkg.core import DataError, UsageError
from nav_pkg.data.format import MERGED_FROM
from nav_pkg.data.links import make_datasets
from nav_pkg.data.merge import MergedDataset
from nav_pkg.data.packs.pack import open_packs
from nav_pkg.data.reader import Dataset
from nav_pkg.data.verify import verify_dataset
from nav_pkg.data.writer import create_dataset


@pytest.fixture
def base(samples, tmp_path):
    path = create_dataset(tmp_path / "base", samples.description)
    for number, frames in enumerate((8, 6, 7)):
        samples.run(path, number, frames)
    for part, number in (("train", 0), ("val", 1), ("test", 2)):
        (path / f"{part}_set.txt").write_text(f"{number:05d}_esatv3\n")
    return Dataset(path)


def flown(samples, tmp_path, name, outcomes, description=None):
    path = create_dataset(tmp_path / name, description or samples.description)
    for number, outcome in enumerate(outcomes):
        samples.run(path, number, 5 + number, outcome=outcome)
    return Dataset(path)


def test_added_runs_are_trained_on(samples, base, tmp_path):
    first = flown(samples, tmp_path, "one", ["success", "collision"])
    second = flown(samples, tmp_path, "two", ["timeout", "aborted"])
    merge = MergedDataset(base, [first, second], tmp_path / "merged")
    make_datasets([merge])
    merged = Dataset(tmp_path / "merged")
    names = {part: [run.name for run in merged.split(part)] for part in ("train", "val", "test")}
    assert names == {
        "train": ["00000_esatv3", "00003_esatv3", "00004_esatv3", "00005_esatv3"],
        "val": ["00001_esatv3"],
        "test": ["00002_esatv3"],
    }
    assert merge.training_frames == 8 + 5 + 6 + 5
    assert not verify_dataset(merged).all_problems
    assert merged.description[MERGED_FROM] == ["base", "one", "two"]
    added = merged.split("train")[2]
    assert added.facts["outcome"] == "collision"
    assert json.loads((added.path / "run.json").read_text())["name"] == "00004_esatv3"
    assert (added.path / "frames.csv").read_bytes() == (
        first.path / "00001_esatv3" / "frames.csv"
    ).read_bytes()
    # the same files, and so the same packs
    image = sorted((added.path / "RGB").iterdir())[0]
    assert image.samefile(first.path / "00001_esatv3" / "RGB" / image.name)
    cache = tmp_path / "cache"
    list(open_packs(first.runs, (16, 16), cache))
    packs = [path for path in sorted(cache.rglob("*")) if "seen" not in path.parts]
    list(open_packs([added], (16, 16), cache))
    assert [path for path in sorted(cache.rglob("*")) if "seen" not in path.parts] == packs


def test_bad_input(samples, base, tmp_path):
    other = flown(samples, tmp_path, "other", ["success"])
    samples.edit(other.path / "00000_esatv3", sensors={"rgb": [9, 17]})
    with pytest.raises(DataError, match="has a camera of 17x9"):
        MergedDataset(base, [Dataset(other.path)], tmp_path / "merged")
    with pytest.raises(DataError, match="no run that is neither aborted nor sim_failure"):
        MergedDataset(base, [flown(samples, tmp_path, "void", ["aborted"])], tmp_path / "merged")
    with pytest.raises(UsageError, match="is the dataset itself"):
        make_datasets([MergedDataset(base, [base], base.path)])
