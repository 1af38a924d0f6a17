"""Images to inputs: by hand, and the same in training and in flight."""

import numpy as np
import pytest
import torch

from nav_pkg.core import DataError, UsageError
from nav_pkg.data.reader import load_dataset
from nav_pkg.learn.batches import read_samples
from nav_pkg.learn.preprocess import Preprocessing

MODES = {
    "none": {},
    "shifted": {"shifted_input": True},
    "scaled": {"scaled_input": True, "scale_means": [0.5, 0.4, 0.3], "scale_stds": [0.2, 0.25, 0.5]},
}


def test_normalise_by_hand():
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).repeat(3, 1).reshape(1, 3, 1, 3)
    made = {name: Preprocessing.from_flags((1, 3), **flags) for name, flags in MODES.items()}
    plain = [0, 0.2, 1]
    for channel in range(3):
        for name, expected in (
            ("none", plain),
            ("shifted", [x - 0.5 for x in plain]),
            ("scaled", [(x - (0.5, 0.4, 0.3)[channel]) / (0.2, 0.25, 0.5)[channel] for x in plain]),
        ):
            got = made[name].normalise(pixels)[0, channel, 0]
            assert got.tolist() == pytest.approx(expected, abs=1e-6)


def test_resize_means_over_what_it_covers():
    preprocessing = Preprocessing((2, 2))
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, 4:, 1] = 200
    small = preprocessing.resize(image)
    assert small.shape == (2, 2, 3) and small.dtype == np.uint8
    assert (small[..., [0, 2]] == 0).all()
    assert (small[:, 0, 1] < 30).all() and (small[:, 1, 1] > 170).all()
    flat = np.full((360, 640, 3), 77, np.uint8)
    assert (Preprocessing((128, 128)).resize(flat) == 77).all()
    same = np.zeros((2, 2, 3), np.uint8)
    assert preprocessing.resize(same) is same


def test_resize_takes_views():
    image = np.random.RandomState(0).randint(0, 256, (20, 30, 3)).astype(np.uint8)
    preprocessing = Preprocessing((8, 8))
    assert (preprocessing.resize(image[:, ::-1]) == preprocessing.resize(image[:, ::-1].copy())).all()


@pytest.mark.parametrize("mode", MODES)
def test_training_and_flight_see_exactly_the_same(data_root, mode):
    run = load_dataset("easy", data_root).split("val")[0]
    preprocessing = Preprocessing.from_flags((128, 128), **MODES[mode])
    samples = read_samples([run], preprocessing, threads=2)
    rows = np.array([0, 3, 40, 89])
    flown = Preprocessing.from_state(preprocessing.state())
    buffer = torch.empty(len(rows), 3, 128, 128)
    trained = preprocessing.normalise(torch.from_numpy(samples.gather(rows)), out=buffer)
    for i, row in enumerate(rows):
        assert torch.equal(trained[i : i + 1], flown.input(run.rgb(row)))


def test_conflicting_flags_are_refused():
    with pytest.raises(UsageError, match="exclude each other"):
        Preprocessing.from_flags((8, 8), shifted_input=True, scaled_input=True)
    with pytest.raises(UsageError, match="no effect without --scaled_input"):
        Preprocessing.from_flags((8, 8), scale_means=[0, 0, 0])
    with pytest.raises(UsageError, match="--scale_stds"):
        Preprocessing.from_flags((8, 8), scaled_input=True, scale_stds=[1, 0, 1])


def test_what_is_no_image_is_refused():
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(DataError, match="uint8"):
            Preprocessing((2, 2)).resize(wrong)
    with pytest.raises(DataError, match="preprocessing"):
        Preprocessing.from_state({"size": [1, 2], "mode": "odd", "means": [0] * 3, "stds": [1] * 3})
