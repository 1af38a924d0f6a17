"""Samples out of packs, and their way to the device."""

import json
import os

import numpy as np
import pytest
import torch

from nav_pkg.core import DataError
from nav_pkg.data import commit
from nav_pkg.data.reader import load_dataset
from nav_pkg.data.resize import decode_resized
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches import samples as module
from nav_pkg.learn.batches.loading import Splits, load_samples, warnings
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.batches.samples import BatchLoader, Samples


def make_samples(*lengths, subsample=1, size=2):
    """Samples whose images hold their own frame's number."""
    count = sum(lengths)
    images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, size, size, 3))
    parts = np.split(np.ascontiguousarray(images), np.cumsum(lengths)[:-1])
    return Samples(parts, np.split(np.arange(count) / 100, np.cumsum(lengths)[:-1]), subsample=subsample)


def test_images_and_labels_are_those_of_the_dataset(data_root):
    runs = load_dataset("easy", data_root).split("train")
    samples = load_samples(runs, Preprocessing((16, 16)), subsample=4)
    assert len(samples) == 3 * 23  # rows 0, 4, ..., 88 of 90
    assert samples.frames[24] == 90 + 4
    assert samples.yaw[94] == runs[1].frames.expert_yaw[4]
    out = np.empty((2, 16, 16, 3), np.uint8)
    samples.gather(np.array([94, 0]), out)
    for got, run, row in ((out[0], runs[1], 4), (out[1], runs[0], 0)):
        assert (got == decode_resized(run.images.read(run.frames.rgb[row]), (16, 16))).all()


def test_the_past_of_a_frame_stays_in_its_run():
    samples = make_samples(5, 4)
    assert samples.recent(np.array([0, 1, 4, 5, 6, 8]), 3).tolist() == [
        [0, 0, 0],  # a run's first frame stands for those before it
        [0, 0, 1],
        [2, 3, 4],
        [5, 5, 5],
        [5, 5, 6],
        [6, 7, 8],
    ]
    # subsampling picks the frames that are learned, not the past that they have
    few = make_samples(5, 4, subsample=2)
    assert few.frames.tolist() == [0, 2, 4, 5, 7]
    assert few.recent(few.frames[[2, 4]], 2).tolist() == [[3, 4], [6, 7]]


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("ahead", [False, True])
def test_what_arrives_is_what_was_asked_for(resident, ahead):
    feeder = BatchLoader(make_samples(5, 4), "cpu", resident=resident, ahead=ahead)
    orders = [[0, 8], [3, 3], [5, 1], [7], [2, 4, 6]]
    for order, next_frames in zip(orders, [orders[1], [1, 1], orders[3], None, orders[0]]):
        later = None if next_frames is None else np.array(next_frames)
        pixels = feeder(np.array(order), later)
        assert pixels.shape == (len(order), 2, 2, 3) and pixels.dtype == torch.uint8
        assert pixels[:, 0, 0, 0].tolist() == order
    feeder.close()


def test_a_batch_stays_until_the_next_but_one():
    feeder = BatchLoader(make_samples(9), "cpu", ahead=True)
    first = feeder(np.array([1, 2]), np.array([3, 4]))
    feeder.forget()
    assert first[:, 0, 0, 0].tolist() == [1, 2]
    feeder.close()


