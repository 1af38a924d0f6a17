"""Look at images: do they decode, of what size and colours are they, what is their sum?"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Iterable, NamedTuple, Optional, Tuple

import numpy as np

from nav_pkg.core import DataError
from nav_pkg.data import codec, files

SAMPLE = 4
"""Mean and deviation of colours are taken from every fourth row and column."""

Image = Tuple[Path, Optional[Tuple[int, int]]]
"""An image's file, and the height and width that it must have, if that is known."""


class Look(NamedTuple):
    """What looking at one image gave.

    Attributes:
        problem: empty when it is whole.
        shape: (height, width).
        constant: every pixel is the same.
        sums: colour images: number, sum and sum of squares a channel, of the sampled pixels.
        sha256: of the file.
    """

    problem: str
    shape: tuple = ()
    constant: bool = False
    sums: Optional[np.ndarray] = None
    sha256: bytes = b""


def colour_sums(pixels: np.ndarray) -> np.ndarray:
    """Number, sum and sum of squares of pixels.

    Args:
        pixels: uint8 (..., 3).

    Returns:
        float64 (3, 3): these three, of each channel.
    """
    part = pixels.reshape(-1, 3).astype(np.float64)
    return np.stack([np.full(3, len(part)), part.sum(0), (part * part).sum(0)])


def look(path: Path, size: Optional[tuple[int, int]] = None) -> Look:
    """Read and decode an image file (colour by its ending .jpg, else depth).

    Args:
        path: the file.
        size: height and width that it must have; None for any.
    """
    try:
        data = files.read_small(path, follow=False)
    except DataError as error:
        return Look(str(error).replace(f"{path}: ", "", 1))
    sha256 = hashlib.sha256(data).digest()
    try:
        if path.suffix == ".jpg":
            pixels = codec.decode_rgb(data, expected=size)
            sums = colour_sums(pixels[::SAMPLE, ::SAMPLE])
        else:
            pixels = codec.decode_depth(data, size)
            sums = None
    except DataError as error:
        return Look(str(error), sha256=sha256)
    constant = bool((pixels == pixels[0, 0]).all()) if (pixels[0] == pixels[0, 0]).all() else False
    return Look("", pixels.shape[:2], constant, sums, sha256)


def look_at_all(images: Iterable[Image]) -> list[Look]:
    """Look at many images, on all cores this process may use."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(lambda image: look(*image), images))
