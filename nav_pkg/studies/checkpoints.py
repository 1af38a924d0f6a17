"""Which of the networks that other studies trained are flown."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from nav_pkg.core import DataError
from nav_pkg.report.curves import read_results
from nav_pkg.studies.study import Cell

Trained = Tuple[str, Path, str, Cell]
"""Name of the study, log folder, log tag and cell of a training."""


def chosen(trained: Sequence[Trained], count: int) -> Dict[str, Dict[str, Any]]:
    """Choose networks that are spread evenly over validation accuracy, the worst and the best among them.

    Args:
        trained: trainings that are done.
        count: how many to choose; all where there are fewer.

    Returns:
        Flags that fly each, by its label, from the worst to the best.

    Raises:
        DataError: none is done.
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
