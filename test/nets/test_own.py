"""Networks of the user's own: found, run when they are named, and for no other reason."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nav_pkg import nets
from nav_pkg.config import types
from nav_pkg.config.learner import parse
from nav_pkg.core import DataError, UsageError
from nav_pkg.learn.checkpoints import checkpoint
from nav_pkg.learn.deployment import export, exported
from nav_pkg.learn.deployment.pilot import Pilot
from nav_pkg.learn.training import offline
from nav_pkg.learn.training.stop import Stop
from nav_pkg.nets import registry

DOCS = Path(__file__).resolve().parents[2] / "docs" / "learning.md"


@pytest.fixture(autouse=True)
def forget():
    """A process of its own for each test, as far as the registry goes."""
    nets.names()
    before = dict(registry._ENTRIES)
    yield
    registry._ENTRIES.clear()
    registry._ENTRIES.update(before)


@pytest.fixture
def file(tmp_path):
    """The file that docs/learning.md shows."""
    page = DOCS.read_text(encoding="utf-8")
    file_copy = tmp_path / "code" / "my_nets.py"
    file_copy.parent.mkdir()
    file_copy.write_text(page.split("# my_nets.py\n", 1)[1].split("```", 1)[0])
    return file_copy


def fresh(tmp_path, file, *words):
    """A scratch checkpoint of the file's network."""
    line = ["--network", f"{file}:MyNet", "--create_scratch_checkpoint", "-t", "own", "--discrete", *words]
    args = parse([*line, "--summary_dir", str(tmp_path / "log")])
    assert offline.train(args, Stop()) == 0
    return tmp_path / "log" / "own"


FOUND = """
from nav_pkg import nets
from nav_pkg.studies import workload
assert "found_net" in nets.names()
rate = workload.rate_of("found_net")
assert (rate.frames, rate.side, rate.recurrent) == (workload.MOST_FRAMES, 8, False)
assert abs(rate.parameters - 193 * 3 / 1e6) < 1e-9
assert workload.training("found_net", {"batch_size": 4, "max_episodes": 2}, 100, 10, 10).seconds > 0
assert workload.flights(1, 100, 60.0, "found_net").memory > 0
"""


