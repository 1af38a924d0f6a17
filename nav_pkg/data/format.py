"""The dataset format: file names, columns, and the exact conversion between a frame and its line of text.

docs/dataset.md describes the format for users.
"""

from __future__ import annotations

import re
from typing import Any, Mapping, Optional, Sequence

from nav_pkg.core import Actor, Command, DataError, Frame, Pose, Velocity

FORMAT_VERSION = 2
"""Version written: run.json and dataset.json have their own checksum, unlike in format 1."""
FORMATS = (1, 2)
"""Versions that can be read."""

LARGEST_IMAGE = 50_000_000
"""Maximum number of pixels of an image to decode; checked in addition to the run's image size."""

DATASET_FILE = "dataset.json"
RUN_FILE = "run.json"
FRAMES_FILE = "frames.csv"
SCAN_FILE = "scan.npy"
SUMS_FILE = "sha256sums.txt"
RGB_FOLDER = "RGB"
DEPTH_FOLDER = "Depth"
SIDE_CAMERAS = ("left", "right")
"""Names of the optional colour cameras beside the first camera."""
IMAGE_FOLDERS = (RGB_FOLDER, DEPTH_FOLDER, *(f"{RGB_FOLDER}_{camera}" for camera in SIDE_CAMERAS))
"""Folders of images within a run, one a camera; in a run with tars, the folders that the tars hold."""
PARTIAL = ".partial"
QUARANTINE = "quarantine"
SPLITS = ("train", "val", "test")
STATS_FILE = "stats.json"
SUBSET_OF = "subset_of"
"""The key of dataset.json that names the source of a subset."""
MERGED_FROM = "merged_from"
"""The key of dataset.json that names the sources of a merge."""
SPLIT_SIZES = "splits"
"""The key of dataset.json with the number of runs in each list when it was made."""

_ACTORS = tuple(actor.value for actor in Actor)
_AXES = ("x", "y", "z", "yaw")

COLUMNS: tuple[str, ...] = (
    "index",
    "stamp",
    *(f"{source}_{axis}" for source in ("expert", "learner", "applied") for axis in _AXES),
    "actor",
    "x",
    "y",
    "z",
    "roll",
    "pitch",
    "yaw",
    "vx",
    "vy",
    "vz",
    "vyaw",
    "nearest",
    "progress",
    "rgb",
    "depth",
)
"""The columns of frames.csv, in order. Metres, radians, seconds; `rgb` and `depth` are paths in the run."""

HEADER = ",".join(COLUMNS)

_RUN_NAME = re.compile(r"(\d{5,})_([A-Za-z0-9][A-Za-z0-9_.+-]*?)\Z")
_IMAGE = re.compile(
    rf"({RGB_FOLDER}(_({'|'.join(SIDE_CAMERAS)}))?/\d{{10}}\.jpg|{DEPTH_FOLDER}/\d{{10}}\.png)\Z"
)
_STAMP = re.compile(r"(\d+)\.(\d{9})\Z")


def run_name(number: int, world: str) -> str:
    """The name of a run: `00003_esatv3`."""
    return f"{number:05d}_{world}"


def parse_run_name(name: str) -> Optional[tuple[int, str]]:
    """Number and world of a run's name; None if the name is invalid (as with `.partial`)."""
    match = _RUN_NAME.match(name)
    if not match or name.endswith(PARTIAL):
        return None
    return int(match.group(1)), match.group(2)


def rgb_file(index: int) -> str:
    """Path of a colour image within its run."""
    return image_file(RGB_FOLDER, index)


def depth_file(index: int) -> str:
    """Path of a depth image within its run."""
    return image_file(DEPTH_FOLDER, index)


def side_folder(camera: str) -> str:
    """Folder of a side camera's colour images within a run: `RGB_left`."""
    return f"{RGB_FOLDER}_{camera}"


def side_file(camera: str, index: int) -> str:
    """Path of a side camera's colour image within its run."""
    return image_file(side_folder(camera), index)


def image_file(folder: str, index: int) -> str:
    """Path of an image within its run, by its camera's folder: `RGB/0000000003.jpg`."""
    return f"{folder}/{index:010d}.{'png' if folder == DEPTH_FOLDER else 'jpg'}"


def image_number(folder: str, path: str) -> Optional[int]:
    """The index of the frame of an image; None if the path is not that of an image of this camera."""
    return int(path[-14:-4]) if _IMAGE.match(path) and path.startswith(f"{folder}/") else None


def tar_file(folder: str) -> str:
    """Path of a camera's tar within its run: `RGB.tar`."""
    return f"{folder}.tar"


