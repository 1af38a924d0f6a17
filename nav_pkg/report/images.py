"""Camera images for a page, drawn with OpenCV: images with commands, contact sheets, films."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import List, Sequence, Tuple

import numpy as np

from nav_pkg.data import film
from nav_pkg.data.reader import Run
from nav_pkg.report import style

JPEG_QUALITY = 88
_FRACTION = 4
"""Fractional bits of OpenCV's pixel coordinates."""


def annotated(
    rgb: np.ndarray,
    expert_yaw: float,
    applied_yaw: float,
    title: str,
    width: int = 320,
    second: str = "applied",
) -> np.ndarray:
    """Draw two arrows into a camera image: the expert's command and a second one.

    An arrow leans to the side of its turn, by 45 degrees at 1 rad/s; straight up means no turn.

    Args:
        rgb: uint8 (height, width, 3).
        expert_yaw: rad/s, counter-clockwise; nan for none.
        applied_yaw: the second command, likewise.
        title: text at the top; ASCII, because OpenCV's fonts are.
        width: of the result, pixels.
        second: name of the second command.

    Returns:
        uint8 (height, width, 3), RGB.
    """
    import cv2

    height = round(width * rgb.shape[0] / rgb.shape[1])
    way = cv2.INTER_AREA if width < rgb.shape[1] else cv2.INTER_CUBIC
    image = cv2.resize(np.ascontiguousarray(rgb), (width, height), interpolation=way)
    for number, (name, yaw, colour) in enumerate(
        (("expert", expert_yaw, style.EXPERT), (second, applied_yaw, style.APPLIED))
    ):
        foot = (width * (0.46 if number == 0 else 0.54), height - 6)
        if np.isfinite(yaw):
            _arrow(image, foot, float(yaw), height * 0.36, _rgb(colour), max(3, width // 80))
        text = f"{name} {yaw:+.1f}" if np.isfinite(yaw) else f"{name} -"
        _label(image, text, _rgb(colour), right=number == 1, top=False)
    _label(image, title, (255, 255, 255), right=False, top=True)
    return image


def _rgb(colour: str) -> Tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def _arrow(image: np.ndarray, foot, yaw: float, length: float, colour: Tuple[int, ...], thick: int) -> None:
    import cv2

    angle = np.clip(yaw, -2, 2) * np.pi / 4
    along = np.array([-np.sin(angle), -np.cos(angle)])
    across = np.array([-along[1], along[0]])
    start = np.array(foot)
    tip = start + length * along
    neck = tip - 3.5 * thick * along
    for colour_, extra in (((0, 0, 0), 1), (colour, 0)):
        half, wing = (0.5 * thick + extra) * across, (2 * thick + extra) * across
        outline = [start + half, neck + half, neck + wing, tip + 2 * extra * along]
        outline += [neck - wing, neck - half, start - half]
        points = np.rint(np.array(outline) * 2**_FRACTION).astype(np.int32)
        cv2.fillPoly(image, [points], colour_, cv2.LINE_AA, _FRACTION)


def _label(image: np.ndarray, text: str, colour: Tuple[int, ...], right: bool, top: bool) -> None:
    import cv2

    if not text:
        return
    height, width = image.shape[:2]
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, max(0.4, width / 800)
    thick = max(1, round(width / 500))
    (long, high), below = cv2.getTextSize(text, font, scale, thick)
    x = width - 6 - long if right else 6
    y = 6 + high if top else height - 6 - below
    cv2.rectangle(image, (x - 4, y - high - 4), (x + long + 3, y + below + 1), (0, 0, 0), cv2.FILLED)
    cv2.putText(image, text, (x, y), font, scale, colour, thick, cv2.LINE_AA)


def frame_picture(run: Run, index: int, title: str = "", width: int = 320) -> np.ndarray:
    """A recorded frame with the expert's and the applied command drawn in: uint8 (height, width, 3), RGB."""
    frames = run.frames
    text = title or f"{run.name} {frames.stamp[index] / 1e9:.1f} s"
    return annotated(
        run.rgb(index), float(frames.expert_yaw[index]), float(frames.applied_yaw[index]), text, width
    )


def contact_sheet(pictures: Sequence[np.ndarray], columns: int, gap: int = 6) -> bytes:
    """Arrange pictures of one size in rows, as one JPEG.

    Raises:
        ValueError: no picture given.
    """
    if not pictures:
        raise ValueError("a contact sheet needs at least one picture")
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    columns = min(columns, len(pictures))
    shape = (rows * height + (rows - 1) * gap, columns * width + (columns - 1) * gap, 3)
    whole = np.full(shape, 255, np.uint8)
    for number, picture in enumerate(pictures):
        y, x = number // columns * (height + gap), number % columns * (width + gap)
        whole[y : y + height, x : x + width] = picture
    return jpeg(whole)


def jpeg(picture: np.ndarray) -> bytes:
    """Encode a picture, uint8 (height, width, 3) in RGB order, as JPEG."""
    import cv2

    how = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), how)[1].tobytes()


def mp4(pictures: Sequence[np.ndarray], period: float = 0.1) -> bytes:
    """Encode pictures of one size as a film.

    Args:
        pictures: uint8 (height, width, 3), RGB, at least one.
        period: seconds between two pictures.
    """
    with tempfile.TemporaryDirectory(prefix="nav_pkg-film-") as folder:
        path = Path(folder) / "film.mp4"
        film.write_mp4(path, pictures, 1 / period)
        return path.read_bytes()


def sample_indices(run: Run, count: int) -> List[int]:
    """Select frames evenly spread over a run; every other one shows a turn.

    Each second frame is the nearest one in which the expert turns (|yaw| > 0.5 rad/s). A few images then
    show both cases, although most labels are straight.
    """
    total = len(run)
    places = [round((k + 0.5) * total / count) for k in range(count)]
    turning = np.flatnonzero(np.abs(run.frames.expert_yaw) > 0.5)
    chosen = []
    for number, place in enumerate(places):
        place = min(place, total - 1)
        if number % 2 and len(turning):
            place = int(turning[np.abs(turning - place).argmin()])
        chosen.append(place)
    return chosen
