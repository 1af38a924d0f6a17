"""Camera images for a page: commands drawn in, several side by side."""

from __future__ import annotations

import io
from pathlib import Path
from typing import List, Sequence, Tuple

import numpy as np

from nav_pkg.data.reader import Run
from nav_pkg.report import style

JPEG_QUALITY = 88


def annotated(
    rgb: np.ndarray,
    expert_yaw: float,
    applied_yaw: float,
    title: str,
    width: int = 320,
    second: str = "applied",
):
    """A camera image with two arrows from its lower middle: what the expert would do, what was done.

    An arrow leans to the side of its turn, by 45 degrees at 1 rad/s; straight up is straight on.

    Args:
        rgb: uint8 (height, width, 3).
        expert_yaw: rad/s, counter-clockwise; nan for none.
        applied_yaw: likewise.
        title: stands at the top.
        width: of the result, pixels.
        second: what the second command is called.

    Returns:
        A Pillow image.
    """
    from PIL import Image, ImageDraw

    height = round(width * rgb.shape[0] / rgb.shape[1])
    image = Image.fromarray(rgb).resize((width, height), Image.LANCZOS)
    draw = ImageDraw.Draw(image)
    font = _font(width)
    line = font.size + 6
    for number, (name, yaw, colour) in enumerate(
        (("expert", expert_yaw, style.EXPERT), (second, applied_yaw, style.APPLIED))
    ):
        foot = (width * (0.46 if number == 0 else 0.54), height - 6)
        side = "left" if number == 0 else "right"
        if np.isfinite(yaw):
            _arrow(draw, foot, float(yaw), height * 0.36, colour, max(3, width // 80))
        text = f"{name} {yaw:+.1f}" if np.isfinite(yaw) else f"{name} –"
        _label(draw, text, (6 if side == "left" else width - 6, height - line - 2), font, colour, side)
    _label(draw, title, (6, 4), font, "#ffffff", "left")
    return image


def _font(width: int):
    import matplotlib
    from PIL import ImageFont

    # Pillow's own font has a size only since 10.1; matplotlib brings one.
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), max(11, width // 25))


def _arrow(draw, foot: Tuple[float, float], yaw: float, length: float, colour: str, thick: int) -> None:
    angle = np.clip(yaw, -2, 2) * np.pi / 4
    along = np.array([-np.sin(angle), -np.cos(angle)])
    across = np.array([-along[1], along[0]])
    start = np.array(foot)
    tip = start + length * along
    neck = tip - 3.5 * thick * along
    for colour_, extra in (("#000000", 2), (colour, 0)):
        draw.line([*start, *neck], fill=colour_, width=thick + extra)
        wing = (2 * thick + extra) * across
        head = [tuple(tip + extra * along), tuple(neck + wing), tuple(neck - wing)]
        draw.polygon(head, fill=colour_)


def _label(draw, text: str, at: Tuple[float, float], font, colour: str, side: str) -> None:
    left = at[0] if side == "left" else at[0] - draw.textlength(text, font=font)
    box = draw.textbbox((left, at[1]), text, font=font)
    draw.rectangle([box[0] - 4, box[1] - 2, box[2] + 4, box[3] + 3], fill="#000000b0")
    draw.text((left, at[1]), text, font=font, fill=colour)


def frame_picture(run: Run, index: int, title: str = "", width: int = 320):
    """A recorded frame as a Pillow image, with the expert's and the applied command drawn in."""
    frames = run.frames
    text = title or f"{run.name} {frames.stamp[index] / 1e9:.1f} s"
    return annotated(
        run.rgb(index), float(frames.expert_yaw[index]), float(frames.applied_yaw[index]), text, width
    )


def sheet(pictures: Sequence, columns: int, gap: int = 6) -> bytes:
    """Pictures of one size side by side as one JPEG, in rows.

    Raises:
        ValueError: there is no picture.
    """
    from PIL import Image

    if not pictures:
        raise ValueError("a contact sheet needs at least one picture")
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    columns = min(columns, len(pictures))
    whole = Image.new(
        "RGB", (columns * width + (columns - 1) * gap, rows * height + (rows - 1) * gap), "white"
    )
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        whole.paste(picture, (column * (width + gap), row * (height + gap)))
    return jpeg(whole)


def jpeg(picture) -> bytes:
    """A Pillow image as JPEG."""
    out = io.BytesIO()
    picture.save(out, format="JPEG", quality=JPEG_QUALITY, optimize=True)
    return out.getvalue()


def animation(pictures: Sequence, period: float = 0.1) -> bytes:
    """Pictures of one size as an animated WebP that begins anew at its end.

    Args:
        pictures: Pillow images, at least one.
        period: seconds between two.
    """
    out = io.BytesIO()
    pictures[0].save(
        out,
        format="WEBP",
        save_all=True,
        append_images=list(pictures[1:]),
        duration=round(1000 * period),
        loop=0,
        quality=60,
        method=4,
    )
    return out.getvalue()


def sample_indices(run: Run, count: int) -> List[int]:
    """Frames spread evenly over a run, each the nearest one to its place that has a turn now and then.

    Every other frame is taken from those in which the expert turns (|yaw| > 0.5 rad/s), so that a
    few images show both: labels are straight most of the time.
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
