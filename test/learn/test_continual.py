"""Plateaus and memory aware synapses, worked out by hand."""

import pytest
import torch
from torch import nn

from nav_pkg.learn.online.continual import MemoryAwareSynapses, PlateauDetector


def test_a_plateau_counts_once_until_the_loss_has_risen():
    detector = PlateauDetector(length=3, mean=0.1, deviation=0.05)
    losses = [1.0, 0.05, 0.05, 0.05, 0.05, 0.06, 0.9, 0.05, 0.05, 0.04, 0.05]
    assert [detector.plateau_begins(loss) for loss in losses] == [
        False, False, False, True, False, False, False, False, False, True, False,
    ]  # fmt: skip


def test_a_restless_loss_is_no_plateau():
    detector = PlateauDetector(length=4, mean=0.5, deviation=0.1)
    assert not any(detector.plateau_begins(loss) for loss in [0.0, 0.4] * 10)


def test_its_state_goes_on():
    first, other = (PlateauDetector(3, 0.1, 0.05) for _ in range(2))
    losses = [1.0, 0.05, 0.05]
    for loss in losses:
        first.plateau_begins(loss)
    other.restore(first.state())
    assert first.plateau_begins(0.05) and other.plateau_begins(0.05)
    assert not other.plateau_begins(0.05)


def linear(values):
    net = nn.Linear(2, 1, bias=False)
    net.weight.data = torch.tensor([values])
    return net


def test_importance_by_hand():
    # f = w . x; d f^2 / d w = 2 f x
    net = linear([1.0, 2.0])
    mas = MemoryAwareSynapses(net.parameters(), strength=3.0)
    samples = [torch.tensor([1.0, 0.0]), torch.tensor([1.0, -1.0])]  # f = 1 and -1
    mas.update_importance(net, samples, lambda: None)
    assert torch.allclose(mas.importance[0], torch.tensor([[2.0, 1.0]]))  # (2 + 2) / 2, (0 + 2) / 2
    assert mas.penalty() == 0.0
    net.weight.data += torch.tensor([[0.5, -1.0]])
    assert mas.penalty() == pytest.approx(3.0 / 2 * (2 * 0.25 + 1 * 1.0))
    net.weight.grad = torch.zeros(1, 2)
    mas.add_gradients()
    assert torch.allclose(net.weight.grad, torch.tensor([[3.0 * 2 * 0.5, 3.0 * 1 * -1.0]]))
    mas.update_importance(net, [torch.tensor([0.0, 1.0])], lambda: None)  # f = 1: importance (0, 2)
    assert torch.allclose(mas.importance[0], torch.tensor([[1.0, 1.5]]))  # the mean of both plateaus
    assert mas.updates == 2 and mas.penalty() == 0.0


def test_it_keeps_what_mattered():
    """Learning a second task with the penalty moves the weight that the first one used less."""

    def learn(strength):
        net = linear([1.0, 1.0])
        mas = MemoryAwareSynapses(net.parameters(), strength)
        mas.update_importance(net, [torch.tensor([2.0, 0.1])], lambda: None)
        optimizer = torch.optim.SGD(net.parameters(), 0.05)
        for _ in range(200):
            optimizer.zero_grad()
            (net(torch.tensor([1.0, 1.0])) - 5.0).pow(2).sum().backward()
            mas.add_gradients()
            optimizer.step()
        return (net.weight.detach() - 1.0).abs()[0]

    free, with_mas = learn(0.0), learn(1.0)
    assert free[0] == pytest.approx(float(free[1]), rel=1e-4)
    assert with_mas[0] < 0.2 * with_mas[1]


def test_its_state_is_the_same():
    net = linear([1.0, 2.0])
    mas = MemoryAwareSynapses(net.parameters(), 1.0)
    mas.update_importance(net, [torch.tensor([1.0, 0.5])], lambda: None)
    again = MemoryAwareSynapses(net.parameters(), 1.0)
    again.restore(mas.state())
    net.weight.data += 1.0
    assert again.penalty() == mas.penalty() > 0 and again.updates == 1
