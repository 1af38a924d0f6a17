"""What the learner node makes of its flags, before it looks for a master."""

import shutil

import pytest
import torch

from nav_pkg import nets
from nav_pkg.config.learner import parse
from nav_pkg.core import UsageError
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.checkpoints.checkpoint import Checkpoint
from nav_pkg.learn.training import determinism

pytestmark = pytest.mark.skipif(shutil.which("rostest") is None, reason="ROS is not installed")


@pytest.fixture
def load(tmp_path):
    """Loads the pilot of a continuous checkpoint as `main.py --online` does."""
    Checkpoint(
        network="tiny_net",
        outputs=1,
        net_options={},
        action_space=ActionSpace(discrete=False),
        preprocessing=Preprocessing(size=nets.spec("tiny_net").input_size),
        model_state_dict=nets.build("tiny_net", outputs=1, seed=1).state_dict(),
    ).save(tmp_path / "flown" / "my-model")
    from nav_pkg.ros import learner

    def run(*words):
        argv = ["--online", "--no_training", "--summary_dir", str(tmp_path), "--device", "cpu", *words]
        args = parse(argv)
        learner.check_no_supervisor_flags(args)
        return learner.load_pilot(args)

    before = torch.get_num_threads()
    yield run
    torch.set_num_threads(before)


def test_defaults_do_not_contradict_the_checkpoint(load, capsys):
    pilot = load("--checkpoint_path", "flown", "__name:=learner")
    assert not pilot.action_space.discrete
    assert torch.get_num_threads() == determinism.cores()
    assert capsys.readouterr().out == ""


def test_threads(load):
    load("--checkpoint_path", "flown", "--num_threads", "3")
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    "line, text",
    [
        ("", "--online --no_training needs --checkpoint_path"),
        ("--checkpoint_path flown --learning_rate 0.1", "--learning_rate has no effect in flight"),
        ("--checkpoint_path flown --discrete", "--discrete: flown was trained without"),
        ("--checkpoint_path flown --shifted_input", "--shifted_input: flown was trained with input mode"),
        ("--checkpoint_path flown --network tiny", "--network 'tiny': no such network"),
        ("--checkpoint_path flown --alpha 0.5", "--alpha is the supervisor's"),
        ("--checkpoint_path flown --ou_theta 0.1", "--ou_theta is the supervisor's"),
    ],
)
def test_what_would_be_ignored_is_refused(load, line, text):
    with pytest.raises(UsageError) as error:
        load(*line.split())
    assert text in str(error.value) and "\n" not in str(error.value)
