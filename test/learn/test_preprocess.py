"""Images to inputs: by hand, and the same in training and in flight."""

import numpy as np
import pytest
import torch

from nav_pkg.core import DataError, UsageError
from nav_pkg.data.reader import load_dataset
from nav_pkg.learn.batches.loading import load_samples
from nav_pkg.learn.batches.preprocess import Preprocessing

MODES = {
    "none": {},
    "shifted": {"shifted_input": True},
    "scaled": {"scaled_input": True, "scale_means": [0.5, 0.4, 0.3], "scale_stds": [0.2, 0.25, 0.5]},
}


def test_normalise_by_hand():
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8)[:, None].repeat(1, 3).reshape(1, 1, 3, 3)
    by_mode = {name: Preprocessing.from_flags((1, 3), **flags) for name, flags in MODES.items()}
    plain = [0, 0.2, 1]
    for channel in range(3):
        for name, expected in (
            ("none", plain),
            ("shifted", [x - 0.5 for x in plain]),
            ("scaled", [(x - (0.5, 0.4, 0.3)[channel]) / (0.2, 0.25, 0.5)[channel] for x in plain]),
        ):
            got = by_mode[name].normalise(pixels)[0, channel, 0]
            assert got.tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_an_image_is_the_same_alone_in_a_batch_and_in_memory_that_was_used(mode, kind):
    pixels = torch.from_numpy(np.random.RandomState(0).randint(0, 256, (19, 8, 6, 3)).astype(np.uint8))
    preprocessing = Preprocessing.from_flags((8, 6), **MODES[mode])
    buffer = torch.full((19, 3, 8, 6), 7.0, dtype=kind).contiguous(memory_format=torch.channels_last)
    batch = preprocessing.normalise(pixels, out=buffer)
    assert batch is buffer and batch.shape == (19, 3, 8, 6)
    for i in range(19):
        assert torch.equal(batch[i : i + 1], preprocessing.normalise(pixels[i : i + 1]).to(kind))


@pytest.mark.parametrize("mode", MODES)
def test_training_and_flight_see_the_same(data_root, mode):
    run = load_dataset("easy", data_root).split("val")[0]
    preprocessing = Preprocessing.from_flags((128, 128), **MODES[mode])
    samples = load_samples([run], preprocessing)
    rows = np.array([0, 3, 40, 89])
    flown = Preprocessing.from_state(preprocessing.state())
    pixels = np.empty((len(rows), 128, 128, 3), np.uint8)
    samples.gather(rows, pixels)
    trained = preprocessing.normalise(torch.from_numpy(pixels))
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
