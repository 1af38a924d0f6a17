"""Images that lie in two parts of a split, so that scores on one are of images that were learned.

Laps that were flown from one start pose under one seed repeat each other frame by frame, and a run that was
copied is there twice under two names. Both show in the sums that every run has since its commit, so that
nothing is decoded or hashed.
"""

from __future__ import annotations

from typing import Iterable, Mapping, NamedTuple, Optional, Sequence

from nav_pkg.core import DataError
from nav_pkg.data import format as fmt
from nav_pkg.data.reader import Run

REMEDY = (
    "record runs that start at different places (run_script.py --start varied), or clean with another split"
)

_SHOWN = 3
"""Pairs of runs that are named at most, of each two parts."""


class Images(NamedTuple):
    """The colour images of a run, by their sums, and the part of the split that it is in."""

    part: str
    name: str
    sums: Sequence[bytes]


def images_of(run: Run, part: str, frames: Optional[int] = None) -> Images:
    """The images of a run's first frames (None: of all); none where facts or sums are missing or damaged."""
    try:
        sums, count = run.sums, len(run) if frames is None else frames
    except DataError:
        sums, count = {}, 0
    names = (fmt.rgb_file(i) for i in range(count))
    return Images(part, run.name, [sums[name] for name in names if name in sums])


def of_splits(splits: Mapping[str, Sequence[Run]]) -> list[str]:
    """The warnings of `warnings` for the runs of each part."""
    return warnings(images_of(run, part) for part, runs in splits.items() for run in runs)


def warnings(images: Iterable[Images]) -> list[str]:
    """What a user should know of images that several parts share: a line for each two parts.

    Args:
        images: of each run of each part; those of part '' count for nothing.
    """
    parts: dict[str, list[Images]] = {part: [] for part in fmt.SPLITS}
    for item in images:
        if item.part and item.sums:
            parts[item.part].append(item)
    found = []
    for number, part in enumerate(fmt.SPLITS):
        for other in fmt.SPLITS[number + 1 :]:
            line = _shared(parts[part], parts[other])
            if line:
                found.append(line)
    return found


def _shared(ours: Sequence[Images], theirs: Sequence[Images]) -> str:
    """What two parts share, in a line; empty when that is nothing."""
    where: dict[bytes, int] = {}  # an image's first run of ours
    for number, item in enumerate(ours):
        for digest in item.sums:
            where.setdefault(digest, number)
    pairs: list[tuple[int, Images, Images]] = []
    total = 0
    for item in theirs:
        counts: dict[int, int] = {}
        for digest in item.sums:
            number = where.get(digest, -1)
            if number >= 0:
                counts[number] = counts.get(number, 0) + 1
        total += sum(counts.values())
        pairs += [(count, ours[number], item) for number, count in counts.items()]
    if not pairs:
        return ""
    pairs.sort(key=lambda pair: (-pair[0], pair[1].name, pair[2].name))
    shown = "; ".join(_pair(*pair) for pair in pairs[:_SHOWN])
    more = f"; {len(pairs) - _SHOWN} more pairs of runs" if len(pairs) > _SHOWN else ""
    of, part, other = sum(len(item.sums) for item in theirs), ours[0].part, theirs[0].part
    return (
        f"{total} of the {of} images of the {other} set are in the {part} set, too ({shown}{more}), so that "
        f"scores on the {other} set say too much: {REMEDY}"
    )


def _pair(count: int, ours: Images, theirs: Images) -> str:
    if ours.sums == theirs.sums:
        same = "is in both" if ours.name == theirs.name else f"and {theirs.name} are one run by their images"
        return f"{ours.name} {same}"
    return f"{ours.name} and {theirs.name} share {count}"
