"""One recording out of the shards of a session."""

import pytest

from nav_pkg.cli import clean_dataset, dataset
from nav_pkg.core import DataError
from nav_pkg.data.reader import load_dataset
from nav_pkg.data.writer import create_dataset


def shards(samples, root, *numbers):
    for shard, runs in enumerate(numbers):
        create_dataset(root / "recorders" / f"r{shard}", samples.description)
        for number in runs:
            samples.run(root / "recorders" / f"r{shard}", number, 5)


def test_what_is_gathered_has_the_bytes_of_one_session(samples, tmp_path):
    shards(samples, tmp_path, (0, 2), (1, 3))
    whole = create_dataset(tmp_path / "whole", samples.description)
    for number in range(4):
        samples.run(whole, number, 5)
    line = ["gather", "recorders/r0", "recorders/r1", "--destination", "made", "--data_root", str(tmp_path)]
    assert dataset.main(line) == 0
    assert samples.tree(tmp_path / "made") == samples.tree(whole)
    assert (tmp_path / "recorders" / "r0" / "00000_esatv3" / "run.json").stat().st_nlink == 2
    assert dataset.main([*line, "--owr"]) == 0  # a job that is tried again
    assert samples.tree(tmp_path / "made") == samples.tree(whole)
    assert load_dataset("made", tmp_path).content_hash() == load_dataset("whole", tmp_path).content_hash()


@pytest.mark.parametrize(
    "numbers, text", [(((0,), (0,)), "has the same name"), (((), ()), "no runs in 2 recordings")]
)
def test_what_cannot_be_gathered(samples, tmp_path, numbers, text):
    shards(samples, tmp_path, *numbers)
    line = ["gather", "recorders/r0", "recorders/r1", "--destination", "made", "--data_root", str(tmp_path)]
    with pytest.raises(DataError, match=text):
        dataset.main(line)
    assert not (tmp_path / "made").exists()


def test_recordings_of_different_cameras_are_kept_apart(samples, tmp_path):
    shards(samples, tmp_path, (0,))
    other = create_dataset(tmp_path / "other", {**samples.description, "camera": {"width": 1, "height": 1}})
    samples.run(other, 1, 5)
    line = ["gather", "recorders/r0", "other", "--destination", "made", "--data_root", str(tmp_path)]
    with pytest.raises(DataError, match="another robot or camera"):
        dataset.main(line)


def test_cleaning_takes_datasets_by_name(samples, tmp_path, capsys):
    for name in ("a", "ab"):
        samples.dataset(tmp_path / name, runs=2, frames=5)
    line = ["--data_root", str(tmp_path), "--min_rgb", "1", "--min_distance", "0", "--destination", "made"]
    assert clean_dataset.main([*line, "--sources", "a"]) == 0
    assert len(load_dataset("made", tmp_path).runs) == 2
    with pytest.raises(DataError, match="nowhere: no such dataset"):
        clean_dataset.main([*line, "--owr", "--sources", "a", "nowhere"])
