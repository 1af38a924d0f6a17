"""What a cell of a study takes, and whether its flags and its input are right, before any cell runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple, Sequence

from nav_pkg.config import details, session
from nav_pkg.config.learner import parse
from nav_pkg.data.reader import Dataset
from nav_pkg.learn import prechecks
from nav_pkg.studies import evaluation, workload
from nav_pkg.studies.study import Cell

DETAILS_MB = 4000.0
"""MB of memory that measuring a network takes."""


class Need(NamedTuple):
    """What a cell takes: processor threads, and MB of memory."""

    threads: int
    memory: float


def needs_of(cell: Cell, line: Sequence[str], root: Path) -> Need:
    """What a cell takes. Its command line is parsed as its command does, and its input is looked for.

    Raises:
        UsageError: its command refuses a flag.
        DataError: its dataset is not there.
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
        session.make_parser().parse_known_args(list(line))
        return Need(1, flying)
    details.make_parser().parse_args(line)
    return Need(1, DETAILS_MB)
