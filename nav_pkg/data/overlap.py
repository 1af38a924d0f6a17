"""Find images that are in two parts of a split: validation or test scores would be of training images.

Laps with the same start pose and seed repeat each other frame by frame, and a copied run exists under two
names. Both cases are visible in the checksums of the runs' commits; no image needs to be decoded or hashed.
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
"""Maximum number of pairs of runs named for each pair of parts."""


class RunImages(NamedTuple):
    """The part, name and colour-image checksums of a run."""

    part: str
    name: str
    sums: Sequence[bytes]


def run_images(run: Run, part: str, frames: Optional[int] = None) -> RunImages:
    """The images of a run's first frames (None: all frames); empty if facts or checksums are damaged."""
    try:
        sums, count = run.sums, len(run) if frames is None else frames
    except DataError:
        sums, count = {}, 0
    names = (fmt.rgb_file(i) for i in range(count))
    return RunImages(part, run.name, [sums[name] for name in names if name in sums])


def split_warnings(splits: Mapping[str, Sequence[Run]]) -> list[str]:
    """The result of `warnings` for the runs of each part."""
    return warnings(run_images(run, part) for part, runs in splits.items() for run in runs)


def warnings(images: Iterable[RunImages]) -> list[str]:
    """Warnings about images shared by parts of the split: one line for each pair of parts.

    Args:
        images: the images of each run of each part; runs of part '' are ignored.
    """
    parts: dict[str, list[RunImages]] = {part: [] for part in fmt.SPLITS}
    for item in images:
        if item.part and item.sums:
            parts[item.part].append(item)
    lines = []
    for number, part in enumerate(fmt.SPLITS):
        for other in fmt.SPLITS[number + 1 :]:
            line = _overlap_text(parts[part], parts[other])
            if line:
                lines.append(line)
    return lines


def _overlap_text(first: Sequence[RunImages], second: Sequence[RunImages]) -> str:
    """A line about the images that two parts share; empty if they share none."""
    where: dict[bytes, int] = {}  # index in `first` of the first run with each image
    for number, item in enumerate(first):
        for digest in item.sums:
            where.setdefault(digest, number)
    pairs: list[tuple[int, RunImages, RunImages]] = []
    total = 0
    for item in second:
        counts: dict[int, int] = {}
        for digest in item.sums:
            number = where.get(digest, -1)
            if number >= 0:
                counts[number] = counts.get(number, 0) + 1
        total += sum(counts.values())
        pairs += [(count, first[number], item) for number, count in counts.items()]
    if not pairs:
        return ""
    pairs.sort(key=lambda pair: (-pair[0], pair[1].name, pair[2].name))
    shown = "; ".join(_pair_text(*pair) for pair in pairs[:_SHOWN])
    more = f"; {len(pairs) - _SHOWN} more pairs of runs" if len(pairs) > _SHOWN else ""
    of, part, other = sum(len(item.sums) for item in second), first[0].part, second[0].part
    return (
        f"{total} of the {of} images of the {other} set are in the {part} set, too ({shown}{more}), so that "
        f"scores on the {other} set say too much: {REMEDY}"
    )


def _pair_text(count: int, first: RunImages, second: RunImages) -> str:
    if first.sums == second.sums:
        same = "is in both" if first.name == second.name else f"and {second.name} are one run by their images"
        return f"{first.name} {same}"
    return f"{first.name} and {second.name} share {count}"
