"""Scores and losses, worked by hand."""

import math

import numpy as np
import pytest
import torch

from nav_pkg.core import UsageError
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.methods.losses import make_loss
from nav_pkg.learn.methods.metrics import confusion_matrix, majority_class, scores
from nav_pkg.learn.methods.optimizers import make_optimizer, optimizer_names

SPACE = ActionSpace()


def test_scores_by_hand():
    yaw = np.array([-1.0, -0.9, 0.0, 0.1, 0.0, 0.0])  # right, right, straight x 4; never left
    chosen = [0, 1, 1, 1, 2, 1]
    values = scores(SPACE, np.eye(3)[chosen], yaw, loss=0.25, majority_class=1)
    assert values["confusion"] == [[1, 1, 0], [0, 3, 1], [0, 0, 0]]
    assert values["accuracy"] == pytest.approx(4 / 6)
    assert values["recall"] == [0.5, 0.75, None]
    assert values["balanced_accuracy"] == pytest.approx(0.625)
    assert values["majority_accuracy"] == pytest.approx(4 / 6)
    # errors of yaw: 0, 0.9, 0, -0.1, 1, 0
    assert values["imitation_loss"] == pytest.approx((0.81 + 0.01 + 1) / 6)
    assert values["loss"] == 0.25 and values["frames"] == 6


def test_confusion_rows_are_true_and_columns_predicted():
    assert confusion_matrix(np.array([0, 0, 1]), np.array([1, 1, 0]), 2).tolist() == [[0, 2], [1, 0]]


def test_majority_class():
    assert majority_class(SPACE, np.array([0.9, -0.9, 0.9])) == 2
    assert majority_class(SPACE, np.array([0.9, -0.9])) == 0


def test_continuous_scores_use_the_bins():
    space = ActionSpace(discrete=False)
    values = scores(space, np.array([[0.4], [0.6], [-2.0]]), np.array([0.0, 0.0, -1.0]), 0.0, 1)
    assert values["confusion"] == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert values["imitation_loss"] == pytest.approx((0.16 + 0.36 + 0) / 3)


def test_losses_by_hand():
    yaw = np.array([-1.0, 0.2])
    outputs = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    entropy = make_loss("CrossEntropy", SPACE)
    expected = (-math.log(math.e / (math.e + 2)) + math.log(3)) / 2
    assert float(entropy(outputs, entropy.targets(yaw))) == pytest.approx(expected)
    squares = make_loss("MSE", SPACE)
    assert float(squares(outputs, squares.targets(yaw))) == pytest.approx(1 / 6)
    value = make_loss("MSE", ActionSpace(discrete=False, bound=0.5))
    assert value.targets(yaw).tolist() == [[-0.5], pytest.approx([0.2])]
    assert float(value(torch.tensor([[0.5], [0.2]]), value.targets(yaw))) == pytest.approx(0.5)


def test_impossible_losses_and_optimisers_are_refused():
    with pytest.raises(UsageError, match="did you mean 'CrossEntropy'"):
        make_loss("CrossEntropi", SPACE)
    with pytest.raises(UsageError, match="add --discrete"):
        make_loss("CrossEntropy", ActionSpace(discrete=False))
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    with pytest.raises(UsageError, match="'adam'.*did you mean 'Adam"):
        make_optimizer("adam", parameters, 0.1)
    with pytest.raises(UsageError, match="--momentum: Adam has no momentum"):
        make_optimizer("Adam", parameters, 0.1, momentum=0.9)
    with pytest.raises(UsageError, match="--learning_rate"):
        make_optimizer("SGD", parameters, 0.0)


def test_optimisers_of_the_published_runs():
    assert {"SGD", "Adam", "Adadelta"} <= set(optimizer_names())
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    optimizer = make_optimizer("SGD", parameters, 0.1, weight_decay=0.01, momentum=0.9)
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"], optimizer.defaults["momentum"]) == (
        0.1,
        0.01,
        0.9,
    )
