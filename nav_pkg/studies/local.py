"""Run the cells of a study on this machine, in parallel as far as cores and memory allow."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import List, Mapping, Optional, Sequence

from nav_pkg.core import ROOT
from nav_pkg.machine import available_memory
from nav_pkg.studies.commands import COMMANDS
from nav_pkg.studies.needs import Need
from nav_pkg.studies.runner import Runner, StudyFolder
from nav_pkg.studies.study import Cell

MEMORY_SHARE = 0.8
"""Share of the available memory that all running cells together may use."""


def run_cells(
    folder: StudyFolder,
    cells: Sequence[Cell],
    needs: Mapping[str, Need],
    data_root: Path,
    summary_dir: Path,
    jobs: Optional[int] = None,
) -> int:
    """Run the cells that are not done.

    Args:
        folder: folder of the study, opened.
        cells: the cells to run.
        needs: resource requests of the cells, by digest.
        data_root: folder of all datasets.
        summary_dir: folder of all logs.
        jobs: number of cells in parallel; None for as many as the cores allow.

    Returns:
        The number of cells that failed or were stopped.
    """
    threads = max(need.threads for need in needs.values())
    jobs = jobs or max(1, len(os.sched_getaffinity(0)) // threads)
    if COMMANDS[folder.study.command].alone:
        jobs = 1

    def command(cell: Cell) -> List[str]:
        line = folder.argv(cell, data_root, summary_dir)
        return [sys.executable, str(ROOT / "scripts" / cell.command), *line]

    memory = MEMORY_SHARE * (available_memory() or math.inf) / 1e6
    return Runner(folder, cells, command, jobs, lambda cell: needs[cell.digest].memory, memory).run()
