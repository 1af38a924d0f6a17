"""Write films: mp4 for players and browsers, with OpenCV only; gif where a film must be an image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Iterable, Optional

import numpy as np

from nav_pkg.core import DataError

CODECS = ("avc1", "vp09")
"""Codecs in order of preference: H.264 (in Debian's OpenCV); VP9 (in PyPI's OpenCV, which lacks H.264).

Chromium plays both (tested with version 156). It does not play MPEG-4 part 2 (`mp4v`), which every OpenCV
writes.
"""


def write_mp4(path: Path, pictures: Iterable[np.ndarray], rate: float = 10.0) -> int:
    """Write pictures as an mp4 film.

    Args:
        path: the file; ends in .mp4.
        pictures: uint8 (height, width, 3) in RGB order, at least one, all of the same size. An odd last row
            or column is dropped, because the codecs need even sizes.
        rate: pictures per second.

    Returns:
        The number of pictures.

    Raises:
        DataError: this OpenCV has neither codec, the pictures differ in size, or the file could not be
            written completely.
    """
    import cv2

    writer: Optional[Any] = None
    count = 0
    try:
        for picture in pictures:
            height, width = (side // 2 * 2 for side in picture.shape[:2])
            if writer is None:
                size = (width, height)
                writer = _open(path, rate, size)
            if (width, height) != size:  # OpenCV would drop it silently
                raise DataError(f"{path}: picture {count} is of {width}x{height} and the film of {size}")
            writer.write(cv2.cvtColor(picture[:height, :width], cv2.COLOR_RGB2BGR))
            count += 1
    finally:
        if writer is not None:
            writer.release()
    # the writer does not report a full disk
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    written = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
    video.release()
    if written != count:
        raise DataError(f"{path}: {written} of {count} pictures could be written; is the disk full?")
    return count


def _open(path: Path, rate: float, size: tuple) -> Any:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # hides warnings about missing codecs
    import cv2

    if not path.parent.is_dir():
        raise DataError(f"{path}: its folder is not there; make it")
    logging = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # before OpenCV 5.0, and since
    level = logging.getLogLevel()
    logging.setLogLevel(0)
    try:
        for codec in CODECS:
            writer = cv2.VideoWriter(
                str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), float(rate), size
            )
            if writer.isOpened():
                return writer
    finally:
        logging.setLogLevel(level)
    raise DataError(
        f"{path}: OpenCV {cv2.__version__} writes neither H.264 nor VP9 here; install python3-opencv "
        "(Debian) or opencv-python-headless (pip), or choose a .gif"
    )


def write_gif(path: Path, pictures: Iterable[np.ndarray], rate: float = 10.0) -> None:
    """Write pictures (as for `write_mp4`) as a gif that repeats forever."""
    from PIL import Image

    first, *rest = (Image.fromarray(picture) for picture in pictures)
    first.save(path, save_all=True, append_images=rest, duration=max(20, int(1000 / rate)), loop=0)
