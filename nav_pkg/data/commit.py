"""The content of a commit: facts with their own checksum, and the checksums of a run's files.

run.json and dataset.json have the key `sha256`: the SHA-256 of the file without that line. run.json also
has `content`: the SHA-256 of sha256sums.txt, which lists all other files. run.json thus identifies the
whole run. Files of format 1 have no `sha256`: their facts are unverified.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Optional

from nav_pkg import fields
from nav_pkg.config.paths import PathLike
from nav_pkg.core import DataError, Outcome
from nav_pkg.data import files
from nav_pkg.data import format as fmt
from nav_pkg.fields import Field

CHECKSUM_KEY = "sha256"
"""The key of a file's own checksum."""

UNVERIFIED = "of format 1, without a checksum of its own: its facts are unverified"

_FILE_KEYS = ("format", CHECKSUM_KEY, fmt.SPLIT_SIZES)
"""Keys of dataset.json that describe the file and its lists, not the robot and the recording."""

_CHECKSUM_LINE = re.compile(rb'^  "sha256": "([0-9a-f]{64})",?\n', re.MULTILINE)
_SUM_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_HEX = Field(
    "64 hexadecimal digits", lambda v: isinstance(v, str) and re.match(r"[0-9a-f]{64}\Z", v) is not None
)

_SIDES = fields.a_list(fields.whole(1), 2)
_SIZE = fields.either(
    Field(
        f"[height, width] of at most {fmt.LARGEST_IMAGE:,} pixels",
        lambda v: _SIDES.fits(v) and v[0] * v[1] <= fmt.LARGEST_IMAGE,
    ),
    fields.NOTHING,
)
_COUNT = fields.whole(0, 10**9)

SENSORS = fields.an_object(
    {
        "rgb": _SIZE,
        "depth": _SIZE,
        **{fmt.side_sensor(camera): _SIZE for camera in fmt.SIDE_CAMERAS},
        "scan": fields.whole(1, 10**6),
    },
    f"an object of sizes, [height, width] of at most {fmt.LARGEST_IMAGE:,} pixels, and of the scan's rays",
)

_ANY_RUN: dict[str, Field] = {
    "format": fields.whole(),
    "outcome": fields.one_of(item.value for item in Outcome),
    "frames": _COUNT,
    "name": fields.TEXT,
    "sensors": SENSORS,
    "content": _HEX,
    CHECKSUM_KEY: _HEX,
    "jpeg_quality": fields.whole(1, 100),
    "run": fields.whole(),
    "seed": fields.whole(),
    "run_seed": fields.whole(),
    "world": fields.TEXT,
    "world_hash": fields.TEXT,
    "route_length": fields.number(),
    "reverse": fields.TRUTH,
    "start_pose": fields.a_list(fields.number()),
    "expert": fields.TEXT,
    "height": fields.number(),
    "alpha": fields.number(),
    "epsilon": fields.number(),
    "control_delay": fields.number(0),
    "control_rate": fields.number(1e-3, 1e6),
    "max_duration": fields.number(),
    "min_depth": fields.number(),
    "reason": fields.TEXT,
    "duration": fields.number(),
    "distance": fields.number(),
    "progress": fields.number(),
    "laps": fields.number(),
    "mean_speed": fields.number(),
    "nearest": fields.number(),
    "replaced": _COUNT,
    "actors": fields.table(_COUNT),
    "takeovers": _COUNT,
    "labels": fields.table(_COUNT),
    "imitation_loss": fields.number(),
    "missing": fields.a_list(fields.OBJECT),
    "repaired": fields.OBJECT,
    "source": fields.an_object({"dataset": fields.TEXT, "run": fields.TEXT}),
    "cut": fields.OBJECT,
}

START = {**_ANY_RUN, "outcome": fields.either(_ANY_RUN["outcome"], fields.TEXT)}
"""Entries of start.json: none is required, and the outcome may be any text."""

RUN = {
    name: field.required if name in ("outcome", "frames", "name") else field
    for name, field in _ANY_RUN.items()
}
"""Entries of run.json that programs rely on. Null means unknown."""

DATASET: dict[str, Field] = {
    "format": fields.whole(),
    CHECKSUM_KEY: _HEX,
    "control_rate": fields.number(1e-3, 1e6),
    "jpeg_quality": fields.whole(1, 100),
    "robot": fields.either(
        fields.TEXT,
        fields.an_object(
            {
                "runs": fields.an_object({"time_factor": fields.number(1e-3, 1e6)}),
                "cameras": fields.table(fields.OBJECT),
                "camera": fields.OBJECT,
                "depth": fields.OBJECT,
            },
            "an object, runs.time_factor in it a number above 0, camera, depth and each of cameras an object",
        ),
    ),
    fmt.SPLIT_SIZES: fields.table(_COUNT),
    fmt.SUBSET_OF: fields.an_object(
        {
            "dataset": fields.TEXT.required,
            "frames": _COUNT.required,
            "random_seed": fields.whole().required,
        }
    ),
    fmt.MERGED_FROM: fields.a_list(fields.TEXT),
}
"""Entries of dataset.json."""


class Facts(NamedTuple):
    """The content of run.json or dataset.json.

    Attributes:
        value: its valid entries.
        problems: one line each.
        has_valid_checksum: whether the file has a correct checksum.
    """

    value: dict
    problems: list[str]
    has_valid_checksum: bool

    def checked(self) -> dict:
        """The entries; raises a DataError for the first problem."""
        if self.problems:
            raise DataError(self.problems[0])
        return self.value


