"""Resource requests of a study's cells, and checks of their flags and inputs before any cell runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, NamedTuple, Sequence

from nav_pkg.config import setting as settings
from nav_pkg.config.details import ABOUT, DetailsConfig
from nav_pkg.config.learner import parse
from nav_pkg.config.study import StudyConfig
from nav_pkg.data.reader import Dataset
from nav_pkg.learn.training import prechecks
from nav_pkg.session import arguments
from nav_pkg.studies import evaluation, workload
from nav_pkg.studies.datasets import make_datasets
from nav_pkg.studies.runner import StudyFolder
from nav_pkg.studies.study import Cell

DETAILS_MB = 4000.0
"""Memory to measure a network, MB."""


class Need(NamedTuple):
    """The resource request of a cell: processor threads, and MB of memory."""

    threads: int
    memory: float


def needs_of(cell: Cell, line: Sequence[str], root: Path) -> Need:
    """Compute the resource request of a cell; check its flags with its command's parser, and its inputs.

    Args:
        cell: the cell.
        line: its command line, without the script.
        root: the folder of all datasets.

    Raises:
        UsageError: the command would reject a flag.
        DataError: its dataset or its checkpoint is missing.
    """
    if cell.command == "main.py":
        parsed = parse(line)
        prechecks.network(parsed.network)
        prechecks.dataset(parsed.dataset, root, True)
        data = Dataset(root / parsed.dataset)
        lengths = [sum(map(len, data.split(part))) for part in ("train", "val", "test")]
        work = workload.training(parsed.network, vars(parsed), *lengths)
        return Need(parsed.num_threads or len(os.sched_getaffinity(0)), work.memory)
    flying = workload.SIMULATOR_MB + workload.LEARNER_MB
    if cell.command == "evaluate.py":
        args, _ = evaluation.split(line)
        prechecks.checkpoint(args.checkpoint_path[0], args.summary_dir)
        return Need(args.jobs, args.jobs * flying)
    if cell.command == "run_script.py":
        arguments.split(line)
        return Need(1, flying)
    settings.parse(DetailsConfig, line, "network_details.py", ABOUT)
    return Need(1, DETAILS_MB)


def prepare(folder: StudyFolder, cells: Sequence[Cell], config: StudyConfig) -> Dict[str, Need]:
    """Make the study's datasets, check all cells that are to run, and open the study's folder.

    Returns:
        The resource requests of the cells, by digest.
    """
    root = config.data_root.expanduser().resolve()
    make_datasets(folder, root, config.summary_dir, config.simulator)
    needs = {cell.digest: needs_of(cell, folder.argv(cell, root, config.summary_dir), root) for cell in cells}
    folder.open(config.extend)
    return needs
