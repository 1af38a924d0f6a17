"""The order of samples, windows and runs: pure functions that skip nothing and cross no border."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nav_pkg.core import UsageError
from nav_pkg.learn.batches.batch_sampler import (
    BalancedSampler,
    RandomWindowSampler,
    ShuffledSampler,
    SlidingWindowSampler,
    WholeRunSampler,
)
from nav_pkg.learn.batches.samples import Samples


def samples(*lengths):
    images = [np.zeros((n, 1, 1, 3), np.uint8) for n in lengths]
    return Samples(images, [np.zeros(n) for n in lengths], [f"{i:05d}_esatv3" for i in range(len(lengths))])


def test_order_is_a_pure_function_of_seed_episode_and_step():
    first, again = ShuffledSampler(1000, 32, 5), ShuffledSampler(1000, 32, 5)
    assert first.steps == 31
    straight = [first.indices(episode, step) for episode in (0, 1) for step in range(31)]
    backwards = [again.indices(episode, step) for episode in (1, 0) for step in reversed(range(31))][::-1]
    assert all((a == b).all() for a, b in zip(straight, backwards))
    assert (ShuffledSampler(1000, 32, 6).indices(0, 0) != straight[0]).any()
    # NumPy promises this stream for ever; a change would change every result
    assert ShuffledSampler(10, 5, 123).indices(0, 0).tolist() == [4, 8, 1, 2, 3]


def test_an_episode_repeats_no_frame_and_has_at_most_100_batches():
    order = ShuffledSampler(1000, 32, 5)
    drawn = np.concatenate([order.indices(3, step) for step in range(order.steps)])
    assert len(set(drawn.tolist())) == len(drawn) == 992
    assert ShuffledSampler(100_000, 32, 5).steps == 100


def test_balanced_batches_by_hand():
    yaw = np.array([0.0] * 60 + [0.3] * 3 + [0.9] * 4 + [-0.31] * 20)  # 0.3 is still straight
    order = BalancedSampler(yaw, 10, 1)
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
    assert (BalancedSampler(yaw, 10, 1).indices(1, 4) == order.indices(1, 4)).all()


def test_impossible_batches_are_refused():
    with pytest.raises(UsageError, match="--batch_size 65: the training set has only 64 frames"):
        ShuffledSampler(64, 65, 0)
    with pytest.raises(UsageError, match="no frame of class 'left'"):
        BalancedSampler(np.array([0.0, -0.9, 0.0]), 3, 0)
    with pytest.raises(UsageError, match="--batch_size 2 is too small"):
        BalancedSampler(np.array([0.0, -0.9, 0.9]), 2, 0)
    runs = samples(30, 21, 50)
    with pytest.raises(UsageError, match="--batch_size 4: the training set has only 3 runs"):
        WholeRunSampler(runs, 4, 0)
    with pytest.raises(
        UsageError, match="cut into 12 parts .* shortest has 7 frames, less than --time_length 10"
    ):
        SlidingWindowSampler(runs, 12, 10, 1, 0)
    with pytest.raises(UsageError, match="--batch_size 999: the training set has only 74 windows of 10"):
        RandomWindowSampler(runs, 999, 10, 0)
    for make in (
        lambda: RandomWindowSampler(runs, 1, 22, 0),
        lambda: SlidingWindowSampler(runs, 1, 22, 1, 0),
    ):
        with pytest.raises(UsageError, match="--time_length 22: the shortest.*00001_esatv3, has only 21"):
            make()
    with pytest.raises(UsageError, match="--sliding_step_size 11: more than --time_length 10"):
        SlidingWindowSampler(runs, 1, 10, 11, 0)


LENGTHS = st.lists(st.integers(4, 40), min_size=1, max_size=6)


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 4), st.booleans(), st.integers(0, 2**32 - 1))
def test_windows_never_cross_runs(lengths, window, grid, seed):
    runs = samples(*lengths)
    order = RandomWindowSampler(runs, 1, window, seed, grid)
    for step in range(order.steps):
        frames = order.windows(2, step).frames
        assert len(frames) == window and (np.diff(frames) == 1).all()
        assert len(set(runs.run_of(frames).tolist())) == 1
        if grid:
            assert (frames[0] - runs.starts[runs.run_of(frames[:1])[0]]) % window == 0


def test_random_windows_begin_anywhere_and_once_an_episode():
    order = RandomWindowSampler(samples(12, 9), 1, 5, 7)
    starts = [int(order.windows(0, step).first[0]) for step in range(order.steps)]
    assert sorted(starts) == [*range(8), *range(12, 17)] != starts
    assert [int(order.windows(1, step).first[0]) for step in range(order.steps)] != starts


def test_whole_runs_come_once_an_episode():
    order = WholeRunSampler(samples(12, 9, 20, 4), 2, 7)
    assert order.steps == 2
    for episode in (0, 1):
        frames = np.concatenate([order.windows(episode, step).frames for step in (0, 1)])
        assert sorted(frames.tolist()) == list(range(45))


@settings(deadline=None)
@given(LENGTHS, st.data())
def test_sliding_windows_go_along_every_run_to_its_end(lengths, data):
    runs = samples(*lengths)
    batch = data.draw(st.integers(1, len(lengths)))
    window = data.draw(st.integers(1, min(lengths)))
    slide = data.draw(st.integers(1, window))
    order = SlidingWindowSampler(runs, batch, window, slide, data.draw(st.integers(0, 1000)))
    expected = {}  # where each stream's next window begins
    covered = set()
    for count in range(3 * sum(lengths)):
        got = order.windows(count // order.steps, count % order.steps)
        if got.is_first:
            expected = dict(zip(got.stream.tolist(), got.first.tolist()))
            assert len(got.stream) == batch and set(got.first.tolist()) <= set(runs.starts[:-1].tolist())
        for first, length, stream in zip(got.first.tolist(), got.length.tolist(), got.stream.tolist()):
            assert first == expected[stream]
            end = runs.starts[runs.run_of(np.array([first]))[0] + 1]
            assert length == min(window, end - first)  # the last window of a run may be short
            covered.update(range(first, first + length))
            if first + length == end:
                del expected[stream]
            else:
                expected[stream] = first + slide
        assert got.is_last == (not expected)
    if batch == 1:  # all runs are in each pass
        assert covered == set(range(sum(lengths)))


@settings(deadline=None)
@given(LENGTHS, st.data())
def test_sliding_windows_of_few_runs_go_along_parts_of_them(lengths, data):
    runs = samples(*lengths)
    batch = data.draw(st.integers(len(lengths) + 1, 30))
    window = data.draw(st.integers(1, 4))
    slide, seed = data.draw(st.integers(1, window)), data.draw(st.integers(0, 1000))
    try:
        order = SlidingWindowSampler(runs, batch, window, slide, seed)
    except UsageError as error:
        assert f"only {len(lengths)} runs, and cut into {batch} parts" in str(error)
        return
    expected, borders, covered = {}, {}, set()
    for count in range(3 * order.steps):
        got = order.windows(count // order.steps, count % order.steps)
        if got.is_first:
            assert not expected and len(got.stream) == batch
            starts = sorted(got.first.tolist())
            assert set(runs.starts[:-1].tolist()) <= set(starts)
            borders = dict(zip(starts, [*starts[1:], sum(lengths)]))
            parts = np.diff([*starts, sum(lengths)])
            assert parts.min() >= window
            expected = dict(zip(got.stream.tolist(), zip(got.first.tolist(), got.first.tolist())))
        for first, length, stream in zip(got.first.tolist(), got.length.tolist(), got.stream.tolist()):
            part, wanted = expected.pop(stream)
            assert first == wanted and length == min(window, borders[part] - first)
            covered.update(range(first, first + length))
            if first + length < borders[part]:
                expected[stream] = part, first + slide
        assert got.is_last == (not expected)
    assert order.steps == 100 or covered == set(range(sum(lengths)))
    assert f"{len(lengths)} training runs are fewer than --batch_size {batch}" in order.note
    again = SlidingWindowSampler(runs, batch, window, slide, seed)  # asked for nothing before
    for step in (order.steps - 1, 0):
        assert (again.windows(2, step).frames == order.windows(2, step).frames).all()


def test_parts_of_runs_by_hand():
    order = SlidingWindowSampler(samples(10, 41), 5, 8, 8, 3)  # 10; 41 as 11, 10, 10, 10
    got = order.windows(0, 0)
    assert sorted(got.first.tolist()) == [0, 10, 21, 31, 41] and got.length.tolist() == [8] * 5
    got = order.windows(0, 1)
    assert sorted(got.first.tolist()) == [8, 18, 29, 39, 49] and sorted(got.length.tolist()) == [
        2,
        2,
        2,
        2,
        3,
    ]
    assert got.is_last and order.steps == 2
    # enough runs are never cut, and whole runs are meant by -1
    assert SlidingWindowSampler(samples(10, 41), 2, 8, 8, 3).note == ""
    with pytest.raises(UsageError, match="--batch_size 5: the training set has only 2 runs to slide along"):
        SlidingWindowSampler(samples(10, 41), 5, -1, 1, 3)


def test_sliding_over_episodes_is_one_slide():
    runs = samples(300)
    order = SlidingWindowSampler(runs, 1, 20, 1, 3)
    assert order.steps == 100
    assert [int(order.windows(e, s).first[0]) for e, s in ((0, 99), (1, 0), (2, 80))] == [99, 100, 280]
    assert order.windows(2, 80).is_last and order.windows(2, 81).is_first


def test_a_window_of_a_whole_run_slides_once():
    order = SlidingWindowSampler(samples(30, 21), 2, -1, 5, 3)
    got = order.windows(0, 0)
    assert sorted(got.length.tolist()) == [21, 30] and got.is_first and got.is_last and order.steps == 1
