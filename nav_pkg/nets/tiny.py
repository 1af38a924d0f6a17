"""tiny_net: two convolutions and two matrices, for a small computer on board."""

from __future__ import annotations

import torch
from torch import nn

from nav_pkg.nets.init import xavier
from nav_pkg.nets.registry import NetSpec, register


def tiny_features() -> nn.Sequential:
    """The convolutions of tiny_net: (batch, 3, 128, 128) -> (batch, 20, 20, 20).

    128 -> 41 (6x6, stride 3) -> 20 (3x3, stride 2), each followed by a ReLU.
    """
    return nn.Sequential(
        nn.Conv2d(3, 10, kernel_size=6, stride=3),
        nn.ReLU(inplace=True),
        nn.Conv2d(10, 20, kernel_size=3, stride=2),
        nn.ReLU(inplace=True),
    )


@register(
    NetSpec(
        name="tiny_net",
        input_size=(128, 128),
        summary="conv 10@6x6 stride 3, conv 20@3x3 stride 2, fc 1024, fc out; 8,199,009 parameters",
        options=(("dropout", 0.0),),
    )
)
class TinyNet(nn.Module):
    """Two convolutions, a hidden layer of 1024, a linear output (8,199,009 parameters at 3 outputs).

    Args:
        outputs: number of output values.
        dropout: share of the hidden layer that is dropped in training mode, 0 to below 1.
    """

    def __init__(self, outputs: int, dropout: float = 0.0):
        super().__init__()
        self.features = tiny_features()
        self.hidden = nn.Linear(20 * 20 * 20, 1024)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(1024, outputs)
        xavier(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Outputs (batch, outputs) of images (batch, 3, 128, 128), both float32."""
        hidden = torch.relu(self.hidden(self.features(images).flatten(1)))
        return self.out(self.dropout(hidden))
