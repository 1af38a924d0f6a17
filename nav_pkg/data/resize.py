"""The one way from an image to a network's input size, the same for files and for camera images.

Two steps. A whole factor first: the mean of boxes of 2x2, 4x4 or 8x8 pixels. Then Pillow's bilinear
filter with antialiasing: each output pixel is the triangle-weighted mean of all pixels under it, in
fixed-point arithmetic, hence the same bytes on every machine. The aspect ratio is not kept.

The factor is what makes files cheap: a JPEG decoder can leave the finest waves of each block out
and gives the smaller image at once. That differs from the mean of boxes by 0.2 grey levels on
average (640x360 to 128x128, flights through esatv3).
"""

from __future__ import annotations

from typing import Optional

import numpy as np

from nav_pkg.core import DataError
from nav_pkg.data import codec

RESIZE = "box+bilinear 1"
"""Names this way of resizing; images made in another way do not match."""

_FACTORS = (8, 4, 2)


def reduction(height: int, width: int, size: tuple[int, int]) -> int:
    """The factor of the first step.

    Args:
        height: of the image, pixels.
        width: of the image, pixels.
        size: height and width wanted.

    Returns:
        The largest of 8, 4, 2 and 1 that divides both sides and leaves at least `size`.
    """
    for factor in _FACTORS:
        fits = height % factor == 0 and width % factor == 0
        if fits and height // factor >= size[0] and width // factor >= size[1]:
            return factor
    return 1


def resize(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image at a network's input size.

    Args:
        rgb: uint8 (height, width, 3), red, green, blue.
        size: height and width wanted, pixels.

    Returns:
        uint8 (*size, 3); the array itself when it has that size already.

    Raises:
        DataError: the array is no such image.
    """
    from PIL import Image

    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise DataError(f"an image must be uint8 (height, width, 3), not {rgb.dtype} {rgb.shape}")
    if rgb.shape[:2] == tuple(size):
        return rgb
    factor = reduction(*rgb.shape[:2], size)
    if factor > 1:
        rgb = np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).reduce(factor))
    return bilinear(rgb, size)


def decode_resized(
    data: bytes, size: tuple[int, int], expected: Optional[tuple[int, int]] = None
) -> np.ndarray:
    """A JPEG at a network's input size: what `resize` makes of its pixels, at less cost.

    Args:
        data: the file's bytes.
        size: height and width wanted, pixels.
        expected: height and width that the JPEG must have; None for any.

    Returns:
        uint8 (*size, 3), red, green, blue.

    Raises:
        DataError: when the bytes are cut or no JPEG, or of another size.
    """
    height, width = codec.jpeg_size(data)
    codec.check_size((height, width), expected)
    factor = reduction(height, width, size)
    if factor == 1:
        return resize(codec.decode_rgb(data), size)
    reduced = (height // factor, width // factor)
    rgb = codec.decode_rgb(data, reduced, factor)
    if rgb.shape[:2] != reduced:  # a decoder that cannot scale by this factor
        return resize(codec.decode_rgb(data), size)
    return bilinear(rgb, size)


def bilinear(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The second step alone: uint8 (*size, 3) of uint8 (height, width, 3)."""
    from PIL import Image

    if rgb.shape[:2] == tuple(size):
        return rgb
    height, width = size
    return np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).resize((width, height), Image.BILINEAR))
