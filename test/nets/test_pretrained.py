"""ImageNet weights from a file: what goes where, and what is refused."""

import re

import pytest
import torch
from torch import nn

from nav_pkg import nets
from nav_pkg.core import DataError, UsageError
from nav_pkg.nets import torchvision_compat
from nav_pkg.nets.registry import is_within

# network: torchvision's constructor and weights of the network that its weights are from
SOURCES = {
    "alex_net": ("alexnet", "AlexNet_Weights"),
    "vgg16_net": ("vgg16", "VGG16_Weights"),
    "inception_net": ("inception_v3", "Inception_V3_Weights"),
    "res18_net": ("resnet18", "ResNet18_Weights"),
    "dense_net": ("densenet121", "DenseNet121_Weights"),
    "squeeze_net": ("squeezenet1_0", "SqueezeNet1_0_Weights"),
    "mobile_net": ("mobilenet_v2", "MobileNet_V2_Weights"),
    "alex_LSTM_net": ("alexnet", "AlexNet_Weights"),
}
VGG_BN = ("vgg16_bn", "VGG16_BN_Weights")
BATCH_NORM = {"batch_norm": True}
CASES = [(name, {}, source) for name, (source, _) in SOURCES.items()]
CASES.append(("vgg16_net", BATCH_NORM, VGG_BN[0]))
IDS = [f"{name}-{source}" for name, _, source in CASES]


def imagenet_state(source):
    """A state dict of torchvision's network with 1000 classes, another value in each tensor.

    The tensors are expanded from one number, and torch.save writes that number only.
    """
    constructor = getattr(torchvision_compat.load().models, source)
    with torch.device("meta"):
        shapes = constructor(**({"init_weights": False} if source == "inception_v3" else {})).state_dict()
    state = {}
    for i, (key, like) in enumerate(shapes.items()):
        value = 0.25 + i / 512 if like.is_floating_point() else i
        state[key] = torch.full([1] * like.dim(), value, dtype=like.dtype).expand(like.shape)
    return state


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder where torch keeps downloaded weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def squeeze():
    """A small network that has weights, and the state dict that fits it."""
    return nets.build("squeeze_net", seed=0), imagenet_state("squeezenet1_0")


def refusal(net, file, name="squeeze_net", **options):
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(DataError) as caught:
        nets.load_pretrained(net, name, file, **options)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    text = str(caught.value)
    assert "\n" not in text and str(file) in text
    return text


def test_the_names_of_files_are_torchvisions():
    models = torchvision_compat.load().models
    wanted = {
        name: getattr(models, weights).IMAGENET1K_V1.url.rsplit("/", 1)[1]
        for name, (_, weights) in SOURCES.items()
    }
    assert {name: nets.spec(name).weights for name in nets.names() if nets.spec(name).weights} == wanted
    assert {name: nets.weights_file(name) for name in wanted} == wanted
    batch_norm = getattr(models, VGG_BN[1]).IMAGENET1K_V1.url.rsplit("/", 1)[1]
    assert nets.weights_file("vgg16_net", batch_norm=True) == batch_norm
    assert nets.weights_file("alex_net", batch_norm=True) == ""
    assert nets.weights_file("tinyv2") == ""


@pytest.mark.parametrize("name, options, source", CASES, ids=IDS)
def test_the_body_comes_from_the_file_and_the_head_from_the_seed(cache, name, options, source):
    state = imagenet_state(source)
    file = cache / nets.weights_file(name, **options)
    torch.save(state, file)
    assert file.stat().st_size < 1 << 20
    net = nets.build(name, seed=5, **options)
    fresh = {key: value.clone() for key, value in net.state_dict().items()}
    assert nets.load_pretrained(net, name, **options) == file
    head = nets.spec(name).head
    loaded = net.state_dict()
    assert any(is_within(key, head) for key in loaded) and not all(is_within(key, head) for key in loaded)
    for key, value in loaded.items():
        source_of_it = fresh if is_within(key, head) else state
        assert torch.equal(value, source_of_it[key]), key
    # what is the head here is torchvision's last layers, or all behind the convolutions of AlexNet
    left = {key.rsplit(".", 1)[0] for key in state if key not in loaded or is_within(key, head)}
    last = {"classifier.1", "classifier.4", "classifier.6"} if name == "alex_LSTM_net" else None
    assert left == (last or {key.rsplit(".", 1)[0] for key in loaded if is_within(key, head)})


@pytest.mark.parametrize("name", ["alex_net", "res18_net"])
def test_names_in_the_state_dict_are_torchvisions(name):
    assert list(nets.build(name, seed=0).state_dict()) == list(imagenet_state(SOURCES[name][0]))


def test_the_published_file_of_densenet_has_old_names_and_no_count_of_batches(tmp_path):
    state = imagenet_state("densenet121")
    new = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))([12])\.")
    old = {new.sub(r"\1.\2.", key): value for key, value in state.items() if "num_batches" not in key}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "old.pth")
    net = nets.build("dense_net", seed=5)
    nets.load_pretrained(net, "dense_net", tmp_path / "old.pth")
    loaded = net.state_dict()
    for key in loaded:
        if "num_batches" in key:
            assert loaded[key] == 0
        elif not key.startswith("classifier"):
            assert torch.equal(loaded[key], state[key])


