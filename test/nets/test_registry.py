"""The registry of networks, and tiny_net."""

import pytest
import torch

from nav_pkg import nets
from nav_pkg.core import UsageError


def test_tiny_net_has_exactly_the_published_number_of_parameters():
    assert nets.parameter_count(nets.build("tiny_net", outputs=3, seed=0)) == 8_199_009


def test_tiny_net_layers_by_hand():
    net = nets.build("tiny_net", outputs=1, seed=0)
    assert nets.spec("tiny_net").input_size == (128, 128)
    assert net.features(torch.zeros(2, 3, 128, 128)).shape == (2, 20, 20, 20)
    assert net(torch.zeros(2, 3, 128, 128)).shape == (2, 1)
    counts = [p.numel() for p in net.parameters()]
    # weights and biases: 3*10*6*6, 10, 10*20*3*3, 20, 8000*1024, 1024, 1024*1, 1
    assert counts == [1080, 10, 1800, 20, 8_192_000, 1024, 1024, 1]


@pytest.mark.parametrize("name", nets.names())
def test_weights_are_a_function_of_the_seed_and_leave_the_random_state_alone(name):
    state = torch.get_rng_state()
    first, again, other = (nets.build(name, seed=seed).state_dict() for seed in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_initialisation_is_xavier_uniform_and_normal_biases():
    net = nets.build("tiny_net", seed=0)
    bound = (6 / (8000 + 1024)) ** 0.5
    weight = net.hidden.weight
    assert bound * 0.999 < weight.abs().max() <= bound
    assert abs(net.hidden.bias.std() - 0.1) < 0.01


def test_dropout_acts_in_training_mode_only():
    net = nets.build("tiny_net", seed=0, dropout=0.5)
    images = torch.rand(1, 3, 128, 128)
    assert not torch.equal(net(images), net(images))
    net.eval()
    assert torch.equal(net(images), net(images))


def test_an_unknown_network_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match="'tini_net'.*did you mean 'tiny_net'"):
        nets.build("tini_net")


def test_an_option_that_a_network_lacks_and_no_outputs_are_refused():
    with pytest.raises(UsageError, match="--layers: tiny_net has no such option"):
        nets.build("tiny_net", layers=3)
    with pytest.raises(UsageError, match="0 outputs"):
        nets.build("tiny_net", outputs=0)
