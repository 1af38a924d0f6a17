"""Read a run's frames.csv, as columns, and its scan.npy, and check both against the format."""

from __future__ import annotations

import os
from typing import Iterator, Optional

import numpy as np

from nav_pkg.config.paths import PathLike
from nav_pkg.core import Actor, Command, DataError, Frame, Pose, Velocity, nearest_name
from nav_pkg.data import files
from nav_pkg.data import format as fmt
from nav_pkg.data.folders import read_scan_header


class Frames:
    """The columns of a run's frames.csv, as attributes (`frames.expert_yaw`) and as items.

    Attributes:
        index: int64 (frames,).
        stamp: int64 (frames,), nanoseconds since the run's first frame.
        actor, rgb, depth: str (frames,); rgb and depth are empty if the run has no such image.
        has_learner: bool (frames,), whether the frame has a learner's command.
        others: float64 (frames,), metres, radians, seconds; nan in the learner's columns without a learner.
    """

    def __init__(self, columns: dict[str, np.ndarray]):
        self._columns = columns

    def __getattr__(self, name: str) -> np.ndarray:
        if name == "_columns" or name not in self._columns:
            raise AttributeError(f"frames have no column {name!r}{nearest_name(name, list(fmt.COLUMNS))}")
        return self._columns[name]

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            return self._columns[name]
        except KeyError:
            hint = nearest_name(name, list(fmt.COLUMNS))
            raise KeyError(f"frames have no column {name!r}{hint}") from None

    def __len__(self) -> int:
        return len(self._columns["index"])

    def __iter__(self) -> Iterator[Frame]:
        return (self.frame(i) for i in range(len(self)))

    def frame(self, i: int) -> Frame:
        """Row `i` as a core Frame."""

        def values(*names: str) -> list[float]:
            return [float(self._columns[name][i]) for name in names]

        def command(source: str) -> Command:
            return Command(*values(f"{source}_x", f"{source}_y", f"{source}_z", f"{source}_yaw"))

        nobody = not self.has_learner[i]
        return Frame(
            index=int(self.index[i]),
            stamp=int(self.stamp[i]),
            expert=command("expert"),
            learner=None if nobody else command("learner"),
            applied=command("applied"),
            actor=Actor(self.actor[i]),
            pose=Pose(*values("x", "y", "z", "roll", "pitch", "yaw")),
            velocity=Velocity(*values("vx", "vy", "vz", "vyaw")),
            nearest=values("nearest")[0],
            progress=values("progress")[0],
        )


_TEXT = ("actor", "rgb", "depth")
_LARGEST = 1 << 30
"""Size limit of frames.csv, bytes: three million frames."""


def read_frames(path: PathLike, expected: Optional[int] = None) -> Frames:
    """Read a frames.csv.

    Args:
        path: the file.
        expected: number of frames in run.json; None if unknown.

    Raises:
        DataError: the file is missing or truncated, or a line violates the format; the message names the
            line.
    """
    lines = files.read_small(path, _LARGEST, follow=False).decode("utf-8", "replace").split("\n")
    if lines[0] != fmt.HEADER:
        raise DataError(f"{path}: line 1 is not the header of frames.csv")
    if lines[-1]:
        raise DataError(f"{path}: cut in line {len(lines)}; see dataset.py repair")
    lines = lines[1:-1]
    if expected is not None and len(lines) != expected:
        raise DataError(f"{path}: {len(lines)} frames, but run.json states {expected}; see dataset.py repair")
    return _columns(path, lines)


def _columns(path: PathLike, lines: list[str]) -> Frames:
    frames = []
    images: dict[str, list[str]] = {"rgb": [], "depth": []}
    for number, line in enumerate(lines):
        fields = line.split(",")
        try:
            frame = fmt.fields_to_frame(fields)
            if frame.index != number:
                raise ValueError(f"index is {frame.index} instead of {number}")
            for column, name in (("rgb", fmt.rgb_file), ("depth", fmt.depth_file)):
                value = fields[fmt.COLUMNS.index(column)]
                if value not in ("", name(number)):
                    raise ValueError(f"{column} is {value[:40]!r} instead of {name(number)!r}")
                images[column].append(value)
        except ValueError as error:
            raise DataError(f"{path}: line {number + 2}: {error}; see dataset.py repair") from error
        frames.append(frame)
    nothing = Command(*[float("nan")] * 4)
    numbers = [
        (*f.expert, *(f.learner or nothing), *f.applied, *f.pose, *f.velocity, f.nearest, f.progress)
        for f in frames
    ]
    names = [name for name in fmt.COLUMNS[2:] if name not in _TEXT]
    table = np.array(numbers, np.float64).reshape(len(frames), len(names)).T.copy()
    columns = dict(zip(names, table))
    columns["index"] = np.arange(len(frames))
    columns["stamp"] = np.array([f.stamp for f in frames], np.int64)
    columns["actor"] = np.array([f.actor.value for f in frames], dtype=str)
    columns["rgb"] = np.array(images["rgb"], dtype=str)
    columns["depth"] = np.array(images["depth"], dtype=str)
    columns["has_learner"] = np.array([f.learner is not None for f in frames], bool)
    return Frames(columns)


def read_scan(path: PathLike, frames: int, rays: Optional[int] = None) -> np.ndarray:
    """Read a scan.npy; check the shape in its header before allocating memory.

    Args:
        path: the file.
        frames: number of frames that it must have.
        rays: number of rays that it must have; None for any.

    Returns:
        float32 (frames, rays), metres.

    Raises:
        DataError: the file is missing or damaged, or has another shape.
    """
    with files.open_regular(path, "; see dataset.py verify", follow=False) as stream:
        shape = read_scan_header(stream)
        if shape is None:
            raise DataError(f"{path}: cut or damaged: its header is not that of float32 (frames, rays)")
        wanted = (frames, shape[1] if rays is None else rays)
        if shape != wanted:
            raise DataError(f"{path}: float32 {shape} instead of float32 {wanted}; see dataset.py verify")
        size, expected = os.fstat(stream.fileno()).st_size, 128 + 4 * frames * wanted[1]
        if size != expected:
            raise DataError(f"{path}: {size} bytes instead of {expected}; see dataset.py verify")
        return np.fromfile(stream, "<f4").reshape(shape)
