"""`nav_pkg.data.resize` as tensor operations with identical results, for exported networks.

An exported file contains its preprocessing. Any runtime (onnxruntime, TorchScript in C++) therefore gives
the network the same input as in training, without Pillow. Pillow computes in integers. This module computes
in floating-point numbers that represent those integers exactly, in any order of summation.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from nav_pkg.data.resize import bilinear, reduction

PRECISION_BITS = 22
"""Pillow's filter weights are integer multiples of 2**-22 (32 bits minus 8 of a pixel and 2 in reserve)."""


def filter_weights(inputs: int, outputs: int) -> np.ndarray:
    """The weights of Pillow's bilinear filter with antialiasing along one side.

    As in Pillow's Resample.c (`precompute_coeffs`, `normalize_coeffs_8bpc`): a triangle as wide as
    an output pixel, and never narrower than two input pixels, cut off at the image's border.

    Args:
        inputs: pixels of that side of the image.
        outputs: pixels of that side of the result.

    Returns:
        float64 (outputs, inputs), integers; each row sums to 2**22 except for rounding.
    """
    scale = inputs / outputs
    width = max(scale, 1.0)
    narrowing = 1.0 / width  # multiply by it, as Pillow does: dividing would differ in the last bit
    weights = np.zeros((outputs, inputs))
    for row in range(outputs):
        centre = (row + 0.5) * scale
        first = max(int(centre - width + 0.5), 0)
        last = min(int(centre + width + 0.5), inputs)
        values = [max(1.0 - abs((column - centre + 0.5) * narrowing), 0.0) for column in range(first, last)]
        total = sum(values)
        weights[row, first:last] = [int(0.5 + value / total * 2**PRECISION_BITS) for value in values]
    return weights


class TensorResize(nn.Module):
    """Resizes images of one size with the same result as `nav_pkg.data.resize.resize`.

    Args:
        height: of the camera's images, pixels.
        width: of the camera's images, pixels.
        size: height and width of the result, pixels.
    """

    def __init__(self, height: int, width: int, size: tuple[int, int]):
        super().__init__()
        self._factor = reduction(height, width, size) if (height, width) != tuple(size) else 1
        height, width = height // self._factor, width // self._factor
        self._across, self._down = width != size[1], height != size[0]
        if self._across:
            self.register_buffer("across", torch.from_numpy(filter_weights(width, size[1]).T.copy()))
        if self._down:
            self.register_buffer("down", torch.from_numpy(filter_weights(height, size[0])))
        self._down_first = False
        if self._across and self._down:
            self._down_first = self._pillow_goes_down_first(height, width, size)

    def _pillow_goes_down_first(self, height: int, width: int, size: tuple[int, int]) -> bool:
        """Whether Pillow resizes vertically before it resizes horizontally.

        Pillow rounds between the two. The order depends on its version and on the sizes: version 13.0 resizes
        vertically first if the height shrinks much more than the width. This method therefore tests Pillow.
        """
        random = np.random.default_rng(0)
        for _ in range(8):  # a single small image might come out equal by chance
            image = random.integers(0, 256, (height, width, 3), np.uint8)
            planes = torch.from_numpy(image).permute(2, 0, 1)[None].float()
            pillow = torch.from_numpy(np.array(bilinear(image, size))).permute(2, 0, 1)[None]
            if (self._vertical(self._horizontal(planes)) != pillow).any():
                return True
        return False

    def _horizontal(self, planes: torch.Tensor) -> torch.Tensor:
        return _rounded(torch.matmul(planes.double(), self.across))

    def _vertical(self, planes: torch.Tensor) -> torch.Tensor:
        return _rounded(torch.matmul(self.down, planes.double()))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Resize uint8 (batch, height, width, 3) to integers 0 to 255, float32 (batch, 3, *size)."""
        planes = pixels.permute(0, 3, 1, 2).float()
        if self._factor > 1:
            # sums of at most 64 bytes, and their mean, are exact in float32
            planes = torch.floor(functional.avg_pool2d(planes, self._factor) + 0.5)
        # a byte times a weight has 30 bits, a sum of these less than 53: exact in float64; Pillow rounds to
        # bytes between the two directions
        if self._down_first:
            return self._horizontal(self._vertical(planes))
        if self._across:
            planes = self._horizontal(planes)
        if self._down:
            planes = self._vertical(planes)
        return planes


def _rounded(sums: torch.Tensor) -> torch.Tensor:
    """Round sums of weighted bytes to integers, halves upwards."""
    return torch.floor(sums * 2.0**-PRECISION_BITS + 0.5).float()
