"""The published command lines, as they are written, on small datasets of their names."""

import shlex

import pytest
import torch

from nav_pkg.cli import dataset
from nav_pkg.cli.main import main
from nav_pkg.core import DataError
from nav_pkg.learn.checkpoints import checkpoint
from nav_pkg.nets import torchvision_compat

LSTM = (
    "--network tiny_LSTM_net --discrete --dataset esatv3_expert_200K --turn_speed 0.8 --speed 0.8 "
    "--tensorboard --max_episodes 100 --batch_size 32 --learning_rate 0.01 --loss CrossEntropy "
    "--shifted_input --optimizer SGD --continue_training --checkpoint_path tiny_LSTM_net_scratch"
)
PRETRAINED = (
    "--dataset esatv3_expert_500  --tensorboard --max_episodes 10 --learning_rate 0.01 --owr "
    "--network res18_net --checkpoint_path '' --discrete --loss CrossEntropy --pretrained"
)


@pytest.fixture
def page(write_dataset, tmp_path, monkeypatch):
    """Runs a line with `--max_episodes 2`, as a user does in the project's shell."""
    write_dataset(tmp_path / "data", runs=4, frames=100)
    write_dataset(tmp_path / "data", name="short", runs=4, frames=20)
    monkeypatch.setenv("NAV_PKG_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NAV_PKG_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for source, frames, name in (("easy", 400, "esatv3_expert_200K"), ("short", 80, "esatv3_expert_500")):
        argv = ["subset", source, "--frames", str(frames), "--destination", name]
        assert dataset.main([*argv, "--data_root", str(tmp_path / "data")]) == 0

    def run(line):
        words = shlex.split(line)
        words[words.index("--max_episodes") + 1] = "2"
        return main(words)

    return run


def test_lstm(page, tmp_path, capsys):
    assert page(LSTM) == 0
    assert "tiny_LSTM_net_scratch/my-model: was not there: made from seed 123" in capsys.readouterr().out
    assert checkpoint.load(tmp_path / "log/testing").episode == 2


@pytest.mark.slow
def test_pretrained(page, tmp_path, capsys):
    with pytest.raises(DataError, match="resnet18-f37072fd.pth is missing: put torchvision's"):
        page(PRETRAINED)
    torch.manual_seed(1)
    weights = torchvision_compat.load().models.resnet18().state_dict()
    folder = tmp_path / "torch/hub/checkpoints"
    folder.mkdir(parents=True)
    torch.save(weights, folder / "resnet18-f37072fd.pth")
    assert page(PRETRAINED) == 0
    assert "ImageNet weights from" in capsys.readouterr().out
    learned = checkpoint.load(tmp_path / "log/testing")
    assert learned.updates == 2 and learned.model_state_dict["fc.weight"].shape == (3, 512)
    distance = (learned.model_state_dict["conv1.weight"] - weights["conv1.weight"]).abs().max()
    assert 0 < distance < 0.05  # it began there
