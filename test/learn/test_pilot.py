"""A net flies as it was trained: flags that say otherwise are refused."""

import dataclasses

import pytest

from nav_pkg import nets
from nav_pkg.core import DataError, UsageError
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.checkpoints import checkpoint
from nav_pkg.learn.checkpoints.checkpoint import Checkpoint
from nav_pkg.learn.deployment.pilot import Pilot


@pytest.fixture
def save(tmp_path):
    """Writes a checkpoint of fresh weights as `flown` below tmp_path."""

    def make(mode="shifted", **space):
        space = ActionSpace(**space)
        Checkpoint(
            network="tiny_net",
            outputs=space.outputs,
            net_options={},
            action_space=space,
            preprocessing=Preprocessing(size=nets.spec("tiny_net").input_size, mode=mode),
            model_state_dict=nets.build("tiny_net", outputs=space.outputs, seed=1).state_dict(),
        ).save(tmp_path / "flown" / "my-model")
        return tmp_path

    return make


@pytest.mark.parametrize(
    "held, given",
    [
        ({}, {}),
        ({}, {"discrete": True, "action_quantity": 3, "action_bound": 1.0, "shifted_input": True}),
        ({"discrete": False, "bound": 0.9}, {"action_bound": 0.9}),
        ({"mode": "scaled"}, {"scaled_input": True, "scale_means": [0.5, 0.46, 0.42]}),
        ({"mode": "scaled"}, {"scale_stds": [0.2575, 0.239, 0.218]}),
        ({}, {"online": True, "checkpoint_path": "flown", "tensorboard": True, "speed": 0.5}),
    ],
)
def test_flags_that_are_true_of_the_checkpoint(save, held, given):
    assert Pilot.load("flown", save(**held), given=given).network == "tiny_net"


@pytest.mark.parametrize(
    "held, given, text",
    [
        ({"discrete": False}, {"discrete": True}, "--discrete: flown was trained without --discrete: leave"),
        (
            {"quantity": 5},
            {"action_quantity": 3},
            "--action_quantity 3: flown was trained with --action_quantity 5: give 5, leave it out, or "
            "give another --checkpoint_path",
        ),
        ({}, {"action_bound": 0.5}, "--action_bound 0.5: flown was trained with --action_bound 1: give 1"),
        (
            {"mode": "none"},
            {"shifted_input": True},
            "--shifted_input: flown was trained with input mode 'none': leave --shifted_input out",
        ),
        ({}, {"scaled_input": True}, "--scaled_input: flown was trained with input mode 'shifted'"),
        ({}, {"scale_means": [0.5, 0.46, 0.42]}, "--scale_means 0.5 0.46 0.42: flown was trained with input"),
        (
            {"mode": "scaled"},
            {"scaled_input": True, "scale_stds": [1.0, 1.0, 1.0]},
            "--scale_stds 1 1 1: flown was trained with --scale_stds 0.2575 0.239 0.218: give 0.2575",
        ),
    ],
)
def test_flags_that_contradict_the_checkpoint(save, held, given, text):
    with pytest.raises(UsageError) as error:
        Pilot.load("flown", save(**held), given=given)
    assert str(error.value).startswith(text) and "\n" not in str(error.value)
    assert error.value.code == 2


def test_the_network_must_be_the_checkpoints(save):
    root = save()
    with pytest.raises(UsageError, match="--network 'tiny_ney': no such network; did you mean 'tiny_net'"):
        Pilot.load("flown", root, network="tiny_ney")
    file = root / "flown" / "my-model"
    dataclasses.replace(checkpoint.load(file), network="another_net").save(file)
    with pytest.raises(DataError, match="holds another_net, not tiny_net: give --network another_net"):
        Pilot.load("flown", root, network="tiny_net")
