"""The order of samples, and reading them."""

import numpy as np
import pytest

from nav_pkg.core import DataError, UsageError
from nav_pkg.data.reader import load_dataset
from nav_pkg.learn import batches
from nav_pkg.learn.batches import BalancedOrder, Samples, ShuffledOrder, read_samples
from nav_pkg.learn.preprocess import Preprocessing


def test_order_is_a_pure_function_of_seed_episode_and_step():
    first, again = ShuffledOrder(1000, 32, 5), ShuffledOrder(1000, 32, 5)
    assert first.steps == 31
    straight = [first.indices(episode, step) for episode in (0, 1) for step in range(31)]
    backwards = [again.indices(episode, step) for episode in (1, 0) for step in reversed(range(31))][::-1]
    assert all((a == b).all() for a, b in zip(straight, backwards))
    assert (ShuffledOrder(1000, 32, 6).indices(0, 0) != straight[0]).any()
    # NumPy promises this stream for ever; a change would change every result
    assert ShuffledOrder(10, 5, 123).indices(0, 0).tolist() == [4, 8, 1, 2, 3]


def test_an_episode_repeats_no_frame_and_has_at_most_100_batches():
    order = ShuffledOrder(1000, 32, 5)
    seen = np.concatenate([order.indices(3, step) for step in range(order.steps)])
    assert len(set(seen.tolist())) == len(seen) == 992
    assert ShuffledOrder(100_000, 32, 5).steps == 100


def test_balanced_batches_by_hand():
    yaw = np.array([0.0] * 60 + [0.3] * 3 + [0.9] * 4 + [-0.31] * 20)  # 0.3 is still straight
    order = BalancedOrder(yaw, 10, 1)
    assert order.steps == 8
    for episode in (0, 1):
        drawn = [order.indices(episode, step) for step in range(8)]
        for step, frames in enumerate(drawn):
            counts = [
                (yaw[frames] < -0.3).sum(),
                (np.abs(yaw[frames]) <= 0.3).sum(),
                (yaw[frames] > 0.3).sum(),
            ]
            expected = [3, 3, 3]
            expected[step % 3] += 1  # the tenth place goes round
            assert counts == expected
        left = [frame for frames in drawn for frame in frames if yaw[frame] > 0.3]
        # each of the four before any comes again
        assert set(left[:4]) == set(left[4:8]) == {63, 64, 65, 66}
    assert (BalancedOrder(yaw, 10, 1).indices(1, 4) == order.indices(1, 4)).all()


def test_impossible_batches_are_refused():
    with pytest.raises(UsageError, match="--batch_size 65: the training set has only 64"):
        ShuffledOrder(64, 65, 0)
    with pytest.raises(UsageError, match="no frame of class 'left'"):
        BalancedOrder(np.array([0.0, -0.9, 0.0]), 3, 0)
    with pytest.raises(UsageError, match="--batch_size 2 is too small"):
        BalancedOrder(np.array([0.0, -0.9, 0.9]), 2, 0)


def test_reading(data_root):
    runs = load_dataset("easy", data_root).split("train")
    preprocessing = Preprocessing((16, 16))
    ticks = []
    samples = read_samples(runs, preprocessing, subsample=4, threads=2, tick=ticks.append)
    assert len(samples) == sum(ticks) == 3 * 23  # rows 0, 4, ..., 88 of 90
    assert samples.images.shape == (69, 3, 16, 16)
    assert (samples.images[24] == preprocessing.resize(runs[1].rgb(4)).transpose(2, 0, 1)).all()
    assert samples.yaw[24] == runs[1].frames.expert_yaw[4]


def test_gather_writes_into_a_buffer():
    samples = Samples(np.arange(5 * 3 * 2 * 2, dtype=np.uint8).reshape(5, 3, 2, 2), np.zeros(5))
    out = np.zeros((2, 3, 2, 2), np.uint8)
    assert samples.gather(np.array([4, 1]), out) is out
    assert (out == samples.images[[4, 1]]).all()


def test_a_set_larger_than_memory_is_refused(data_root, monkeypatch):
    monkeypatch.setattr(batches, "available_memory", lambda: 1000)
    runs = load_dataset("easy", data_root).split("val")
    with pytest.raises(DataError, match="90 frames take .* --subsample"):
        read_samples(runs, Preprocessing((128, 128)))
