"""Pictures of a run: a contact sheet or a film, with the expert's and the applied command drawn in."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path
from typing import Iterable, Iterator

import numpy as np

from nav_pkg.core import DataError, UsageError
from nav_pkg.data.progress import progress
from nav_pkg.data.reader import Run

EXPERT_COLOUR = (40, 200, 60)
APPLIED_COLOUR = (255, 90, 30)


def picture(run: Run, i: int, width: int = 320, depth: bool = False):
    """One frame with its commands.

    A bar from the middle of the lower edge points to where the command turns (its length is the yaw
    rate, half the width at 1 rad/s): green for the expert's, orange for the applied one. Images of side
    cameras stand beside that of the first one, each on its side.

    Args:
        run: the run.
        i: the frame.
        width: pixels, of one camera's image.
        depth: the depth image in grey (near is bright) instead of the colours.

    Returns:
        A PIL image.
    """
    from PIL import Image, ImageDraw

    if depth:
        metres = run.depth(i)
        grey = np.where(np.isfinite(metres), 255 * np.exp(-metres / 3), 0).astype(np.uint8)
        image = Image.fromarray(grey).convert("RGB")
    else:
        sides = {name: run.side_rgb(name, i) for name in run.side_cameras}
        row = [sides.get("left"), run.rgb(i), sides.get("right")]
        cameras = [pixels for pixels in row if pixels is not None]
        image = Image.fromarray(np.hstack(cameras))
        width *= len(cameras)
    image = image.resize((width, max(1, round(image.height * width / image.width))))
    draw = ImageDraw.Draw(image)
    frames = run.frames
    thick = max(2, image.height // 40)
    for row, who, colour in ((2, "expert", EXPERT_COLOUR), (1, "applied", APPLIED_COLOUR)):
        yaw = float(frames[f"{who}_yaw"][i])
        y = image.height - 1 - row * 2 * thick
        end = width / 2 - max(-1.0, min(1.0, yaw)) * width / 2  # left is positive
        draw.rectangle((min(end, width / 2), y, max(end, width / 2), y + thick), fill=colour)
        draw.rectangle((width / 2 - 1, y - 2, width / 2 + 1, y + thick + 2), fill=(255, 255, 255))
    text = (
        f"{i}  {frames.stamp[i] / 1e9:.1f} s  {frames.actor[i]}\n"
        f"expert {frames.expert_x[i]:.2f} m/s {frames.expert_yaw[i]:+.2f} rad/s\n"
        f"applied {frames.applied_x[i]:.2f} m/s {frames.applied_yaw[i]:+.2f} rad/s"
    )
    draw.text((5, 5), text, fill=(0, 0, 0))
    draw.text((4, 4), text, fill=(255, 255, 0))
    return image


def spread(run: Run, count: int) -> list[int]:
    """About `count` frames, evenly spread over the run."""
    return sorted({int(v) for v in np.linspace(0, len(run) - 1, min(count, len(run))).round()})


def contact_sheet(run: Run, output: Path, count: int = 24, columns: int = 4, depth: bool = False) -> None:
    """Write a sheet of frames (jpg or png by the file's ending)."""
    from PIL import Image

    pictures = [picture(run, i, depth=depth) for i in progress(spread(run, count), "frames")]
    width, height = pictures[0].size
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height))
    for place, image in enumerate(pictures):
        sheet.paste(image, (place % columns * width, place // columns * height))
    sheet.save(output)


def film(run: Run, output: Path, indices: Iterable[int], rate: float = 10.0, depth: bool = False) -> None:
    """Write a film of frames: gif, or mp4 when ffmpeg is on the PATH.

    Raises:
        UsageError: mp4 without ffmpeg.
        DataError: ffmpeg failed.
    """

    def pictures() -> Iterator:
        return (picture(run, i, depth=depth) for i in progress(list(indices), "frames"))

    if output.suffix == ".gif":
        first, *rest = pictures()
        first.save(output, save_all=True, append_images=rest, duration=max(20, int(1000 / rate)), loop=0)
        return
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise UsageError(f"{output}: ffmpeg is not on the PATH; install it or choose a .gif or .jpg")
    process = None
    for image in pictures():
        even = image.crop((0, 0, image.width // 2 * 2, image.height // 2 * 2))
        if process is None:
            size = f"{even.width}x{even.height}"
            how = f"-v error -y -f rawvideo -pix_fmt rgb24 -s {size} -r {rate:g} -i - -pix_fmt yuv420p"
            process = subprocess.Popen([ffmpeg, *how.split(), str(output)], stdin=subprocess.PIPE)
        try:
            process.stdin.write(even.tobytes())
        except BrokenPipeError:
            break
    process.stdin.close()
    if process.wait() != 0:
        raise DataError(f"{output}: ffmpeg failed (exit code {process.returncode})")


def view(run: Run, output: Path, count: int = 24, every: int = 1, depth: bool = False) -> None:
    """Write a contact sheet (.jpg, .png) or a film (.gif, .mp4), by the ending of the file.

    Args:
        run: the run.
        output: the file.
        count: frames of a sheet; of a gif at most, when above 24.
        every: films show every n-th frame, at ten times n of real time's tenth of a second.
        depth: depth instead of colours.

    Raises:
        UsageError: another ending.
    """
    output = Path(output)
    suffix = output.suffix.lower()
    if suffix not in (".jpg", ".jpeg", ".png", ".gif", ".mp4"):
        raise UsageError(f"{output}: choose a file that ends in .jpg, .png, .gif or .mp4")
    if not len(run):
        raise DataError(f"{run.path}: no frames to show")
    beside = output.with_name(f".{output.stem}.tmp{suffix}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if suffix in (".gif", ".mp4"):
            film(run, beside, range(0, len(run), max(1, every)), depth=depth)
        else:
            contact_sheet(run, beside, count, depth=depth)
        beside.replace(output)
    except OSError as error:
        from nav_pkg.data.files import disk_error

        raise disk_error(output, error, "--output") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()