def test_images_of_a_memory_map_are_read_and_not_mapped(tmp_path):
    array = np.random.RandomState(0).randint(0, 256, (9, 4, 5, 3)).astype(np.uint8)
    np.save(tmp_path / "pack.npy", array)
    mapped = np.load(tmp_path / "pack.npy", mmap_mode="r")
    samples = Samples([array[:2], mapped], [np.zeros(2), np.zeros(9)])
    out = np.empty((3, 4, 5, 3), np.uint8)
    samples.gather(np.array([10, 1, 2]), out)
    assert (out == array[[8, 1, 0]]).all()
    Samples([mapped[3:]], [np.zeros(6)]).gather(np.array([0, 5, 1]), out)
    assert (out == array[[3, 8, 4]]).all()
    samples.gather(np.array([10, 1, 2]), out)
    assert len([file for file in samples._files if file is not None]) == 1
    assert all((a == b).all() for a, b in zip(samples.in_memory().images, (array[:2], array)))
    with open(tmp_path / "pack.npy", "r+b") as file:
        file.truncate(300)
    with pytest.raises(DataError, match="pack.npy: was cut while it was in use; run the same command"):
        samples.gather(np.array([10, 1, 2]), out)
    opened = [file for file in samples._files if file is not None]
    del samples
    with pytest.raises(OSError):
        os.fstat(opened[0])


def test_in_memory():
    samples = make_samples(5, 4, subsample=2)
    ticks = []
    copied = samples.in_memory(ticks.append)
    assert sum(ticks) == 9 and copied.frames.tolist() == samples.frames.tolist()
    assert (copied.yaw == samples.yaw).all() and (copied.starts == samples.starts).all()
    assert all((a == b).all() and a is not b for a, b in zip(copied.images, samples.images))


def test_a_set_larger_than_memory_is_refused(monkeypatch):
    monkeypatch.setattr(module, "available_memory", lambda: 100)
    with pytest.raises(DataError, match="--load_data_in_ram: 9 frames take .*: leave it out"):
        make_samples(9).in_memory()


def test_labels_that_are_no_numbers_are_named(data_root):
    run = load_dataset("easy", data_root).split("val")[0]
    with pytest.raises(DataError, match="frames.csv: frame 0: learner_yaw is nan: leave the run out"):
        load_samples([run], Preprocessing((16, 16)), source="learner")


def test_what_is_wrong_with_a_dataset(tmp_path, write_dataset, data_root):
    dataset = load_dataset(write_dataset(tmp_path, runs=1, frames=5))
    (dataset.path / "val_set.txt").write_text("")
    with pytest.raises(DataError, match="val_set.txt: no runs to validate on: clean_dataset.py"):
        Splits(dataset)
    (dataset.path / "val_set.txt").write_text("00001_esatv3\n")
    facts = Splits(dataset).facts
    assert facts["camera"] == [64, 36] and facts["name"] == "easy" and len(facts["hash"]) == 64
    run = dataset.path / "00001_esatv3" / "run.json"
    facts = json.loads(run.read_text())
    run.write_bytes(commit.json_with_checksum({**facts, "sensors": {**facts["sensors"], "rgb": [36, 48]}}))
    with pytest.raises(DataError, match="00001_esatv3: its camera gives 48x36, that of 00000_esatv3 64x36"):
        Splits(load_dataset(dataset.path))
    run.write_bytes(commit.json_with_checksum({**facts, "sensors": {**facts["sensors"], "rgb": None}}))
    with pytest.raises(DataError, match="00001_esatv3: has no colour images"):
        Splits(load_dataset(dataset.path))


def test_warnings_about_classes_and_statistics():
    grey = make_samples(5, 4)
    space = ActionSpace()
    assert warnings(grey, space, Preprocessing((2, 2))) == [
        f"the training set has no frame of class {name!r}, which will never be learned"
        for name in ("right", "left")
    ]
    continuous = ActionSpace(discrete=False)
    assert warnings(grey, continuous, Preprocessing((2, 2), "shifted")) == []
    lines = warnings(grey, continuous, Preprocessing((2, 2), "scaled"))
    assert len(lines) == 2
    assert lines[0].startswith("--scale_means 0.5 0.46 0.42: the training set's own are 0.0157 0.0157 0.0157")
    own = float(np.arange(9).std() / 255)
    right = Preprocessing((2, 2), "scaled", (4 / 255,) * 3, (own,) * 3)
    assert warnings(grey, continuous, right) == []