def test_a_module_of_the_package_is_found_by_itself(tmp_path):
    # in a copy: tests beside this one look into the package, too
    package = Path(nets.__file__).parents[1]
    shutil.copytree(package, tmp_path / "nav_pkg", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "nav_pkg/nets/a_net_of_test_own.py").write_text(
        "from torch import nn\nfrom nav_pkg.nets.registry import NetSpec, register\n"
        "@register(NetSpec(name='found_net', input_size=(8, 8), summary=''))\n"
        "def found(outputs):\n    return nn.Sequential(nn.Flatten(), nn.Linear(192, outputs))\n"
    )
    done = subprocess.run([sys.executable, "-c", FOUND], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_estimates_of_a_network_that_was_not_measured_are_near_those_that_were():
    from nav_pkg.studies import workload

    for name in ("tiny_net", "squeeze_net", "tiny_LSTM_net", "tiny_nfc_net"):
        measured = workload.RATES[name]
        try:
            del workload.RATES[name]
            workload.rate_of.cache_clear()
            estimate = workload.rate_of(name)
        finally:
            workload.RATES[name] = measured
            workload.rate_of.cache_clear()
        assert (estimate.side, estimate.recurrent) == (measured.side, measured.recurrent)
        assert estimate.parameters == pytest.approx(measured.parameters, abs=0.1)
        assert 0.1 * measured.frames <= estimate.frames <= 2 * measured.frames  # rather too slow
        assert 0.2 * measured.memory <= estimate.memory <= 5 * measured.memory


def test_the_file_of_the_page_is_trained_flown_and_exported(tmp_path, file):
    where = fresh(tmp_path, file)
    assert (where / "my_nets.py").read_bytes() == file.read_bytes()
    loaded = checkpoint.load(where)
    assert loaded.network == "my_nets.py:MyNet"
    assert loaded.network_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    picture = np.random.RandomState(0).randint(0, 256, (48, 64, 3)).astype(np.uint8)
    export.export(loaded, where / "my-model", tmp_path / "net.onnx", (48, 64), [picture])
    registry._ENTRIES.pop("my_nets.py:MyNet")
    pilot = Pilot.load(where, network=f"{file}:MyNet")
    own = pilot.outputs(picture)
    registry._ENTRIES.pop("my_nets.py:MyNet")
    # an exported file needs the code no more
    assert np.allclose(exported.load_pilot(tmp_path / "net.onnx").outputs(picture), own, atol=1e-5)


def test_a_checkpoint_never_makes_code_run(tmp_path, file, monkeypatch):
    ran = tmp_path / "ran"
    file.write_text(file.read_text() + f"\nopen({str(ran)!r}, 'a').write('x')\n")
    where = fresh(tmp_path, file)
    assert ran.read_text() == "x"
    registry._ENTRIES.pop("my_nets.py:MyNet")
    monkeypatch.chdir(where)  # where the copy lies under its own name
    for use in (lambda: checkpoint.load(where), lambda: Pilot.load(where)):
        with pytest.raises(UsageError) as error:
            use()
        assert f"run only when you give it: --network {where / 'my_nets.py'}:MyNet" in str(error.value)
    # nor does one that names a path
    import torch

    content = torch.load(where / "my-model", weights_only=True)
    for name in (f"{file}:MyNet", "../log/own/my_nets.py:MyNet"):
        torch.save({**content, "network": name}, where / "my-model")
        with pytest.raises(UsageError, match="is in a file of its own"):
            checkpoint.load(where)
    assert ran.read_text() == "x"


def test_a_file_that_changed_is_told(tmp_path, file):
    where = fresh(tmp_path, file)
    file.write_text(file.read_text().replace("Conv2d(3, 8, 5", "Conv2d(3, 8, 5"[:-1] + "6"))
    with pytest.raises(DataError, match="was trained with another content of my_nets.py .* give that one"):
        Pilot.load(where, network=f"{file}:MyNet")
    Pilot.load(where, network=f"{where / 'my_nets.py'}:MyNet")  # the copy is


def test_what_stood_beside_a_checkpoint_is_not_overwritten(tmp_path, file):
    where = tmp_path / "log" / "own"
    where.mkdir(parents=True)
    (where / "my_nets.py").write_text("# mine")
    fresh(tmp_path, file)
    assert (where / "my_nets.py").read_text() == "# mine"


@pytest.mark.parametrize(
    "text, message",
    [
        ("raise ValueError('no\\ngood')", "line 1: ValueError: no good"),
        ("def f(:", "line 1: SyntaxError"),
        ("x = 1", "registers no network: put @register"),
        ("import nav_pkg_is_not_this", "ModuleNotFoundError"),
    ],
)
def test_files_that_are_no_networks(tmp_path, text, message):
    (tmp_path / "bad.py").write_text(text + "\n")
    with pytest.raises(UsageError) as error:
        nets.canonical(f"{tmp_path / 'bad.py'}:Net")
    assert message in str(error.value) and "\n" not in str(error.value)
    assert str(tmp_path / "bad.py") in str(error.value)


@pytest.mark.parametrize(
    "wrong, right, message",
    [
        ("8 * 15 * 15", "7", "fails on an image of input_size (64, 64): "),
        ("8 * 15 * 15", "7", "line 23: RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        ('("dropout", 0.0)', '("droput", 0.0)', "cannot be built"),
        (
            '("dropout", 0.0)',
            '("droput", 0.0)',
            "(called with outputs and the options of its NetSpec: droput)",
        ),
        ('head=("out",)', 'head=("outs",)', "head: it has no module 'outs'"),
        ("return self.out(self.features(images).flatten(1))", "return ()", "gives tuple for one image"),
        (
            "class MyNet(nn.Module)",
            "def MyNet(outputs, dropout):\n    pass\n\n\nclass A(nn.Module)",
            "gives NoneType, not",
        ),
        ("15, outputs)", "15, 2)", "gives (1, 2) for one image, and must give (1, 3)"),
        ("(64, 64),  ", "64,  ", "input_size 64: must be (height, width), pixels"),
        ('"my_net",', '"my_net", kind="recurrent",', "must be a nav_pkg.nets.recurrent.RecurrentNet"),
    ],
)
def test_networks_that_do_not_fit(file, wrong, right, message):
    text = file.read_text()
    assert wrong in text
    file.write_text(text.replace(wrong, right))
    with pytest.raises(UsageError) as error:
        nets.build(nets.canonical(f"{file}:MyNet"))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_the_flag(tmp_path, file, monkeypatch):
    monkeypatch.chdir(file.parent)
    assert parse(["--network", "my_nets.py:MyNet"]).network == f"{file}:MyNet"
    assert types.absolute_network(["-n", "1", "--network", "my_nets.py:MyNet"])[3] == f"{file}:MyNet"
    for value, message in (
        ("no_nets.py:MyNet", "there is no file"),
        ("my_nets.py", "needs its class: my_nets.py:NAME"),
        ("my_nets.txt:MyNet", "neither a network's name nor FILE.py:NAME"),
        ("my_nets.py:My Net", "neither"),
    ):
        with pytest.raises(UsageError, match=message):
            parse(["--network", value])
    with pytest.raises(UsageError, match=r"registers no 'MyNett'; did you mean 'MyNet'"):
        nets.canonical(f"{file}:MyNett")
    with pytest.raises(UsageError, match="a network of a file needs FILE.py:NAME"):
        nets.canonical("my_nets.py:MyNet2")
    assert "my_nets.py:MyNet" not in nets.names()
    shutil.rmtree(file.parent)
