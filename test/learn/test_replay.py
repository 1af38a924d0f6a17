"""The replay buffer: what it keeps, what it draws, and that it comes back as it was."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nav_pkg.core import UsageError
from nav_pkg.learn.online.replay import ReplayBuffer

SHAPE = (2, 3, 3)


def image(number):
    return np.full(SHAPE, number % 251, np.uint8)


def filled(count, capacity=100, rule="fifo", run_length=10, yaw=lambda number: 0.0):
    buffer = ReplayBuffer(capacity, SHAPE, rule)
    for number in range(count):
        buffer.add(image(number), yaw(number), number // run_length, number % run_length)
    return buffer


def images(buffer, frames):
    out = np.zeros((len(frames), *SHAPE), np.uint8)
    buffer.gather(np.asarray(frames), out)
    return out[:, 0, 0, 0].tolist()


def test_fifo_keeps_the_newest():
    buffer = filled(700, capacity=300)
    assert buffer.frames.tolist() == list(range(400, 700)) and buffer.arrived == 700
    assert images(buffer, [400, 555, 699]) == [400 % 251, 555 % 251, 699 % 251]


def test_hard_keeps_the_largest_losses_and_what_was_never_learned():
    buffer = filled(4, capacity=4, rule="hard")
    buffer.store_losses(np.array([0, 1, 2]), np.array([0.5, 0.1, 0.9]))
    buffer.add(image(4), 0.0, 0, 4)  # 1 has the smallest loss
    buffer.add(image(5), 0.0, 0, 5)  # then 0
    assert buffer.frames.tolist() == [2, 3, 4, 5]
    assert images(buffer, [2, 3, 4, 5]) == [2, 3, 4, 5]
    untouched = filled(5, capacity=4, rule="hard")
    assert untouched.frames.tolist() == [1, 2, 3, 4]  # nothing learned yet: the oldest goes


def test_clear_gives_the_memory_back():
    buffer = filled(300, capacity=300)
    chunks = len(buffer._chunks)
    buffer.clear()
    assert len(buffer) == 0
    for number in range(300):
        buffer.add(image(number + 7), 0.0, 9, number)
    assert len(buffer._chunks) == chunks
    assert images(buffer, [300, 599]) == [7, (299 + 7) % 251]


def test_a_batch_is_a_function_of_content_seed_and_step():
    first, other = filled(90), filled(90)
    assert first.batch(16, 5, 3).tolist() == other.batch(16, 5, 3).tolist()
    assert first.batch(16, 5, 3).tolist() != first.batch(16, 5, 4).tolist()
    assert first.batch(16, 5, 3).tolist() != first.batch(16, 6, 3).tolist()


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 80), st.data())
def test_no_frame_twice_in_a_batch(count, data):
    buffer = filled(count, capacity=60)
    size = data.draw(st.integers(1, len(buffer)))
    priority = data.draw(st.sampled_from(["no", "loss"]))
    frames = buffer.batch(size, 1, 2, priority=priority)
    assert len(set(frames.tolist())) == size and set(frames) <= set(buffer.frames)


def test_all_frames_are_drawn_alike():
    buffer = filled(50)
    drawn = np.concatenate([buffer.batch(10, 1, step) for step in range(2000)])
    share = np.bincount(drawn, minlength=50) / len(drawn)
    assert abs(share - 1 / 50).max() < 0.004  # 5 standard deviations of a binomial of 20,000


def test_priority_follows_the_loss():
    buffer = filled(20)
    buffer.store_losses(np.arange(20), np.where(np.arange(20) < 10, 0.1, 0.9))
    drawn = np.concatenate([buffer.batch(1, 1, step, priority="loss") for step in range(3000)])
    assert abs((drawn >= 10).mean() - 0.9) < 0.03


def test_balanced_batches_have_all_classes_alike():
    yaw = [1.0, -1.0] + [0.0] * 18
    buffer = filled(20, yaw=lambda number: yaw[number])
    labels = buffer.yaw[buffer.batch(9, 1, 1, balanced=True)]
    assert sorted(labels.tolist()) == [-1.0] * 3 + [0.0] * 3 + [1.0] * 3
    straight = filled(20)
    assert len(set(straight.batch(9, 1, 1, balanced=True).tolist())) == 9  # only one class has come yet


def test_frames_with_a_dropped_past_are_not_candidates():
    buffer = filled(25, capacity=13)  # frames 12 to 24; run 1 has lost its frames 10 and 11
    assert buffer.candidates(3).tolist() == [14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24]
    assert buffer.recent(np.array([14, 20, 21]), 3).tolist() == [[12, 13, 14], [20, 20, 20], [20, 20, 21]]
    assert filled(25).candidates(3).tolist() == list(range(25))


@settings(deadline=None, max_examples=60)
@given(st.integers(5, 60), st.integers(2, 9), st.integers(5, 60), st.integers(0, 1000))
def test_windows_lie_within_a_run(count, length, capacity, step):
    buffer = filled(count, capacity=capacity)
    frames = set(buffer.frames.tolist())
    possible = [
        first
        for first in frames
        if set(range(first, first + length)) <= frames and first // 10 == (first + length - 1) // 10
    ]
    assert buffer.windows_held(length) == len(possible)
    if possible:
        size = min(4, len(possible))
        windows = buffer.windows(size, length, 3, step)
        assert set(windows.first.tolist()) <= set(possible) and len(set(windows.first.tolist())) == size
        assert (windows.length == length).all()


@pytest.mark.parametrize("rule", ["fifo", "hard"])
def test_it_comes_back_as_it_was(rule):
    buffer = filled(70, capacity=40, rule=rule, yaw=lambda number: number % 3 - 1.0)
    buffer.store_losses(buffer.frames[::2], np.linspace(0, 1, len(buffer.frames[::2])))
    again = ReplayBuffer(40, SHAPE, rule)
    again.restore(buffer.state())
    again.restore_images(buffer.frames, np.stack([image(frame) for frame in buffer.frames]))
    for number in range(70, 130):
        for each in (buffer, again):
            each.add(image(number), 0.5, number // 10, number % 10)
            each.store_losses(each.frames[:3], np.array([0.3, 0.2, 0.1]))
    assert again.frames.tolist() == buffer.frames.tolist()
    assert again.batch(9, 1, 1, priority="loss").tolist() == buffer.batch(9, 1, 1, priority="loss").tolist()
    assert images(again, again.frames) == images(buffer, buffer.frames)


def gappy(**options):
    """Run 0 with frames 0 to 4 and 8 to 11, run 1 from its frame 2 on."""
    buffer = ReplayBuffer(100, SHAPE, **options)
    for run, index in [(0, i) for i in (0, 1, 2, 3, 4, 8, 9, 10, 11)] + [(1, i) for i in (2, 3, 4)]:
        for camera in range(options.get("cameras", 1)):
            buffer.add(image(10 * camera), 0.0, run, index)
    return buffer


def test_a_gap_is_not_crossed():
    buffer = gappy()
    # after a gap a net of three frames has seen what is not there; at a run's start, its first frame thrice
    assert buffer.candidates(3).tolist() == [0, 1, 2, 3, 4, 7, 8, 11]
    assert buffer.recent(np.array([1, 7, 11]), 3).tolist() == [[0, 0, 1], [5, 6, 7], [9, 10, 11]]
    assert buffer.first_of(np.array([4, 8, 10])).tolist() == [0, 5, 9]
    assert buffer.windows_held(4) == 3  # 0 to 3, 1 to 4, 5 to 8
    assert sorted(buffer.windows(3, 4, 1, 1).first.tolist()) == [0, 1, 5]


def test_cameras_are_sequences_of_their_own():
    buffer = gappy(cameras=3)
    assert len(buffer) == 36
    assert buffer.recent(np.array([5, 22, 35]), 3).tolist() == [[2, 2, 5], [16, 19, 22], [29, 32, 35]]
    assert len(buffer.candidates(3)) == 3 * 8 and buffer.windows_held(4) == 3 * 3
    windows = buffer.windows(9, 4, 1, 1)
    frames = windows.frames.reshape(4, 9)
    assert (np.diff(frames, axis=0) == 3).all() and set(frames[0]) == {0, 1, 2, 3, 4, 5, 15, 16, 17}
    pixels = np.asarray(images(buffer, frames.ravel())).reshape(4, 9)
    assert (pixels == 10 * (frames[0] % 3)).all()


def test_gaps_come_back_with_a_buffer():
    buffer = gappy(cameras=3)
    again = ReplayBuffer(100, SHAPE, cameras=3)
    again.restore(buffer.state())
    for each in (buffer, again):
        each.add(image(1), 0.0, 1, 5)
    assert again.candidates(3).tolist() == buffer.candidates(3).tolist()
    assert again.first_of(again.frames).tolist() == buffer.first_of(buffer.frames).tolist()


@pytest.mark.parametrize(
    "capacity, rule, text", [(0, "fifo", "--buffer_size 0"), (5, "soft", "--buffer_update_rule 'soft'")]
)
def test_bad_input(capacity, rule, text):
    with pytest.raises(UsageError, match=text):
        ReplayBuffer(capacity, SHAPE, rule)