def index_file(folder: str) -> str:
    """Path of the index of a camera's tar within its run: `RGB.index.npy`."""
    return f"{folder}.index.npy"


def side_sensor(camera: str) -> str:
    """The key of a side camera in run.json's `sensors`: `rgb_left`."""
    return f"rgb_{camera}"


def side_cameras(sensors: Optional[Mapping[str, Any]]) -> tuple[str, ...]:
    """Names of the side cameras in run.json's `sensors`."""
    given = sensors or {}
    return tuple(name for name in SIDE_CAMERAS if given.get(side_sensor(name)))


def split_file(part: str) -> str:
    """File name of a part's list of runs: `train_set.txt`."""
    return f"{part}_set.txt"


def is_run_file(path: str) -> bool:
    """Whether a commit may list this path within a run."""
    return path in (FRAMES_FILE, SCAN_FILE) or _IMAGE.match(path) is not None


def image_size(sensors: Optional[Mapping[str, Any]], kind: str) -> Optional[tuple[int, int]]:
    """Height and width in run.json's `sensors` for `rgb`, `depth` or e.g. `rgb_left`; None if not stated."""
    size = (sensors or {}).get(kind)
    return (int(size[0]), int(size[1])) if size else None


def stamp_text(nanoseconds: int) -> str:
    """Format nanoseconds as seconds with exactly nine decimals."""
    if nanoseconds < 0:
        raise DataError(f"a frame's stamp is negative: {nanoseconds} ns after the run's first frame")
    return f"{nanoseconds // 1_000_000_000}.{nanoseconds % 1_000_000_000:09d}"


def parse_stamp(text: str) -> int:
    """Parse a stamp written by `stamp_text` to nanoseconds."""
    match = _STAMP.match(text)
    if not match:
        raise ValueError(f"stamp {text[:40]!r} is not seconds with nine decimals")
    stamp = int(match.group(1)) * 1_000_000_000 + int(match.group(2))
    if stamp >= 1 << 63:
        raise ValueError("stamp is later than 64 bits can count")
    return stamp


def _number(value: Any) -> str:
    """The shortest text that parses to the same double; nan as 'nan'."""
    return repr(float(value))


def frame_to_row(frame: Frame, rgb: bool = True, depth: bool = True) -> str:
    """Format a frame as a line of frames.csv, without line end.

    Args:
        frame: the frame.
        rgb: whether the run has colour images.
        depth: whether the run has depth images.
    """
    fields = [str(int(frame.index)), stamp_text(frame.stamp)]
    fields += map(_number, frame.expert)
    fields += [""] * 4 if frame.learner is None else map(_number, frame.learner)
    fields += map(_number, frame.applied)
    fields.append(Actor(frame.actor).value)
    fields += map(_number, frame.pose)
    fields += map(_number, frame.velocity)
    fields += [_number(frame.nearest), _number(frame.progress)]
    fields.append(rgb_file(frame.index) if rgb else "")
    fields.append(depth_file(frame.index) if depth else "")
    return ",".join(fields)


def row_to_frame(row: str) -> Frame:
    """Parse a line of frames.csv to a frame.

    Raises:
        ValueError: the line is truncated, or a field is invalid; the message names the column and the value.
    """
    return fields_to_frame(row.rstrip("\r\n").split(","))


def fields_to_frame(fields: Sequence[str]) -> Frame:
    """Parse the fields of a line of frames.csv to a frame (errors as for `row_to_frame`)."""
    if len(fields) != len(COLUMNS):
        raise ValueError(f"{len(fields)} fields instead of {len(COLUMNS)}")

    def numbers(first: int, count: int) -> list[float]:
        values = []
        for column in range(first, first + count):
            try:
                values.append(float(fields[column]))
            except ValueError:
                raise ValueError(f"{COLUMNS[column]} is {fields[column][:40]!r}, not a number") from None
        return values

    if not (fields[0].isdecimal() and len(fields[0]) < 19):
        raise ValueError(f"index is {fields[0][:40]!r}, not a whole number")
    if fields[14] not in _ACTORS:
        raise ValueError(f"actor is {fields[14][:40]!r}, not one of {', '.join(_ACTORS)}")
    learner = None if fields[6:10] == [""] * 4 else Command(*numbers(6, 4))
    return Frame(
        index=int(fields[0]),
        stamp=parse_stamp(fields[1]),
        expert=Command(*numbers(2, 4)),
        learner=learner,
        applied=Command(*numbers(10, 4)),
        actor=Actor(fields[14]),
        pose=Pose(*numbers(15, 6)),
        velocity=Velocity(*numbers(21, 4)),
        nearest=numbers(25, 1)[0],
        progress=numbers(26, 1)[0],
    )