def json_with_checksum(value: Mapping[str, Any]) -> bytes:
    """JSON text of facts with format version and checksum; equal facts give equal bytes."""
    text = files.to_json({**value, "format": fmt.FORMAT_VERSION, CHECKSUM_KEY: "0" * 64}).encode()
    blank = _CHECKSUM_LINE.search(text)
    assert blank is not None
    digest = hashlib.sha256(text[: blank.start()] + text[blank.end() :]).hexdigest().encode()
    return text[: blank.start(1)] + digest + text[blank.end(1) :]


def read_facts(path: PathLike, kinds: Mapping[str, Field]) -> Facts:
    """Read run.json or dataset.json; report invalid entries as problems instead of raising.

    Args:
        path: the file.
        kinds: the valid values of its entries.

    Raises:
        DataError: the file cannot be read or is not a JSON object.
    """
    data = files.read_small(path, follow=False)
    value = files.parse_json(data, path)
    if not isinstance(value, dict):
        raise DataError(f"{path}: holds a {type(value).__name__}, not a JSON object")
    problems, version = [], value.get("format")
    if version not in fmt.FORMATS or isinstance(version, bool):
        known = " and ".join(map(str, fmt.FORMATS))
        problems.append(f"{path}: format {fields.shown(version)}, this program reads {known}")
    wrong = fields.wrong_fields(value, kinds)
    problems += [f"{path}: {text}" for text in wrong.values()]
    match = _CHECKSUM_LINE.search(data)
    rest = b"" if match is None else data[: match.start()] + data[match.end() :]
    has_valid_checksum = match is not None and hashlib.sha256(rest).hexdigest().encode() == match.group(1)
    if not has_valid_checksum and (CHECKSUM_KEY in value or version != 1):
        problems.append(f"{path}: changed since it was written (its sha256 differs); see dataset.py verify")
    return Facts({key: item for key, item in value.items() if key not in wrong}, problems, has_valid_checksum)


def read_run(run: PathLike) -> Facts:
    """Read run.json of a run's folder, see `read_facts`."""
    return read_facts(Path(run) / fmt.RUN_FILE, RUN)


def read_description(dataset: PathLike) -> Facts:
    """Read dataset.json of a dataset's folder, see `read_facts`."""
    return read_facts(Path(dataset) / fmt.DATASET_FILE, DATASET)


def recording_entries(description: Mapping[str, Any], origin: bool = True) -> dict:
    """The entries of dataset.json about the robot and the recording.

    Args:
        description: the entries of dataset.json.
        origin: keep the entries about the datasets that this one was made of (subset, merge).
    """
    left_out = _FILE_KEYS if origin else (*_FILE_KEYS, fmt.SUBSET_OF, fmt.MERGED_FROM)
    return {key: value for key, value in description.items() if key not in left_out}


def description_text(description: Mapping[str, Any], sizes: Optional[Mapping[str, int]] = None) -> bytes:
    """The text of a new dataset.json.

    Args:
        description: entries about the robot and the recording.
        sizes: number of runs in each list; None if the dataset has no lists.

    Raises:
        DataError: an entry is invalid.
    """
    own = {} if sizes is None else {fmt.SPLIT_SIZES: dict(sizes)}
    text = json_with_checksum({**recording_entries(description), **own})
    fields.check_fields(files.parse_json(text, fmt.DATASET_FILE), DATASET, fmt.DATASET_FILE)
    return text


def run_text(facts: Mapping[str, Any], where: PathLike) -> bytes:
    """The text of a new run.json.

    Raises:
        DataError: an entry is invalid.
    """
    text = json_with_checksum(facts)
    fields.check_fields(files.parse_json(text, where), RUN, where)
    return text


class Sums(NamedTuple):
    """The content of sha256sums.txt.

    Attributes:
        by_path: SHA-256 of every file, by its path in the run.
        text: the file's bytes.
    """

    by_path: dict[str, bytes]
    text: bytes


def read_sums(run: PathLike, content: Optional[str] = None) -> Sums:
    """Read a run's sha256sums.txt.

    Args:
        run: the run's folder.
        content: its SHA-256 according to run.json; None if not stated.

    Raises:
        DataError: the file is missing or damaged, lists a file that no run has, or changed since the commit.
    """
    path = Path(run) / fmt.SUMS_FILE
    sums: dict[str, bytes] = {}
    try:
        try:
            text = files.read_small(path, follow=False)
        except DataError as error:
            reason = str(error).replace(f"{path}: ", "", 1)
            raise DataError(f"{path}: missing or damaged ({reason}); see dataset.py repair") from error
        if content and hashlib.sha256(text).hexdigest() != content:
            raise DataError(
                f"{path}: not the one of the commit (its sum differs from run.json's); see dataset.py verify"
            )
        for line in text.decode("utf-8").splitlines():
            match = _SUM_LINE.fullmatch(line)
            if match is None or not fmt.is_run_file(match.group(2)) or match.group(2) in sums:
                raise ValueError(f"line {len(sums) + 1} is no sum of a run's file")
            sums[match.group(2)] = bytes.fromhex(match.group(1))
    except ValueError as error:
        raise DataError(f"{path}: missing or damaged ({error}); see dataset.py repair") from error
    return Sums(sums, text)


def refuse_link(path: PathLike) -> None:
    """Raise a DataError if a path in a dataset is a symbolic link: no commit covers the link's target."""
    if os.path.islink(path):
        raise DataError(
            f"{path}: is a symbolic link, which a dataset may not hold (only the dataset's folder itself may "
            "be one); put the file or run itself there, runs with dataset.py gather"
        )