def test_other_types_and_files_of_before_torch_1_6_are_taken(squeeze, tmp_path):
    net, state = squeeze
    half = {key: value.half() for key, value in state.items()}
    torch.save(half, tmp_path / "half.pth", _use_new_zipfile_serialization=False)
    assert nets.load_pretrained(net, "squeeze_net", str(tmp_path / "half.pth")) == tmp_path / "half.pth"
    loaded = net.state_dict()["features.0.weight"]
    assert loaded.dtype == torch.float32 and torch.equal(loaded, half["features.0.weight"].float())


def test_a_missing_file_is_named_with_what_to_put_where(squeeze, cache, tmp_path):
    net, _ = squeeze
    with pytest.raises(DataError) as caught:
        nets.load_pretrained(net, "squeeze_net")
    assert str(caught.value) == (
        f"--pretrained: {cache}/squeezenet1_0-b66bff10.pth is missing: put torchvision's "
        "squeezenet1_0-b66bff10.pth there, or give --pretrained_weights FILE"
    )
    for missing in (tmp_path / "gone.pth", tmp_path):
        assert refusal(net, missing) == (
            f"--pretrained_weights {missing}: no such file: give torchvision's squeezenet1_0-b66bff10.pth"
        )


def test_a_network_without_imagenet_weights_is_refused(cache):
    for name in ("tiny_net", "tinyv2", "tiny_LSTM_net", "tinyv3_3d_net"):
        real = nets.canonical(name)
        with pytest.raises(UsageError, match=f"^--pretrained: {real} has no ImageNet weights: leave it out$"):
            nets.load_pretrained(nn.Identity(), name)
    with pytest.raises(UsageError, match="alex_net has no ImageNet weights with --batch_norm: drop one"):
        nets.load_pretrained(nn.Identity(), "alex_net", batch_norm=True)


def test_what_does_not_fit_is_named_field_by_field(squeeze, tmp_path):
    net, state = squeeze
    file = tmp_path / "weights.pth"
    del state["features.0.weight"]
    state["features.99.weight"] = torch.zeros(2)
    state["features.0.bias"] = torch.zeros(95)
    state["features.3.squeeze.bias"] = torch.zeros(16, dtype=torch.int64)
    torch.save(state, file)
    assert refusal(net, file) == (
        f"{file}: its weights do not fit squeeze_net: features.0.weight missing; features.99.weight unknown; "
        "features.0.bias is (95,), not (96,); features.3.squeeze.bias is torch.int64, not torch.float32: "
        "give torchvision's squeezenet1_0-b66bff10.pth"
    )
    state["features.3.squeeze.weight"] = torch.zeros(1)
    torch.save(state, file)
    assert "and 1 more: give" in refusal(net, file)


def test_the_weights_of_another_network_are_refused(squeeze, tmp_path):
    torch.save(imagenet_state("resnet18"), tmp_path / "other.pth")
    assert "features.0.weight missing" in refusal(squeeze[0], tmp_path / "other.pth")


@pytest.mark.parametrize("part", ["classifier.1.weight", "classifier.1.bias"])
def test_the_head_of_the_file_does_not_matter(squeeze, tmp_path, part):
    net, state = squeeze
    torch.save({**state, part: torch.zeros(7)}, tmp_path / "any.pth")
    nets.load_pretrained(net, "squeeze_net", tmp_path / "any.pth")
    del state[part]
    torch.save(state, tmp_path / "none.pth")
    nets.load_pretrained(net, "squeeze_net", tmp_path / "none.pth")


class Code:
    """Would create a file when unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


def test_a_file_with_code_is_refused_and_the_code_not_run(squeeze, tmp_path):
    net, state = squeeze
    file = tmp_path / "code.pth"
    for zipped in (True, False):
        torch.save({**state, "more": Code(tmp_path / "ran")}, file, _use_new_zipfile_serialization=zipped)
        assert "more than plain weights (code, for instance)" in refusal(net, file)
    torch.save(net, file)
    assert "more than plain weights" in refusal(net, file)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [[1.0], {"state_dict": {}}, {"features.0.bias": 1.0}, torch.zeros(3)])
def test_anything_but_a_plain_state_dict_is_refused(squeeze, tmp_path, content):
    torch.save(content, tmp_path / "odd.pth")
    assert "not a plain state dict" in refusal(squeeze[0], tmp_path / "odd.pth")


def test_damaged_files_are_refused(squeeze, tmp_path):
    net, state = squeeze
    file = tmp_path / "weights.pth"
    torch.save({**state, "features.0.weight": torch.rand(96, 3, 7, 7)}, file)
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (b"", b"not weights", whole[: len(whole) // 2], whole[:-30], bytes(flipped)):
        file.write_bytes(content)
        assert "damaged" in refusal(net, file)
