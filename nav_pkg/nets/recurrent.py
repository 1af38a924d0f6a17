"""Recurrent networks: convolutions on each frame, an LSTM over the frames, a linear output.

In training the network processes a sequence of frames at once. In flight it processes one frame at a time
and passes the state to the next. Both give the same outputs.
"""

from __future__ import annotations

from typing import Optional, Tuple

import torch
from torch import nn

from nav_pkg.nets.init import xavier
from nav_pkg.nets.registry import NetSpec, register
from nav_pkg.nets.tiny import TINY_FEATURES, tiny_features
from nav_pkg.nets.vision import ALEX_FEATURES, ALEX_WEIGHTS, alex_features

HIDDEN = 64
LAYERS = 2

HEAD = ("lstm", "out")
OPTIONS = (("dropout", 0.5),)

State = Tuple[torch.Tensor, torch.Tensor]
"""The state (h, c) of the LSTM, each float32 (layers, batch, hidden)."""


class RecurrentNet(nn.Module):
    """Convolutions, a 2-layer LSTM with 64 hidden values, a linear output.

    Attributes:
        features: the convolutions: images (N, 3, height, width) -> maps.
        lstm: the LSTM over the features of each frame.
        out: the linear layer from the LSTM's hidden values to the outputs.

    Args:
        features: the convolutions.
        feature_count: number of values in their maps for one image.
        outputs: number of output values.
        dropout: share of the first LSTM layer's hidden values that is dropped before the second layer in
            training mode, 0 to below 1.
    """

    def __init__(self, features: nn.Sequential, feature_count: int, outputs: int, dropout: float):
        super().__init__()
        self.features = features
        self.lstm = nn.LSTM(feature_count, HIDDEN, num_layers=LAYERS, dropout=dropout)
        self.out = nn.Linear(HIDDEN, outputs)
        xavier(self)

    def initial_state(self, batch: int, device: Optional[torch.device] = None) -> State:
        """Return the state before the first frame: zeros.

        Args:
            batch: number of sequences.
            device: device of the state; None for the network's device.
        """
        like = self.lstm.weight_hh_l0
        h, c = torch.zeros(
            (2, self.lstm.num_layers, batch, self.lstm.hidden_size),
            device=like.device if device is None else device,
            dtype=like.dtype,
        )
        return h, c

    def extract(self, images: torch.Tensor) -> torch.Tensor:
        """Compute features (N, feature_count) from images (N, 3, height, width), both float32."""
        return self.features(images).flatten(1)

    def recur(self, features: torch.Tensor, state: Optional[State] = None) -> tuple[torch.Tensor, State]:
        """Run the LSTM and the output layer over sequences of features.

        Args:
            features: float32 (batch, time, feature_count), in order of time.
            state: the state before the first frame, each part (layers, batch, hidden); None for
                `initial_state`.

        Returns:
            Outputs float32 (batch, time, outputs), and the state after the last frame.
        """
        # torch computes with the time axis first: features with that memory layout are not copied
        hidden, state = self.lstm(features.transpose(0, 1), state)
        return self.out(hidden).transpose(0, 1), state

    def forward(self, images: torch.Tensor, state: Optional[State] = None) -> tuple[torch.Tensor, State]:
        """Run over sequences of images, float32 (batch, time, 3, height, width); otherwise as `recur`."""
        features = self.extract(images.flatten(0, 1))
        return self.recur(features.unflatten(0, images.shape[:2]), state)


@register(
    NetSpec(
        name="tiny_LSTM_net",
        input_size=(128, 128),
        summary="tiny_net's convolutions, LSTM of 2 layers with 64 hidden values, fc out; "
        "2,101,281 parameters",
        options=OPTIONS,
        kind="recurrent",
        head=HEAD,
    )
)
def tiny_lstm_net(outputs: int, dropout: float = 0.5) -> RecurrentNet:
    """The LSTM over tiny_net's convolutions, 8000 features (2,101,281 parameters at 3 outputs)."""
    return RecurrentNet(tiny_features(), TINY_FEATURES, outputs, dropout)


@register(
    NetSpec(
        name="alex_LSTM_net",
        input_size=(224, 224),
        summary="AlexNet's convolutions, LSTM of 2 layers with 64 hidden values, fc out; "
        "4,879,363 parameters",
        options=OPTIONS,
        kind="recurrent",
        head=HEAD,
        weights=ALEX_WEIGHTS,
        weights_unused=("classifier",),
    )
)
def alex_lstm_net(outputs: int, dropout: float = 0.5) -> RecurrentNet:
    """The LSTM over AlexNet's convolutions, 9216 features (4,879,363 parameters at 3 outputs)."""
    return RecurrentNet(alex_features(), ALEX_FEATURES, outputs, dropout)
