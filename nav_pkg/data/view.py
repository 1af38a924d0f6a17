"""Contact sheets and films of a run, with the expert's and the applied commands drawn in."""

from __future__ import annotations

from pathlib import Path
from typing import Iterable, Iterator

import numpy as np

from nav_pkg.core import DataError, UsageError
from nav_pkg.data import files, film
from nav_pkg.data.progress import progress
from nav_pkg.data.reader import Run

EXPERT_COLOUR = (40, 200, 60)
APPLIED_COLOUR = (255, 90, 30)


def draw_frame(run: Run, i: int, width: int = 320, depth: bool = False) -> np.ndarray:
    """Draw one frame with its commands.

    Two bars start at the middle of the lower edge and point in the direction of the turn: green for the
    expert's command, orange for the applied command. Their length is proportional to the yaw rate, with half
    the width at 1 rad/s. Images of side cameras are placed to the left and right of the first camera's image.

    Args:
        run: the run.
        i: index of the frame.
        width: width of one camera's image, pixels.
        depth: show the depth image in grey (near is bright) instead of the colour images.

    Returns:
        uint8 (height, width, 3), RGB.
    """
    import cv2

    if depth:
        metres = run.depth(i)
        grey = np.where(np.isfinite(metres), 255 * np.exp(-metres / 3), 0).astype(np.uint8)
        image = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    else:
        sides = {name: run.side_rgb(name, i) for name in run.side_cameras}
        row = [sides.get("left"), run.rgb(i), sides.get("right")]
        cameras = [pixels for pixels in row if pixels is not None]
        image = np.hstack(cameras)
        width *= len(cameras)
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    shrinks = width < image.shape[1]
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    frames = run.frames
    thick = max(2, height // 40)
    for row, source, colour in ((2, "expert", EXPERT_COLOUR), (1, "applied", APPLIED_COLOUR)):
        yaw = float(frames[f"{source}_yaw"][i])
        y = height - 1 - row * 2 * thick
        middle = width // 2
        end = round(width / 2 - max(-1.0, min(1.0, yaw)) * width / 2)  # left is positive
        cv2.rectangle(image, (min(end, middle), y), (max(end, middle), y + thick), colour, cv2.FILLED)
        cv2.rectangle(image, (middle - 1, y - 2), (middle + 1, y + thick + 2), (255, 255, 255), cv2.FILLED)
    lines = (
        f"{i}  {frames.stamp[i] / 1e9:.1f} s  {frames.actor[i]}",
        f"expert {frames.expert_x[i]:.2f} m/s {frames.expert_yaw[i]:+.2f} rad/s",
        f"applied {frames.applied_x[i]:.2f} m/s {frames.applied_yaw[i]:+.2f} rad/s",
    )
    for number, text in enumerate(lines):
        at = (5, 15 + 14 * number)
        for colour, thickness in (((0, 0, 0), 3), ((255, 255, 0), 1)):
            cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, thickness, cv2.LINE_AA)
    return image


def evenly_spaced_indices(run: Run, count: int) -> list[int]:
    """Indices of at most `count` frames, evenly spread over the run."""
    return sorted({int(v) for v in np.linspace(0, len(run) - 1, min(count, len(run))).round()})


def contact_sheet(run: Run, output: Path, count: int = 24, columns: int = 4, depth: bool = False) -> None:
    """Write a contact sheet of frames (jpg or png, by the file's suffix)."""
    import cv2

    pictures = [
        draw_frame(run, i, depth=depth) for i in progress(evenly_spaced_indices(run, count), "frames")
    ]
    height, width = pictures[0].shape[:2]
    columns = min(columns, len(pictures))
    sheet = np.zeros((-(-len(pictures) // columns) * height, columns * width, 3), np.uint8)
    for place, image in enumerate(pictures):
        y, x = place // columns * height, place % columns * width
        sheet[y : y + height, x : x + width] = image
    stored = cv2.imencode(output.suffix.lower(), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1]
    files.atomic_write(output, stored.tobytes(), "--output")


def view(run: Run, output: Path, count: int = 24, every: int = 1, depth: bool = False) -> None:
    """Write a contact sheet (.jpg, .jpeg, .png) or a film (.gif, .mp4), by the suffix of the file.

    Args:
        run: the run.
        output: the file.
        count: number of frames in a sheet.
        every: a film shows every n-th frame at 10 pictures per second: n times real time at a control rate
            of 10 Hz.
        depth: show depth images instead of colour images.

    Raises:
        UsageError: the suffix is not supported.
        DataError: the run has no frames, or the file cannot be written.
    """
    output = Path(output)
    suffix = output.suffix.lower()
    if suffix not in (".jpg", ".jpeg", ".png", ".gif", ".mp4"):
        raise UsageError(f"{output}: choose a file that ends in .jpg, .png, .gif or .mp4")
    if not len(run):
        raise DataError(f"{run.path}: no frames to show")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if suffix not in (".gif", ".mp4"):
            contact_sheet(run, output, count, depth=depth)
            return
        files.sweep(output.parent, output.name)  # from a killed command
        write = film.write_gif if suffix == ".gif" else film.write_mp4
        with files.temporary(output, suffix) as (beside, _):
            write(beside, _drawn_frames(run, range(0, len(run), max(1, every)), depth))
            beside.replace(output)
    except OSError as error:
        raise files.disk_error(output, error, "--output") from error


def _drawn_frames(run: Run, indices: Iterable[int], depth: bool) -> Iterator[np.ndarray]:
    return (draw_frame(run, i, depth=depth) for i in progress(indices, "frames"))
