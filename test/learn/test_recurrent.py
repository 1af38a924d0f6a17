"""Backpropagation through time against plain PyTorch, frame by frame."""

import numpy as np
import pytest
import torch

from nav_pkg import nets
from nav_pkg.core import UsageError
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.batch_sampler import (
    RandomWindowSampler,
    SlidingWindowSampler,
    WholeRunSampler,
    Windows,
)
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.batches.samples import Samples
from nav_pkg.learn.deployment.pilot import Pilot
from nav_pkg.learn.methods.compute import ComputeSettings
from nav_pkg.learn.methods.losses import make_loss
from nav_pkg.learn.methods.recurrent import InitState, RecurrentMethod

SPACE = ActionSpace()
LOSS = make_loss("CrossEntropy", SPACE)
IMAGES = Preprocessing((128, 128), "shifted")


def samples(*lengths, seed=0):
    random = np.random.RandomState(seed)
    images = [random.randint(0, 256, (n, 128, 128, 3)).astype(np.uint8) for n in lengths]
    return Samples(images, [random.uniform(-1, 1, n) for n in lengths])


@pytest.fixture(scope="module")
def runs():
    return samples(11, 7, 9)


@pytest.fixture
def net():
    return nets.build("tiny_LSTM_net", seed=3, dropout=0.0)


def method(net, order, train, **options):
    compute = ComputeSettings()
    return RecurrentMethod(compute.prepare(net), compute, IMAGES, LOSS, order, train, **options)


def gradients(net):
    return [parameter.grad.clone() for parameter in net.parameters()]


def assert_close(first, second, relative=1e-5):
    for a, b in zip(first, second):
        assert float((a - b).norm()) <= relative * float(b.norm())


def inputs(runs, frames):
    pixels = np.empty((len(frames), 128, 128, 3), np.uint8)
    runs.gather(np.asarray(frames), pixels)
    return IMAGES.normalise(torch.from_numpy(pixels))


def plain(net, runs, sequences, state=None):
    """Loss and gradients of sequences of frames by single steps, and the outputs in order."""
    net.zero_grad(set_to_none=True)
    outputs, states = [], []
    for i, frames in enumerate(sequences):
        h = None if state is None else tuple(value[:, i : i + 1].contiguous() for value in state)
        for frame in frames:
            out, h = net(inputs(runs, [frame])[None], h)
            outputs.append(out[0, 0])
        states.append(h)
    outputs = torch.stack(outputs)
    loss = LOSS(outputs, LOSS.targets(runs.yaw[np.concatenate(sequences)]))
    loss.backward()
    return loss.detach(), gradients(net), outputs.detach(), states


def learned(learner, net, episode=0, step=0):
    net.zero_grad(set_to_none=True)
    done = learner.learn(episode, step)
    return done, gradients(net)


@pytest.mark.parametrize("portion", [1, 4, 1000])
def test_whole_runs_of_different_length_by_portions_or_not(net, runs, portion):
    order = WholeRunSampler(runs, 3, seed=1)
    learner = method(net, order, runs, portion_bytes=portion * 3 * 4 * 128 * 128)
    done, got = learned(learner, net)
    windows = order.windows(0, 0)
    sequences = [np.arange(a, a + n) for a, n in zip(windows.first, windows.length)]
    loss, expected, outputs, _ = plain(net, runs, sequences)
    assert torch.allclose(done.loss, loss, rtol=1e-5)
    assert torch.allclose(done.outputs, outputs, atol=1e-5)
    assert_close(got, expected)
    assert done.complete and (learner.frames(0, 0) == np.concatenate(sequences)).all()


def test_sliding_with_a_window_of_a_whole_run_is_f_bptt(net, runs):
    whole = WholeRunSampler(runs, 3, seed=1)
    sliding = SlidingWindowSampler(runs, 3, -1, 2, seed=1)
    first, got = learned(method(net, sliding, runs, slide=2), net)
    second, expected = learned(method(net, whole, runs), net)
    places = [np.argsort(order.windows(0, 0).frames) for order in (sliding, whole)]
    assert torch.allclose(first.outputs[places[0]], second.outputs[places[1]], atol=1e-6)
    assert torch.allclose(first.loss, second.loss) and first.complete
    assert_close(got, expected)


def test_sliding_carries_the_state_of_the_frames_it_leaves(net, runs):
    order = SlidingWindowSampler(runs, 2, 4, 3, seed=5)
    learner = method(net, order, runs, slide=3)
    states = None
    for step in range(4):
        windows = order.windows(0, step)
        if windows.is_first:
            states = {int(stream): None for stream in windows.stream}
        sequences = [np.arange(a, a + n) for a, n in zip(windows.first, windows.length)]
        begin = [states[int(stream)] or net.initial_state(1) for stream in windows.stream]
        joined = tuple(torch.cat(parts, dim=1) for parts in zip(*begin))
        loss, expected, _, _ = plain(net, runs, sequences, joined)
        done, got = learned(learner, net, 0, step)
        assert torch.allclose(done.loss, loss, rtol=1e-5)
        assert_close(got, expected)
        for stream, frames, state in zip(windows.stream, sequences, begin):
            with torch.no_grad():
                states[int(stream)] = net(inputs(runs, frames[:3])[None], state)[1]
    again = method(net, order, runs, slide=3)
    again.restore(learner.state())
    for a, b in zip(learned(learner, net, 0, 4)[1], learned(again, net, 0, 4)[1]):
        assert torch.equal(a, b)


