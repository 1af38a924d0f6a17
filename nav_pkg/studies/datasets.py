"""How the datasets that studies name are made where they are missing."""

from __future__ import annotations

import math
import re
from typing import List, Optional

EXPERT = "esatv3_expert"
LAPS = 12
"""Laps of the expert at least: two of them to validate and to test, about 24,000 frames to train on."""
FRAMES_A_LAP = 2400
RECORDED = "studies/recorded"
"""Where the flights lie that a study's datasets are made of."""
_SUBSET = re.compile(EXPERT + r"_(\d+)(K?)\Z")

Command = List[str]
"""A script's name and its flags."""


def frames_of(name: str) -> int:
    """Frames to train on of a subset, by its name; 0 for any other dataset."""
    subset = _SUBSET.fullmatch(name)
    if not subset:
        return 0
    frames = int(subset.group(1)) * (1000 if subset.group(2) else 1)
    usual = f"{frames // 1000}K" if frames % 1000 == 0 else str(frames)
    return frames if name == f"{EXPERT}_{usual}" else 0


def recipe(name: str, there: bool, most: int = 0) -> Optional[List[Command]]:
    """The commands that make a dataset.

    Args:
        name: of the dataset.
        there: `esatv3_expert` exists, of which the smaller ones are subsets.
        most: frames to train on that it has to have where it is collected.

    Returns:
        None for a dataset that only its user knows how to make.
    """
    if name == "smoke":
        flags = "--number_of_runs 4 --max_duration 15 --width 160 --height 120 --random_seed 512"
        return _collected(name, flags, "--outcomes success timeout --min_distance 0 --min_rgb 0 --max_rgb -1")
    frames = frames_of(name)
    if name != EXPERT and not frames:
        return None
    laps = max(LAPS, math.ceil(max(frames, most) / FRAMES_A_LAP) + 2)
    made = [] if there else _collected(EXPERT, f"--number_of_runs {laps} --random_seed 512", "")
    if frames:
        made.append(["dataset.py", "subset", EXPERT, "--frames", str(frames)])
    return made


def _collected(name: str, flags: str, cleaning: str) -> List[Command]:
    session = (
        f"-t studies/datasets/{name} -w esatv3 --alpha 1 --start route -ds --data_location {RECORDED}/{name}"
    )
    clean = f"--sources {RECORDED}/{name} --destination {name} --val_len 1 --test_len 1"
    return [
        ["run_script.py", *session.split(), *flags.split()],
        ["clean_dataset.py", *clean.split(), *cleaning.split()],
    ]
