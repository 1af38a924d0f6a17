"""Inspect images: whether they decode, their size, colour sums and checksum."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Iterable, NamedTuple, Optional, Tuple

import numpy as np

from nav_pkg.core import DataError
from nav_pkg.data import codec
from nav_pkg.data.image_store import ImageStore

SAMPLE_STEP = 4
"""Step of the rows and columns sampled for the mean and standard deviation of colours."""

StoredImage = Tuple[ImageStore, str, Optional[Tuple[int, int]]]
"""A run's images, the path of one in the run, and its height and width (None if unknown)."""


class ImageReport(NamedTuple):
    """The result of inspecting one image.

    Attributes:
        problem: one line; empty if the image is intact.
        shape: (height, width).
        constant: whether all pixels are equal.
        sums: `colour_sums` of the sampled pixels; None for depth images.
        sha256: of its bytes.
    """

    problem: str
    shape: tuple = ()
    constant: bool = False
    sums: Optional[np.ndarray] = None
    sha256: bytes = b""


def colour_sums(pixels: np.ndarray) -> np.ndarray:
    """Number, sum and sum of squares of the pixels, per channel.

    Args:
        pixels: uint8 (..., 3).

    Returns:
        float64 (3, 3): one row each for number, sum and sum of squares; one column per channel.
    """
    part = pixels.reshape(-1, 3).astype(np.float64)
    return np.stack([np.full(3, len(part)), part.sum(0), (part * part).sum(0)])


def inspect_image(store: ImageStore, name: str, size: Optional[tuple[int, int]] = None) -> ImageReport:
    """Read, hash and decode an image (.jpg is a colour image, any other suffix a depth image).

    Args:
        store: the images of its run.
        name: its path in the run.
        size: height and width that it must have; None for any.
    """
    try:
        data = store.read(name)
    except DataError as error:
        problem = str(error).replace(f"{store.where(name)}: ", "", 1)
        return ImageReport(problem.replace("; see dataset.py verify", ""))
    sha256 = hashlib.sha256(data).digest()
    try:
        if name.endswith(".jpg"):
            pixels = codec.decode_rgb(data, expected=size)
            sums = colour_sums(pixels[::SAMPLE_STEP, ::SAMPLE_STEP])
        else:
            pixels = codec.decode_depth(data, size)
            sums = None
    except DataError as error:
        return ImageReport(str(error), sha256=sha256)
    constant = bool((pixels == pixels[0, 0]).all()) if (pixels[0] == pixels[0, 0]).all() else False
    return ImageReport("", pixels.shape[:2], constant, sums, sha256)


def inspect_images(images: Iterable[StoredImage]) -> list[ImageReport]:
    """Inspect many images on all cores available to this process."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(lambda image: inspect_image(*image), images))
