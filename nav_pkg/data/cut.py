"""Make a run from a range of frames of another run: rows, images, scan, checksums and totals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Callable, Mapping

from nav_pkg.core import Frame
from nav_pkg.data import format as fmt
from nav_pkg.data.new_run import build_run, link_or_copy
from nav_pkg.data.reader import Run
from nav_pkg.data.totals import Totals


def cut_frames(run: Run, first: int, last: int) -> list[Frame]:
    """Frames `first` to `last` (exclusive) of a run; index, stamp and progress restart at 0."""
    frames = []
    start = run.frames.frame(first)
    for i in range(first, last):
        frame = run.frames.frame(i)
        if first:
            frame = replace(
                frame,
                index=i - first,
                stamp=frame.stamp - start.stamp,
                progress=frame.progress - start.progress,
            )
        frames.append(frame)
    return frames


def cut_run(
    target: Path,
    name: str,
    run: Run,
    first: int,
    last: int,
    sums: Mapping[str, bytes],
    facts: dict,
    transfer_file: Callable[[Path, Path], None] = link_or_copy,
) -> None:
    """Make a complete run from frames `first` to `last` (exclusive) of a source run.

    The new run.json holds the facts of the source. If frames are cut, the totals are computed again.

    Args:
        target: the folder to make.
        name: the new run's name.
        run: the source run.
        first: the first frame.
        last: the frame after the last.
        sums: SHA-256 of the source's images, by their paths in it.
        facts: additional entries for run.json.
        transfer_file: copies or links a file to its place; links by default.

    Raises:
        DataError: the source is damaged, or the file system refuses.
    """
    frames = cut_frames(run, first, last)
    images, rows = {}, []
    for i, frame in enumerate(frames, first):
        names = {"rgb": run.frames.rgb[i], "depth": run.frames.depth[i]}
        for kind, name_of in (("rgb", fmt.rgb_file), ("depth", fmt.depth_file)):
            if names[kind]:
                images[name_of(i - first)] = (names[kind], sums[names[kind]])
        for camera in run.side_cameras:
            source = fmt.side_file(camera, i)
            images[fmt.side_file(camera, i - first)] = (source, sums[source])
        rows.append(fmt.frame_to_row(frame, bool(names["rgb"]), bool(names["depth"])))
    known = dict(run.facts)
    if len(frames) < len(run):
        known.update(Totals(frames).metadata(known))
    build_run(
        target,
        name,
        {**known, **facts},
        rows,
        None if run.scan is None else run.scan[first:last],
        run.facts.get("sensors") or {},
        images,
        run.images,
        transfer_file,
    )
