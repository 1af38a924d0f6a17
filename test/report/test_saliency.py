"""Saliency maps: a hand-made network, and every network of the registry."""

import numpy as np
import pytest
import torch

from nav_pkg import nets
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.checkpoints.checkpoint import Checkpoint
from nav_pkg.report.saliency import Saliency, overlay


def checkpoint(network, space):
    """A scratch checkpoint."""
    spec = nets.spec(network)
    net = nets.build(network, outputs=space.outputs, seed=3)
    options = nets.complete_options(network)
    return Checkpoint(
        network=network,
        outputs=space.outputs,
        net_options=options,
        action_space=space,
        preprocessing=Preprocessing(spec.input_size),
        model_state_dict=net.state_dict(),
    )


def image(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (72, 128, 3), np.uint8)


@pytest.mark.parametrize("network", nets.names())
def test_every_network(network):
    saliency = Saliency(checkpoint(network, ActionSpace()))
    if not saliency.layer:
        with pytest.raises(ValueError, match="without convolutions"):
            saliency.map(image())
        return
    heat, yaw = saliency.map(image())
    assert heat.shape == (72, 128)
    assert yaw in (-1, 0, 1)
    assert heat.min() >= 0
    assert heat.max() in (0, 1)


def test_heat_lies_where_the_answer_comes_from():
    """A net that is one convolution of the red channel, of which the left half says 'left'."""
    saliency = Saliency(checkpoint("tiny_net", ActionSpace(discrete=False)))
    convolution = torch.nn.Conv2d(3, 1, 1, bias=False)
    torch.nn.init.constant_(convolution.weight, 0)
    convolution.weight.data[0, 0] = 1

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = convolution

        def forward(self, images):
            return self.convolution(images).mean(dim=(2, 3))

    saliency._net, saliency._module, saliency.layer = Net(), convolution, "convolution"
    rgb = np.zeros((72, 128, 3), np.uint8)
    rgb[:, :40, 0] = 255
    rgb[:, 80:, 1] = 255
    heat, yaw = saliency.map(rgb)
    assert yaw > 0
    assert heat[:, :32].min() > 0.9
    assert heat[:, 48:].max() == pytest.approx(0)


def test_the_network_is_left_without_hooks_and_gradients():
    saliency = Saliency(checkpoint("tiny_net", ActionSpace()))
    first, _ = saliency.map(image())
    second, _ = saliency.map(image())
    assert np.array_equal(first, second)
    assert not any(module._forward_hooks for module in saliency._net.modules())


def test_overlay_brightens_what_matters():
    heat = np.zeros((10, 20))
    heat[:, 10:] = 1
    picture = overlay(np.full((10, 20, 3), 80, np.uint8), heat)
    assert picture.shape == (10, 20, 3)
    assert picture[:, 10:].mean() > picture[:, :10].mean() + 20
