"""Image codecs: JPEG for colour, 16 bit PNG in millimetres for depth.

Encoding is deterministic: equal pixels give equal bytes. ISA-L compresses the PNGs. Its bytes are the same on
every x86-64 processor with SSE4.2 (2008 and later); other processors may give others. Pixels never differ.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Optional

import numpy as np

from nav_pkg.core import DataError
from nav_pkg.data.format import LARGEST_IMAGE

DEPTH_SCALE = 1000
"""Steps of the depth image per metre."""

DEPTH_MAX = 65535
"""Largest depth value, millimetres; larger values and no return are stored as 0."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encode_rgb(rgb: np.ndarray, quality: int = 95) -> bytes:
    """Encode a colour image as JPEG with 4:2:0 chroma (OpenCV's default).

    Args:
        rgb: uint8 (height, width, 3) in RGB order, or (height, width) grey.
        quality: JPEG quality, 1 to 100.

    Raises:
        DataError: the array has another type or shape.
    """
    import simplejpeg

    if rgb.dtype == np.uint8 and rgb.ndim == 2:
        rgb = np.repeat(rgb[:, :, None], 3, axis=2)
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise DataError(f"a colour image must be uint8 (height, width, 3), not {rgb.dtype} {rgb.shape}")
    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(rgb), quality=quality, colorspace="RGB", colorsubsampling="420"
    )


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Height and width of a JPEG from its header, pixels.

    Raises:
        DataError: the bytes are truncated or not a JPEG.
    """
    import simplejpeg

    if data[-2:] != b"\xff\xd9":
        raise DataError("no whole JPEG: its end marker is missing")
    try:
        return simplejpeg.decode_jpeg_header(data, strict=True)[:2]
    except ValueError as error:
        raise DataError(f"no whole JPEG ({error})") from error


def check_size(declared: tuple[int, int], expected: Optional[tuple[int, int]]) -> None:
    """Check the size in an image's header before decoding.

    Without this check, a file of a few kB that declares 65500x65500 pixels would allocate gigabytes.

    Args:
        declared: height and width in the header.
        expected: height and width of the run's images; None if unknown.

    Raises:
        DataError: the sizes differ, or the declared size exceeds `LARGEST_IMAGE` pixels.
    """
    height, width = declared
    if expected is not None and declared != tuple(expected):
        raise DataError(f"size {width}x{height} instead of {expected[1]}x{expected[0]} pixels")
    if height * width > LARGEST_IMAGE:
        raise DataError(f"size {width}x{height}: more than {LARGEST_IMAGE:,} pixels")


def decode_rgb(
    data: bytes,
    shape: tuple[int, int] = (0, 0),
    factor: int = 1,
    expected: Optional[tuple[int, int]] = None,
) -> np.ndarray:
    """Decode a JPEG to uint8 (height, width, 3), RGB.

    Args:
        data: the file's bytes.
        shape: with a factor: the resulting height and width, that is the JPEG's size divided by it.
        factor: 2, 4 or 8: decode at a half, a quarter or an eighth of the size. The decoder then omits
            the highest frequencies of each block of 8x8 pixels instead of computing and averaging them.
        expected: height and width that the JPEG must have; None for any up to `LARGEST_IMAGE`.

    Raises:
        DataError: the bytes are truncated or not a JPEG, or the image has another size.
    """
    import simplejpeg

    check_size(jpeg_size(data), expected)
    try:
        return simplejpeg.decode_jpeg(
            data,
            colorspace="RGB",
            min_height=shape[0],
            min_width=shape[1],
            min_factor=factor,
            strict=True,
        )
    except ValueError as error:
        raise DataError(f"no whole JPEG ({error})") from error


def depth_to_millimetres(depth: np.ndarray) -> np.ndarray:
    """Convert metres (float) to uint16 millimetres; a uint16 array is returned as it is.

    No return, negative values, non-finite values and values above 65.535 m become 0.

    Raises:
        DataError: the array has another type or shape.
    """
    if depth.dtype == np.uint16:
        return depth
    if depth.dtype not in (np.float32, np.float64) or depth.ndim != 2 or 0 in depth.shape:
        raise DataError(
            f"a depth image must be float32 metres or uint16 millimetres of shape (height, width), "
            f"not {depth.dtype} {depth.shape}"
        )
    with np.errstate(all="ignore"):
        steps = np.rint(depth * depth.dtype.type(DEPTH_SCALE))
        steps[~((steps >= 0) & (steps <= DEPTH_MAX))] = 0
    return steps.astype(np.uint16)


def millimetres_to_depth(steps: np.ndarray) -> np.ndarray:
    """Convert uint16 millimetres to float32 metres; 0 (no return) becomes inf."""
    depth = steps.astype(np.float32) / np.float32(DEPTH_SCALE)
    depth[steps == 0] = np.inf
    return depth


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encode_depth(depth: np.ndarray) -> bytes:
    """Encode a depth image as 16 bit grey PNG in millimetres.

    This function writes the PNG itself (PNG 1.2, sections 5 and 6), with filter 'up' for every row and
    ISA-L's level 1. Measured on 400 depth images of flights (160x90) on one core: 0.10 ms and 6.8 kB each;
    with zlib's level 1 0.29 ms and 6.9 kB. Filter 'sub' takes as long. Without a filter, files are twice as
    large.

    Args:
        depth: float (height, width), metres; or uint16, millimetres.

    Raises:
        DataError: the array has another type or shape.
    """
    from isal import isal_zlib

    steps = depth_to_millimetres(depth)
    height, width = steps.shape
    rows = steps.astype(">u2").view(np.uint8).reshape(height, 2 * width)
    filtered = np.empty((height, 2 * width + 1), np.uint8)
    filtered[:, 0] = 2
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", isal_zlib.compress(filtered, 1)),
            _chunk(b"IEND", b""),
        )
    )


def decode_depth(data: bytes, expected: Optional[tuple[int, int]] = None) -> np.ndarray:
    """Decode a depth PNG to millimetres: uint16 (height, width), 0 = no return.

    Args:
        data: the file's bytes.
        expected: height and width that it must have; None for any up to `LARGEST_IMAGE`.

    Raises:
        DataError: the bytes are truncated, damaged or not a 16 bit grey PNG, or the image has another size.
    """
    from PIL import Image

    if data[:8] != _SIGNATURE or data[-8:-4] != b"IEND":
        raise DataError("no whole PNG: its signature or end chunk is missing")
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise DataError("no whole PNG: its header is missing")
    width, height = struct.unpack(">II", data[16:24])
    check_size((height, width), expected)
    try:
        with Image.open(io.BytesIO(data)) as image:
            if not image.mode.startswith("I"):
                raise DataError(f"not a 16 bit grey PNG but of mode {image.mode!r}")
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError, zlib.error) as error:
        raise DataError(f"no whole PNG ({error})") from error
    return pixels.astype(np.uint16, copy=False)
