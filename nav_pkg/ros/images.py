"""Conversion of image messages to arrays with cv_bridge, for all nodes.

Two cases are handled before cv_bridge. It ignores row padding in Python, which gives a sheared image. Data
that is too short raises one clear error.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Type

import cv2
import numpy as np
from cv_bridge import CvBridge, CvBridgeError
from sensor_msgs.msg import CompressedImage, Image

from nav_pkg.core import DataError
from nav_pkg.data.messages import as_rgb, check_complete, image_rows

_BRIDGE = CvBridge()
_DTYPES: dict = {}
"""Encoding -> (type, channels). Cached, because cv_bridge looks them up for every image."""
_PASSTHROUGH = ("rgb8", "8UC3", "mono8", "8UC1", "32FC1", "16UC1", "mono16")


def image_message_type(topic: str) -> Type:
    """The message type of an image topic; the topics of JPEG and PNG images end in /compressed."""
    return CompressedImage if topic.endswith("/compressed") else Image


def image_to_array(message: Any) -> np.ndarray:
    """The pixels of a sensor_msgs/Image or CompressedImage.

    Args:
        message: an Image of an encoding that cv_bridge converts to rgb8, or of rgb8, 8UC3, 8UC1, mono8,
            32FC1, 16UC1 or mono16, which are not converted; any row step and byte order. Or a
            CompressedImage: JPEG or PNG with 8 bits per channel.

    Returns:
        (height, width) for one channel, else (height, width, 3) in RGB order, in native byte order. It
        may be a read-only view of the message's data.

    Raises:
        DataError: another encoding, or data that is damaged or shorter than height times step.
    """
    if not hasattr(message, "encoding"):
        return _decoded(message)
    try:
        if message.encoding not in _DTYPES:
            name, channels = _BRIDGE.encoding_to_dtype_with_channels(message.encoding)
            _DTYPES[message.encoding] = (np.dtype(name), channels)
        kind, channels = _DTYPES[message.encoding]
        rows = image_rows(message, kind, channels)
        if not rows.flags.c_contiguous:
            message = _without_padding(message, rows)
        wanted = "passthrough" if message.encoding in _PASSTHROUGH else "rgb8"
        return _BRIDGE.imgmsg_to_cv2(message, wanted)
    except (CvBridgeError, RuntimeError, cv2.error) as error:
        raise DataError(
            f"image of {message.width}x{message.height} {message.encoding!r}: cv_bridge cannot convert it "
            f"({' '.join(str(error).split())})"
        ) from error


def _without_padding(message: Any, rows: np.ndarray) -> Any:
    """The same image without padding."""
    return SimpleNamespace(
        height=message.height,
        width=message.width,
        encoding=message.encoding,
        is_bigendian=message.is_bigendian,
        step=rows.shape[1] * rows.strides[1],
        data=np.ascontiguousarray(rows),
    )


def _decoded(message: Any) -> np.ndarray:
    try:
        check_complete(message.data, message.format)
        pixels = _BRIDGE.compressed_imgmsg_to_cv2(message)
    except (CvBridgeError, cv2.error) as error:
        raise DataError(f"compressed image ({message.format}): cannot be decoded ({error})") from error
    return as_rgb(pixels, message.format, lambda bgr: cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
