"""Networks that take the last few frames at once: tiny_nfc_net and tinyv3_3d_net.

Both take float32 (batch, n_frames, 3, 128, 128), oldest frame first. tiny_nfc_net combines the frames after
the convolutions, which process each frame separately. tinyv3_3d_net combines them in the first convolution.
"""

from __future__ import annotations

import torch
from torch import nn

from nav_pkg.nets.init import xavier
from nav_pkg.nets.registry import NetSpec, register
from nav_pkg.nets.tiny import HEAD, TINY_FEATURES, TinyV3Net, tiny_features

N_FRAMES = 5
"""Half a second at the control rate of 10 Hz."""

OPTIONS = (("dropout", 0.0), ("batch_norm", False), ("n_frames", N_FRAMES))


@register(
    NetSpec(
        name="tiny_nfc_net",
        input_size=(128, 128),
        summary="tiny_net's convolutions on each of n frames, concatenated, fc 100, fc out; "
        "4,003,313 parameters at 5 frames",
        options=OPTIONS,
        kind="frames",
        head=HEAD,
    )
)
class TinyNfcNet(nn.Module):
    """The convolutions of tiny_net on each frame, then one hidden layer of 100 over all frames.

    Args:
        dropout: share of the hidden layer dropped in training mode, 0 to below 1.
        dropout: share of the hidden layer that is dropped in training mode, 0 to below 1.
        batch_norm: normalise after each convolution, over all frames of a batch together.
        n_frames: number of frames in an input.
    """

    def __init__(
        self, outputs: int, dropout: float = 0.0, batch_norm: bool = False, n_frames: int = N_FRAMES
    ):
        super().__init__()
        self.features = tiny_features(batch_norm)
        self.hidden = nn.Linear(n_frames * TINY_FEATURES, 100)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(100, outputs)
        xavier(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute outputs (batch, outputs) from images (batch, n_frames, 3, 128, 128), both float32."""
        features = self.features(images.flatten(0, 1)).flatten(1)
        hidden = torch.relu(self.hidden(features.reshape(images.shape[0], -1)))
        return self.out(self.dropout(hidden))


@register(
    NetSpec(
        name="tinyv3_3d_net",
        input_size=(128, 128),
        summary="tinyv3_net with n frames stacked as 3n input channels; 523,838 parameters at 5 frames",
        options=OPTIONS,
        kind="frames",
        head=HEAD,
    )
)
class TinyV33dNet(TinyV3Net):
    """tinyv3_net with all frames as input channels of the first convolution: 3 per frame, oldest first.

    Args:
        outputs: number of output values.
        dropout: share of the hidden layer dropped in training mode, 0 to below 1.
        batch_norm: normalise after each convolution.
        n_frames: number of frames in an input.
    """

    def __init__(
        self, outputs: int, dropout: float = 0.0, batch_norm: bool = False, n_frames: int = N_FRAMES
    ):
        super().__init__(outputs, dropout, batch_norm, channels=3 * n_frames)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute outputs (batch, outputs) from images (batch, n_frames, 3, 128, 128), both float32."""
        return super().forward(images.flatten(1, 2))
