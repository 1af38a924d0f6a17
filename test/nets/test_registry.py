"""The registry of networks, what holds for each of them, and tiny_net."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from nav_pkg import nets
from nav_pkg.core import UsageError
from nav_pkg.nets import registry
from nav_pkg.nets.init import NORMS

# name: input size, kind, parameters at 3 outputs
NETWORKS = {
    "alex_LSTM_net": (224, "recurrent", 4_879_363),
    "alex_net": (224, "frame", 57_016_131),
    "dense_net": (224, "frame", 6_956_931),
    "inception_net": (299, "frame", 24_351_718),
    "mobile_net": (224, "frame", 2_227_715),
    "res18_net": (224, "frame", 11_178_051),
    "squeeze_net": (224, "frame", 736_963),
    "tiny_LSTM_net": (128, "recurrent", 2_101_281),
    "tiny_net": (128, "frame", 8_199_009),
    "tiny_nfc_net": (128, "frames", 4_003_313),
    "tinyv3_3d_net": (128, "frames", 523_838),
    "tinyv3_net": (128, "frame", 511_838),
    "vgg16_net": (224, "frame", 134_272_835),
}


def images(name, batch=None):
    """Random input of a network in [-0.5, 0.5]; for tests of training no larger than needed."""
    size, times = nets.spec(name).input_size, {"frame": (), "frames": (5,), "recurrent": (2,)}
    if batch is None:
        batch = 1 if name in ("alex_net", "vgg16_net") else 2  # batch normalisation needs 2
        size = (64, 64) if name in ("dense_net", "mobile_net", "res18_net", "squeeze_net") else size
    generator = torch.Generator().manual_seed(1)
    return torch.rand((batch, *times[nets.spec(name).kind], 3, *size), generator=generator) - 0.5


def outputs(net, inputs):
    """The outputs proper, without a state or auxiliary outputs."""
    given = net(inputs)
    return given[0] if isinstance(given, tuple) else given


def test_the_networks():
    assert [name for name in nets.names() if name in NETWORKS] == list(NETWORKS)  # others may come along
    for name, (size, kind, _) in NETWORKS.items():
        assert (nets.spec(name).input_size, nets.spec(name).kind) == ((size, size), kind)
        assert nets.canonical(name) == name


@pytest.mark.parametrize("alias", ["tinyv2", "tinyv2_net"])
def test_an_alias_is_its_network_and_no_name_of_its_own(alias):
    assert nets.canonical(alias) == "tiny_net"
    assert nets.spec(alias) is nets.spec("tiny_net")
    assert alias not in nets.names()
    alone, real = nets.build(alias, seed=3).state_dict(), nets.build("tiny_net", seed=3).state_dict()
    assert all(torch.equal(alone[key], real[key]) for key in real)


def test_the_registry_alone_does_not_import_torchvision():
    code = "import sys; from nav_pkg import nets; nets.names(); assert 'torchvision' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=240)


@pytest.mark.parametrize("name", NETWORKS)
def test_number_of_parameters_and_names_of_the_head(name):
    net = nets.build(name, outputs=3, seed=0)
    assert net.training and all(parameter.requires_grad for parameter in net.parameters())
    assert nets.parameter_count(net) == NETWORKS[name][2]
    assert f"{NETWORKS[name][2]:,} parameters" in nets.spec(name).summary
    # a module misspelled there would be frozen, and looked for in a file of weights
    modules, head = dict(net.named_modules()), nets.spec(name).head
    assert head and all(module in modules for module in head)
    assert any(registry.is_within(key, head) for key, _ in net.named_parameters())


def test_tiny_net_layers_by_hand():
    net = nets.build("tiny_net", outputs=1, seed=0)
    assert nets.spec("tiny_net").input_size == (128, 128)
    assert net.features(torch.zeros(2, 3, 128, 128)).shape == (2, 20, 20, 20)
    assert net(torch.zeros(2, 3, 128, 128)).shape == (2, 1)
    counts = [p.numel() for p in net.parameters()]
    # weights and biases: 3*10*6*6, 10, 10*20*3*3, 20, 8000*1024, 1024, 1024*1, 1
    assert counts == [1080, 10, 1800, 20, 8_192_000, 1024, 1024, 1]


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_are_a_function_of_the_seed_and_leave_the_random_state_alone(name):
    state = torch.get_rng_state()
    first, again, other = (nets.build(name, seed=seed).state_dict() for seed in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_sane_and_a_function_of_the_images_in_evaluation_mode(name):
    net, inputs = nets.build(name, seed=123).eval(), images(name, batch=1)
    with torch.no_grad():
        first, again = outputs(net, inputs), outputs(net, inputs)
    assert first.dtype == torch.float32
    assert first.shape == ((1, 2, 3) if nets.spec(name).kind == "recurrent" else (1, 3))
    assert torch.isfinite(first).all() and 0 < first.abs().max() < 10
    assert torch.equal(first, again)


@pytest.mark.parametrize("name", NETWORKS)
def test_dropout_acts_in_training_mode(name):
    inputs = images(name)
    for dropout in (0.0, 0.5):
        net = nets.build(name, seed=123, dropout=dropout)
        with torch.no_grad():
            first, again = outputs(net, inputs), outputs(net, inputs)
        assert torch.equal(first, again) == (dropout == 0), dropout


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_gets_a_gradient(name):
    net = nets.build(name, seed=123, dropout=0.0)
    given = net(images(name))
    if name == "inception_net":
        assert given._fields == ("logits", "aux_logits")
        assert given.logits.shape == given.aux_logits.shape == (2, 3)
        parts = list(given)
    else:
        parts = [given[0] if isinstance(given, tuple) else given]
    sum(part.square().sum() for part in parts).backward()
    without = [key for key, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


@pytest.mark.parametrize("name", [n for n in NETWORKS if "batch_norm" in dict(nets.spec(n).options)])
def test_batch_norm_stands_behind_each_convolution_and_starts_as_the_identity(name):
    net = nets.build(name, seed=123, batch_norm=True)
    layers = list(net.features)
    behind = [layers[i + 1] for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    norms = [module for module in net.modules() if isinstance(module, NORMS)]
    assert behind == norms and all(isinstance(norm, nn.BatchNorm2d) for norm in norms)
    for norm in norms:
        assert (norm.weight == 1).all() and (norm.bias == 0).all()
        assert (norm.running_mean == 0).all() and (norm.running_var == 1).all()
    with torch.no_grad():
        assert torch.isfinite(outputs(net, images(name, batch=1))).all()
        assert (norms[0].running_mean != 0).any()


@pytest.mark.parametrize("seed", [123, 128])
def test_outputs_of_squeeze_net_may_be_negative_and_differ(seed):
    net = nets.build("squeeze_net", seed=seed).eval()
    with torch.no_grad():
        values = net(images("squeeze_net", batch=2))
        net.classifier[1].weight.neg_()
        assert ((values > 0) != (net(images("squeeze_net", batch=2)) > 0)).all()
    assert len(set(values[0].tolist())) == 3


def test_tiny_net_starts_from_the_published_scheme_bit_by_bit():
    """The scheme written out: torch's own first initialisation, then each parameter in order."""
    net = nets.build("tiny_net", outputs=3, seed=7)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        layers = [nn.Conv2d(3, 10, 6, stride=3), nn.Conv2d(10, 20, 3, stride=2)]
        layers += [nn.Linear(8000, 1024), nn.Linear(1024, 3)]
        for layer in layers:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, 0, 0.1)
    by_hand = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), by_hand))


