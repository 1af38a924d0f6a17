"""Checkpoints: whole or not at all, and refused with one clear line; the pilot that flies them."""

import errno
import os
import shutil

import numpy as np
import pytest
import torch

from nav_pkg import nets
from nav_pkg.core import DataError, UsageError
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.checkpoints import checkpoint
from nav_pkg.learn.checkpoints.checkpoint import Checkpoint
from nav_pkg.learn.deployment.pilot import Pilot, resolve_device

IMAGE = np.random.RandomState(0).randint(0, 256, (36, 64, 3)).astype(np.uint8)


def fresh(outputs=3, **space) -> Checkpoint:
    action_space = ActionSpace(discrete=outputs > 1, **space)
    net = nets.build("tiny_net", outputs=outputs, seed=1)
    preprocessing = Preprocessing((128, 128), "shifted")
    return Checkpoint("tiny_net", outputs, {}, action_space, preprocessing, net.state_dict())


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A summary_dir with the log `tag/one`."""
    root = tmp_path_factory.mktemp("logs")
    fresh(speed=1.3, turn_speed=0.5).save(root / "tag/one/my-model")
    return root


def test_there_and_back(logs):
    loaded = checkpoint.load("tag/one", logs)
    assert loaded.action_space == ActionSpace(speed=1.3, turn_speed=0.5)
    assert loaded.preprocessing == Preprocessing((128, 128), "shifted")
    assert loaded.versions == checkpoint.versions()
    first, again = fresh().model_state_dict, loaded.build().state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_the_same_checkpoint_gives_the_same_bytes(logs, tmp_path):
    checkpoint.load("tag/one", logs).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (logs / "tag/one/my-model").read_bytes()


def test_folder_or_file_relative_or_absolute(logs):
    file = logs / "tag/one/my-model"
    for path in ("tag/one", "tag/one/my-model", str(file), file.parent):
        assert checkpoint.locate(path, logs) == file


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "my-model"
    file.write_bytes(b"old")

    def full(_fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"my-model: cannot write: no space left.*--summary_dir"):
        fresh().save(file)
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["my-model"]


def test_a_full_disk_while_torch_writes(tmp_path, monkeypatch):
    def save(_value, file):
        file.write(b"half")
        raise RuntimeError("[enforce fail at inline_container.cc] PytorchStreamWriter failed writing file")

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(DataError, match="my-model: cannot write"):
        fresh().save(tmp_path / "my-model")
    assert os.listdir(tmp_path) == []


def test_of_two_that_make_the_same_the_first_wins(tmp_path):
    file = tmp_path / "tiny_net_scratch/my-model"
    assert fresh().save(file, replace=False)
    before = file.read_bytes()
    assert not fresh(speed=2.0).save(file, replace=False)
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == ["my-model"]


def test_missing(logs):
    with pytest.raises(DataError, match="tag/two/my-model: no such checkpoint: check --checkpoint_path"):
        checkpoint.load("tag/two", logs)


def test_cut_flipped_and_foreign_files(logs, tmp_path):
    file = tmp_path / "my-model"
    data = bytearray((logs / "tag/one/my-model").read_bytes())
    for keep in (0, 100, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:keep])
        with pytest.raises(DataError, match="my-model: damaged checkpoint"):
            checkpoint.load(file)
    data[len(data) // 2] ^= 1  # within the weights: torch itself would load it
    file.write_bytes(data)
    with pytest.raises(DataError, match="wrong checksum"):
        checkpoint.load(file)
    torch.save({"model_state_dict": {}}, file)
    with pytest.raises(DataError, match="not a checkpoint that nav_pkg wrote"):
        checkpoint.load(file)


class Code:
    """What must never run."""

    def __reduce__(self):
        return os.mkdir, ("code_was_run",)


def test_a_file_with_code_in_it_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"format": checkpoint.FORMAT, "evil": Code()}, tmp_path / "my-model")
    with pytest.raises(DataError, match="my-model: refused: it holds more than weights"):
        checkpoint.load(tmp_path)
    assert not (tmp_path / "code_was_run").exists()


def test_another_network_or_format(logs, tmp_path):
    with pytest.raises(DataError, match="holds tiny_net, not alex_net: give --network tiny_net"):
        checkpoint.load("tag/one", logs, network="alex_net")
    content = torch.load(logs / "tag/one/my-model", weights_only=True)
    for key, value, text in (
        ("format_version", 99, "checkpoint format 99, this nav_pkg reads 2"),
        ("preprocessing", {}, "my-model: the preprocessing is damaged"),
    ):
        torch.save({**content, key: value}, tmp_path / "my-model")
        with pytest.raises(DataError, match=text):
            checkpoint.load(tmp_path)
    del content["episode"]
    torch.save(content, tmp_path / "my-model")
    with pytest.raises(DataError, match="episode missing"):
        checkpoint.load(tmp_path)


def test_weights_that_do_not_fit_are_named():
    state = dict(fresh().model_state_dict)
    state["out.bias"] = torch.zeros(5)
    state["more"] = state.pop("out.weight")
    with pytest.raises(DataError, match=r"out.weight missing; more unknown; out.bias is \(5,\), not \(3,\)"):
        checkpoint.check_weights(nets.build("tiny_net", seed=0), state, "it")


@pytest.mark.parametrize(
    "change, why",
    [
        (torch.Tensor.double, r"out.bias is of another kind \(float64, not float32\)"),
        (torch.Tensor.long, r"\(int64, not float32\)"),
        (lambda value: value > 0, r"\(bool, not float32\)"),
        (lambda value: value.to(torch.complex64), r"\(complex64, not float32\)"),
        (torch.Tensor.to_sparse, r"\(float32 sparse_coo, not float32\)"),
        (lambda value: value.to("meta"), r"\(float32 no values, not float32\)"),
        (lambda value: value * float("nan"), "out.bias is not finite"),
        (lambda value: value / 0, "out.bias is not finite"),
    ],
)
def test_weights_of_another_kind_are_not_made_to_fit(tmp_path, change, why):
    saved = fresh()
    saved.model_state_dict["out.bias"] = change(saved.model_state_dict["out.bias"])
    saved.save(tmp_path / "my-model")
    with pytest.raises(DataError, match=why):
        Pilot.load(tmp_path)
    with pytest.raises(DataError, match=why):
        checkpoint.load(tmp_path).build()


def test_numbers_that_would_take_all_memory(tmp_path):
    """A size of images that no network has, and more episodes than anyone can list."""
    saved = fresh()
    saved.preprocessing = Preprocessing((10**6, 10**6))
    saved.save(tmp_path / "my-model")
    with pytest.raises(
        DataError, match=r"images of \(1000000, 1000000\) for tiny_net, which takes \(128, 128\)"
    ):
        checkpoint.load(tmp_path)
    saved = fresh()
    saved.episode = 2**61
    saved.save(tmp_path / "my-model")
    with pytest.raises(DataError, match="episode is 2305843009213693952"):
        checkpoint.load(tmp_path)


def test_the_pilot_answers_as_network_and_action_space_say(logs):
    pilot = Pilot.load("tag/one", logs)
    net = fresh().build().eval()
    with torch.no_grad():
        expected = net(Preprocessing((128, 128), "shifted").input(IMAGE))[0].double().numpy()
    assert pilot.network == "tiny_net"
    assert (pilot.outputs(IMAGE) == expected).all()
    yaw = [-1, 0, 1][expected.argmax()]
    pilot.reset(3)
    first = pilot.command(IMAGE)
    pilot.reset(3)
    assert first == pilot.command(IMAGE)
    assert first.yaw == yaw and first.z == 0 and first.x == (1.3 if yaw == 0 else 0.5)


def test_the_pilot_flies_in_evaluation_mode(tmp_path):
    saved = fresh()
    saved.net_options = {"dropout": 0.9}
    saved.save(tmp_path / "my-model")
    pilot = Pilot.load(tmp_path)
    assert (pilot.outputs(IMAGE) == pilot.outputs(IMAGE)).all()


def test_the_pilots_speeds_can_be_given(logs):
    pilot = Pilot.load("tag/one", logs, speed=0.7, turn_speed=0.6)
    assert (pilot.action_space.speed, pilot.action_space.turn_speed) == (0.7, 0.6)
    with pytest.raises(UsageError, match="--speed"):
        Pilot.load("tag/one", logs, speed=-1)


def test_outputs_that_are_not_finite_give_a_command_that_is_not(tmp_path):
    saved = fresh()
    saved.model_state_dict["out.weight"].fill_(3e38)
    saved.save(tmp_path / "my-model")
    assert not Pilot.load(tmp_path).command(IMAGE).finite


def test_a_continuous_pilot(tmp_path):
    fresh(outputs=1, bound=0.2).save(tmp_path / "my-model")
    command = Pilot.load(tmp_path).command(IMAGE)
    assert command.finite and abs(command.yaw) <= 0.2 and command.x == 0.8


def test_devices():
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") in ("cpu", "cuda")
    with pytest.raises(UsageError, match="--device 'tpu'"):
        resolve_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no GPU here"):
            resolve_device("cuda")


def test_leftovers_of_a_killed_save_do_no_harm(logs, tmp_path):
    shutil.copy(logs / "tag/one/my-model", tmp_path / "my-model")
    (tmp_path / ".my-model.1.tmp").write_bytes(b"half")
    assert checkpoint.load(tmp_path).network == "tiny_net"
