"""tiny_net and tinyv3_net: two convolutions and two linear layers, for a small onboard computer."""

from __future__ import annotations

import torch
from torch import nn

from nav_pkg.nets.init import xavier
from nav_pkg.nets.registry import NetSpec, register

TINY_FEATURES = 20 * 20 * 20
"""Number of values in the output of `tiny_features` for an image."""

HEAD = ("hidden", "dropout", "out")
"""Attributes of the modules after the convolutions in the networks of this module."""


def tiny_features(batch_norm: bool = False) -> nn.Sequential:
    """The convolutions of tiny_net: (batch, 3, 128, 128) -> (batch, 20, 20, 20).

    128 -> 41 (6x6, stride 3) -> 20 (3x3, stride 2), each followed by a ReLU.

    Args:
        batch_norm: normalise after each convolution.
    """
    return nn.Sequential(
        *_convolution(3, 10, kernel=6, stride=3, batch_norm=batch_norm),
        *_convolution(10, 20, kernel=3, stride=2, batch_norm=batch_norm),
    )


def tinyv3_features(channels: int = 3, batch_norm: bool = False) -> nn.Sequential:
    """The convolutions of tinyv3_net: (batch, channels, 128, 128) -> (batch, 20, 7, 7).

    128 -> 30 (10x10, stride 4) -> 7 (5x5, stride 4), each followed by a ReLU.

    Args:
        channels: of the input.
        batch_norm: normalise after each convolution.
    """
    return nn.Sequential(
        *_convolution(channels, 10, kernel=10, stride=4, batch_norm=batch_norm),
        *_convolution(10, 20, kernel=5, stride=4, batch_norm=batch_norm),
    )


def _convolution(inputs: int, outputs: int, kernel: int, stride: int, batch_norm: bool) -> list[nn.Module]:
    """A convolution with its normalisation and ReLU."""
    norm = [nn.BatchNorm2d(outputs)] if batch_norm else []
    return [nn.Conv2d(inputs, outputs, kernel_size=kernel, stride=stride), *norm, nn.ReLU(inplace=True)]


@register(
    NetSpec(
        name="tiny_net",
        input_size=(128, 128),
        summary="conv 10@6x6 stride 3, conv 20@3x3 stride 2, fc 1024, fc out; 8,199,009 parameters",
        options=(("dropout", 0.0), ("batch_norm", False)),
        head=HEAD,
    )
)
class TinyNet(nn.Module):
    """Two convolutions, a hidden layer of 1024, a linear output (8,199,009 parameters at 3 outputs).

    Args:
        outputs: number of output values.
        dropout: share of the hidden layer dropped in training mode, 0 to below 1.
        batch_norm: normalise after each convolution.
    """

    def __init__(self, outputs: int, dropout: float = 0.0, batch_norm: bool = False):
        super().__init__()
        self.features = tiny_features(batch_norm)
        self.hidden = nn.Linear(TINY_FEATURES, 1024)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(1024, outputs)
        xavier(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute outputs (batch, outputs) from images (batch, 3, 128, 128), both float32."""
        hidden = torch.relu(self.hidden(self.features(images).flatten(1)))
        return self.out(self.dropout(hidden))


@register(
    NetSpec(
        name="tinyv3_net",
        input_size=(128, 128),
        summary="conv 10@10x10 stride 4, conv 20@5x5 stride 4, fc 512, fc out (no bias); 511,838 parameters",
        options=(("dropout", 0.0), ("batch_norm", False)),
        head=HEAD,
    )
)
class TinyV3Net(nn.Module):
    """Coarser convolutions and a hidden layer of 512 (511,838 parameters at 3 outputs).

    The output layer has no bias.

    Args:
        outputs: number of output values.
        dropout: share of the hidden layer dropped in training mode, 0 to below 1.
        batch_norm: normalise after each convolution.
        channels: of the input.
    """

    def __init__(self, outputs: int, dropout: float = 0.0, batch_norm: bool = False, channels: int = 3):
        super().__init__()
        self.features = tinyv3_features(channels, batch_norm)
        self.hidden = nn.Linear(20 * 7 * 7, 512)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(512, outputs, bias=False)
        xavier(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute outputs (batch, outputs) from images (batch, channels, 128, 128), both float32."""
        hidden = torch.relu(self.hidden(self.features(images).flatten(1)))
        return self.out(self.dropout(hidden))