def test_tinyv3_net_layers_by_hand():
    net = nets.build("tinyv3_net", outputs=3, seed=0)
    assert net.features(torch.zeros(2, 3, 128, 128)).shape == (2, 20, 7, 7)
    counts = [p.numel() for p in net.parameters()]
    # 3*10*10*10, 10, 10*20*5*5, 20, 980*512, 512, 512*3 without bias
    assert counts == [3000, 10, 5000, 20, 501_760, 512, 1536]


def test_initialisation_is_xavier_uniform_and_normal_biases():
    net = nets.build("tiny_net", seed=0)
    bound = (6 / (8000 + 1024)) ** 0.5
    weight = net.hidden.weight
    assert bound * 0.999 < weight.abs().max() <= bound
    assert abs(net.hidden.bias.std() - 0.1) < 0.01


def test_an_unknown_network_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match="'tini_net'.*did you mean 'tiny_net'"):
        nets.build("tini_net")


def test_an_option_that_a_network_lacks_and_no_outputs_are_refused():
    with pytest.raises(UsageError, match="--layers: tiny_net has no such option"):
        nets.build("tiny_net", layers=3)
    with pytest.raises(UsageError, match="0 outputs"):
        nets.build("tiny_net", outputs=0)


@pytest.mark.parametrize(
    "name, option, value, message",
    [
        ("tiny_net", "dropout", 1.0, "--dropout 1.0: give a share from 0 to below 1"),
        ("tiny_net", "dropout", -0.1, "--dropout -0.1: give a share"),
        ("tiny_net", "dropout", float("nan"), "--dropout nan: give a share"),
        ("tiny_nfc_net", "n_frames", 0, "--n_frames 0: give a whole number of frames, 1 or more"),
        ("tinyv3_3d_net", "n_frames", 2.5, "--n_frames 2.5: give a whole number"),
        (
            "res18_net",
            "batch_norm",
            True,
            "--batch_norm: res18_net has no such option .*: --dropout",
        ),
    ],
)
def test_a_value_that_an_option_can_not_have_is_refused(name, option, value, message):
    with pytest.raises(UsageError, match=message):
        nets.build(name, **{option: value})
