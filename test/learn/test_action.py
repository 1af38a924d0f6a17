"""Yaw rates, bins and commands, worked by hand."""

import numpy as np
import pytest

from nav_pkg.core import Command, DataError, UsageError
from nav_pkg.learn.action import ActionSpace


def test_three_bins():
    space = ActionSpace(quantity=3, bound=1.0)
    assert space.outputs == 3
    assert space.centres.tolist() == [-1, 0, 1]
    assert space.edges.tolist() == [-0.5, 0.5]
    # a value on an edge belongs to the lower bin; beyond the bound to the outermost
    yaw = np.array([-3, -1, -0.5, -0.4999, 0, 0.1, 0.5, 0.5001, 0.9, 3])
    assert space.classes(yaw).tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert space.class_names() == ["right", "straight", "left"]


def test_narrow_bound_and_many_bins():
    assert ActionSpace(bound=0.9).edges.tolist() == [-0.45, 0.45]
    five = ActionSpace(quantity=5, bound=1.0)
    assert five.centres.tolist() == [-1, -0.5, 0, 0.5, 1]
    assert five.edges.tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert five.classes(np.array([[-0.8, -0.3], [0.25, 0.26]])).tolist() == [[0, 1], [2, 3]]
    assert ActionSpace(quantity=2).edges.tolist() == [0]


def test_outputs_to_yaw():
    space = ActionSpace(bound=0.9)
    outputs = np.array([[3, 1, 2], [1, 1, 1], [0, 0, 5], [np.nan, 0, 0], [np.inf, 0, 0]])
    yaw = space.yaw(outputs)
    assert yaw[:3].tolist() == [-0.9, -0.9, 0.9]  # the first of equals
    assert np.isnan(yaw[3:]).all()
    value = ActionSpace(discrete=False, bound=0.5)
    assert value.outputs == 1
    assert value.yaw(np.array([[-2], [0.3], [0.7]])).tolist() == [-0.5, 0.3, 0.5]
    assert value.clip(np.array([-2, 0.3])).tolist() == [-0.5, 0.3]
    with pytest.raises(ValueError, match="shape"):
        value.yaw(np.zeros((2, 3)))


def test_commands_slow_down_in_turns():
    space = ActionSpace(speed=1.3, turn_speed=0.5)
    assert space.command(0.3) == Command(x=1.3, yaw=0.3)
    assert space.command(-0.31) == Command(x=0.5, yaw=-0.31)
    assert not space.command(float("nan")).finite


def test_state_there_and_back():
    space = ActionSpace(discrete=False, quantity=5, bound=0.7, speed=1.0, turn_speed=0.2)
    assert ActionSpace.from_state(space.state()) == space
    with pytest.raises(DataError, match="action space"):
        ActionSpace.from_state({"discrete": True})


@pytest.mark.parametrize(
    "values, flag",
    [({"quantity": 1}, "action_quantity"), ({"bound": 0}, "action_bound"), ({"speed": -1}, "speed")],
)
def test_impossible_spaces_are_refused(values, flag):
    with pytest.raises(UsageError, match=f"--{flag}"):
        ActionSpace(**values)
