"""Networks with an LSTM: sequences at once and frame by frame, and the state between."""

import pytest
import torch

from nav_pkg import nets

FEATURES = {"tiny_LSTM_net": 8000, "alex_LSTM_net": 9216}


def close(left, right):
    return torch.allclose(left, right, atol=1e-5)


@pytest.mark.parametrize("name", FEATURES)
def test_shapes(name):
    net = nets.build(name, outputs=4, seed=0)
    size = nets.spec(name).input_size
    with torch.no_grad():
        features = net.extract(torch.zeros(3, 3, *size))
        outputs, (h, c) = net(torch.zeros(2, 3, 3, *size))
    assert features.shape == (3, FEATURES[name])
    assert outputs.shape == (2, 3, 4)
    assert h.shape == c.shape == (2, 2, 64)


def test_the_state_before_the_first_frame_is_zero():
    net = nets.build("tiny_LSTM_net", seed=0).eval()
    h, c = net.initial_state(3)
    assert h.shape == c.shape == (2, 3, 64)
    assert not h.any() and not c.any() and h.dtype == torch.float32
    assert net.initial_state(1, device="meta")[0].device.type == "meta"
    images = torch.rand(3, 2, 3, 128, 128)
    with torch.no_grad():
        assert torch.equal(net(images)[0], net(images, (h, c))[0])


@pytest.mark.parametrize("name", FEATURES)
def test_a_sequence_at_once_is_frame_by_frame_with_the_state_handed_on(name):
    net = nets.build(name, seed=0).eval()
    images = torch.rand(2, 4, 3, *nets.spec(name).input_size) - 0.5
    with torch.no_grad():
        outputs, last = net(images)
        state = net.initial_state(2)
        for time in range(4):
            output, state = net(images[:, time : time + 1], state)
            assert close(output[:, 0], outputs[:, time])
        features = torch.stack([net.extract(images[:, time]) for time in range(4)], dim=1)
        assert close(net.recur(features)[0], outputs)
    assert all(close(a, b) for a, b in zip(state, last))


def test_a_frame_changes_its_own_and_later_outputs_only():
    net = nets.build("tiny_LSTM_net", seed=0).eval()
    images = torch.rand(1, 4, 3, 128, 128)
    other = images.clone()
    other[:, 2] = 0
    with torch.no_grad():
        changed = (net(images)[0] - net(other)[0]).abs().amax(dim=(0, 2)) > 1e-5
    assert changed.tolist() == [False, False, True, True]


def test_dropout_is_between_the_two_layers():
    net = nets.build("tiny_LSTM_net", seed=0)
    features = torch.rand(1, 3, 8000)
    with torch.no_grad():
        (_, (first, _)), (_, (again, _)) = net.recur(features), net.recur(features)
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[1], again[1])


def test_the_features_of_alex_lstm_net_are_those_of_alex_net():
    lstm, alex = nets.build("alex_LSTM_net", seed=0), nets.build("alex_net", seed=0)
    shapes = [parameter.shape for parameter in alex.features.parameters()]
    assert [parameter.shape for parameter in lstm.features.parameters()] == shapes
    # the scheme, not what memory held: kernels within xavier's bound, biases of spread 0.1
    bound = (6 / ((256 + 256) * 3 * 3)) ** 0.5
    assert bound * 0.99 < lstm.features[10].weight.abs().max() <= bound
    assert 0.08 < lstm.features[10].bias.std() < 0.12