def test_a_slide_that_accumulates_is_complete_at_its_end(net, runs):
    order = SlidingWindowSampler(runs, 3, 5, 5, seed=5)
    learner = method(net, order, runs, slide=5, accumulate=True)
    complete = [learner.learn(0, step).complete for step in range(order.steps)]
    assert complete == [False, False, True]


@pytest.mark.parametrize(
    "init_state, before",
    [
        (InitState("zero", 0), 0),
        (InitState("burn_in", 3), 3),
        (InitState("full", 0), 100),
        (InitState("burn_in", 100), 100),
    ],
)
def test_windows_begin_with_the_state_that_was_asked_for(net, runs, init_state, before):
    order = RandomWindowSampler(runs, 5, 4, seed=2)
    learner = method(net, order, runs, init_state=init_state)
    windows = order.windows(0, 1)
    states = []
    for first in windows.first:
        begin = max(runs.starts[runs.run_of(np.array([first]))[0]], first - before)
        with torch.no_grad():
            frames = np.arange(begin, first)
            state = net(inputs(runs, frames)[None])[1] if len(frames) else net.initial_state(1)
        states.append(state)
    joined = tuple(torch.cat(parts, dim=1) for parts in zip(*states))
    sequences = [np.arange(a, a + n) for a, n in zip(windows.first, windows.length)]
    loss, expected, _, _ = plain(net, runs, sequences, joined)
    done, got = learned(learner, net, 0, 1)
    assert torch.allclose(done.loss, loss, rtol=1e-5)
    assert_close(got, expected)


def test_burn_in_is_without_dropout_and_training_with():
    runs = samples(8, 8)
    net = nets.build("tiny_LSTM_net", seed=3, dropout=0.9)
    learner = method(net, RandomWindowSampler(runs, 2, 3, 0), runs, init_state=InitState("full", 0))
    windows = Windows(np.array([5, 12]), np.array([3, 3]), np.arange(2))
    first, again = (learner._initial(windows, lambda: None) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert net.training
    outputs, other_outputs = (learner.learn(0, 0).outputs for _ in range(2))
    assert not torch.equal(outputs, other_outputs)


def test_carried_states_are_those_that_preceding_windows_left(net, runs):
    order = RandomWindowSampler(runs, 1, 3, seed=2, grid=True)
    learner = method(net, order, runs, init_state=InitState("carried", 0))
    left = {}
    for step in range(order.steps):
        first = int(order.windows(0, step).first[0])
        state = left.get(first, net.initial_state(1))
        loss, expected, _, states = plain(net, runs, [np.arange(first, first + 3)], state)
        done, got = learned(learner, net, 0, step)
        assert torch.allclose(done.loss, loss, rtol=1e-5)
        assert_close(got, expected)
        left[first + 3] = tuple(value.detach() for value in states[0])
    assert set(learner.state()) == {"h", "c"}
    known = sum(first in left for first in (3, 6, 14, 17, 21, 24))
    assert known == 6


def test_evaluation_is_as_flown(net, runs):
    learner = method(net, WholeRunSampler(runs, 1, 0), runs, portion_bytes=5 * 3 * 4 * 128 * 128)
    outputs = learner.outputs(runs).double().numpy()
    pilot = Pilot("tiny_LSTM_net", net, SPACE, IMAGES)
    for number, (first, end) in enumerate(zip(runs.starts, runs.starts[1:])):
        pilot.reset()
        flown = np.stack([pilot.outputs(image) for image in runs.images[number]])
        assert np.allclose(flown, outputs[first:end], atol=1e-5)
    carried_on = pilot.outputs(runs.images[0][0])
    pilot.reset()
    assert not np.allclose(carried_on, pilot.outputs(runs.images[0][0]), atol=1e-4)


def test_frozen_features_get_no_gradient(runs):
    net = nets.build("tiny_LSTM_net", seed=3, dropout=0.0)
    nets.freeze_features(net, "tiny_LSTM_net")
    method(net, WholeRunSampler(runs, 3, 0), runs).learn(0, 0)
    assert all(parameter.grad is None for parameter in net.features.parameters())
    assert all(parameter.grad is not None for parameter in net.lstm.parameters())


def test_init_state_flags():
    assert InitState.from_flag(["burn_in", "7"]) == InitState("burn_in", 7)
    assert InitState.from_flag(["burn_in", "0"]) == InitState("zero", 0)
    assert InitState.from_flag(["full"]) == InitState("full", 0)
    for words in (["burn_in"], ["zero", "3"], ["burn_in", "-1"], ["half"]):
        with pytest.raises(UsageError, match=f"--init_state {' '.join(words)}: must be full, zero"):
            InitState.from_flag(words)
