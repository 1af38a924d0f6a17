"""The datasets of the published experiments, and the commands that make them.

`esatv3_expert` is the full dataset. `esatv3_expert_200K`, `_100K` and so on are subsets, named by their
number of training frames.
"""

from __future__ import annotations

import re
from pathlib import Path

NAME = "esatv3_expert"
LAP = 2400
"""Frames per lap at 10 Hz: 241 s."""
WHOLE = 24
"""Runs of `esatv3_expert` if no size is given: enough for its subsets of up to 50,000 frames."""

_SIZE = re.compile(rf"{NAME}(?:_(\d+)(K?))?\Z")


def remedy(name: str, root: Path) -> str:
    """The commands that make a dataset of the published experiments, as the end of an error message.

    Args:
        name: of the missing dataset.
        root: the data root.

    Returns:
        The text; empty for any other dataset.
    """
    match = _SIZE.match(name)
    if not match:
        return ""
    size, thousands = match.groups()
    frames = int(size) * (1000 if thousands else 1) if size else 0
    subset = [f"python scripts/dataset.py subset {NAME} --frames {frames}"] if frames else []
    if frames and (root / NAME).is_dir():
        return f"; make it: {subset[0]}"
    # 5 % more runs than needed, because a lap may fail, plus one run each for val and test
    runs = max(2, -(-frames * 21 // (20 * LAP)) + 2) if frames else WHOLE
    collect = (
        f"python scripts/run_script.py -t collect_{NAME} -w esatv3 --random_seed 512 --number_of_runs {runs} "
        f"--alpha 1 --start route -ds --data_location collect/{NAME}"
    )
    clean = f"python scripts/clean_dataset.py --sources collect/{NAME} --destination {NAME}"
    clean += " --val_len 1 --test_len 1"
    return f"; make it: {' && '.join([collect, clean, *subset])} (docs/dataset.md)"
