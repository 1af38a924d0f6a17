"""Feature layers that stay as they are while the head learns."""

import copy

import pytest
import torch
from torch import nn

from nav_pkg import nets
from nav_pkg.core import UsageError
from nav_pkg.nets.registry import is_within

CASES = [(name, {}) for name in nets.names()]
CASES += [(name, {"batch_norm": True}) for name in ("tiny_net", "alex_net", "tiny_nfc_net")]


def frozen_net(name, **options):
    net = nets.build(name, seed=123, **options)
    assert nets.freeze_features(net, name, **options) is net
    return net


def frozen_part(net, name):
    head = nets.spec(name).head
    return {key: value.clone() for key, value in net.state_dict().items() if not is_within(key, head)}


@pytest.mark.parametrize("name, options", CASES, ids=["-".join([name, *options]) for name, options in CASES])
def test_training_changes_all_of_the_head_and_nothing_else(name, options):
    net = frozen_net(name, **options)
    head = nets.spec(name).head
    before = {key: value.clone() for key, value in net.state_dict().items()}
    trainable = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trainable, lr=0.01)
    times = {"frame": (), "frames": (5,), "recurrent": (2,)}[nets.spec(name).kind]
    small = name in ("dense_net", "mobile_net", "res18_net", "squeeze_net")  # any size will do
    size = (64, 64) if small else nets.spec(name).input_size
    images = torch.rand((2, *times, 3, *size), generator=torch.Generator().manual_seed(1)) - 0.5
    for _ in range(2):
        given = net.eval().train()(images)
        parts = list(given) if name == "inception_net" else [given]
        if nets.spec(name).kind == "recurrent":
            parts = [given[0]]
        optimizer.zero_grad()
        sum((part - 1).square().sum() for part in parts).backward()
        optimizer.step()
    same = {key: torch.equal(before[key], value) for key, value in net.state_dict().items()}
    assert same == {key: not is_within(key, head) for key in before}


def test_frozen_modules_stay_in_evaluation_mode_and_the_rest_does_not():
    net = frozen_net("vgg16_net")
    training = {name for name, module in net.train().named_modules() if module.training}
    # what holds part of the head, the head, and the dropout in front of it
    assert training == {"", "classifier", "classifier.5", "classifier.6"}
    assert not any(module.training for module in net.eval().modules())


def test_inception_trains_both_heads_only():
    net = frozen_net("inception_net")
    trainable = [key for key, parameter in net.named_parameters() if parameter.requires_grad]
    assert trainable == ["AuxLogits.fc.weight", "AuxLogits.fc.bias", "fc.weight", "fc.bias"]
    training = {name for name, module in net.train().named_modules() if module.training}
    assert training == {"", "AuxLogits", "AuxLogits.fc", "dropout", "fc"}


def test_a_copy_is_frozen_on_its_own():
    net = frozen_net("tiny_net", batch_norm=True)
    twin = copy.deepcopy(net)
    assert list(twin.state_dict()) == list(nets.build("tiny_net", seed=0, batch_norm=True).state_dict())
    before = frozen_part(net, "tiny_net")
    for features in (twin.features, net.features):
        for module in features.modules():
            module.training = True  # so that it shows whose mode is set
    twin.train()
    assert not any(module.training for module in twin.features.modules())
    assert all(module.training for module in net.features.modules())
    net.train()
    twin(torch.rand(2, 3, 128, 128)).sum().backward()
    after = frozen_part(twin, "tiny_net")
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_frozen_network_inside_another_module_stays_frozen():
    net = frozen_net("tiny_net")
    nn.Sequential(net).train()
    assert not net.features.training and net.hidden.training


def test_weights_are_loaded_into_a_frozen_network_as_into_any():
    net, other = frozen_net("tiny_net"), nets.build("tiny_net", seed=9)
    net.load_state_dict(other.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters()))


def test_an_alias_and_unknown_options():
    net = nets.freeze_features(nets.build("tinyv2", seed=0), "tinyv2")
    assert not net.features[0].weight.requires_grad and net.hidden.weight.requires_grad
    with pytest.raises(UsageError, match="--layers: tiny_net has no such option"):
        nets.freeze_features(net, "tiny_net", layers=2)
