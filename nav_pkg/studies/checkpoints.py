"""Select the networks that a study flies from the trainings of other studies."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from nav_pkg.core import DataError
from nav_pkg.report.curves import read_results
from nav_pkg.studies.study import Cell

Trained = Tuple[str, Path, str, Cell]
"""A training: name of its study, log folder, log tag, cell."""


def chosen(trained: Sequence[Trained], count: int) -> Dict[str, Dict[str, Any]]:
    """Choose networks spread evenly over validation accuracy, including the worst and the best.

    Args:
        trained: the finished trainings.
        count: number of networks to choose; if fewer exist, all are chosen.

    Returns:
        By label, the flags that select the checkpoint, from the worst to the best network.

    Raises:
        DataError: no training is done.
    """
    known: List[Tuple[float, str, str]] = []
    for study, folder, tag, cell in trained:
        accuracy = (read_results(folder).get("val") or {}).get("accuracy")
        if accuracy is not None:
            known.append((float(accuracy), f"{study}: {cell.name}", tag))
    if not known:
        raise DataError("no training of the studies to fly is done: study.py run them at this scale first")
    known.sort()
    left = list(range(len(known)))
    picked = []
    for wanted in np.linspace(known[0][0], known[-1][0], min(count, len(known))):
        nearest = min(left, key=lambda index: abs(known[index][0] - wanted))
        left.remove(nearest)
        picked.append(nearest)
    return {known[index][1]: {"checkpoint_path": known[index][2]} for index in sorted(picked)}
