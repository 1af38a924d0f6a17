"""study.py: run a study (a grid of trainings over seeds, or of flights), see how far it is, report it.

Examples:
    study.py list
    study.py run data_normalisation --scale small
    study.py status data_normalisation --scale small
    study.py report data_normalisation --scale small --output docs/reproduced
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import sys
import time
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence

from nav_pkg.cli import flags
from nav_pkg.cluster import estimate
from nav_pkg.config import session as session_config
from nav_pkg.config.learner import parse
from nav_pkg.config.parser import Parser
from nav_pkg.config.paths import data_root, summary_dir
from nav_pkg.config.types import whole
from nav_pkg.core import ROOT, NavError, UsageError
from nav_pkg.data.reader import Dataset
from nav_pkg.learn import prechecks
from nav_pkg.machine import available_memory
from nav_pkg.studies import study as studies
from nav_pkg.studies.commands import COMMANDS
from nav_pkg.studies.datasets import make_datasets
from nav_pkg.studies.runner import RUNNING, Runner, StudyFolder
from nav_pkg.studies.status import counts_text, status_table
from nav_pkg.studies.study import Cell, selected

EXIT_FAILED = 5
"""Some of the cells failed."""
WATCHED = 2.0
"""Seconds between two looks at a study."""
DETAILS_MB = 4000.0
"""Memory that measuring a network takes, in MB."""


def make_parser() -> Parser:
    """The parser of study.py."""
    p = Parser(prog="study.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = p.add_argument
    add("action", choices=("run", "status", "report", "list"), help="what to do")
    add("study", nargs="?", help="name of a study, its file (.yaml), or all")
    add("--scale", default="small", help="size at which it is run: full, small or smoke")
    add(
        "--only",
        nargs="+",
        default=[],
        metavar="AXIS=CHOICE[,CHOICE]",
        help="run only the cells of these choices now: 'network=tiny,squeeze' 'learning rate=0.1'",
    )
    add("--jobs", type=whole(1, 256), help="trainings side by side; default: as many as there are cores")
    add(
        "--backend", choices=("local", "condor"), default="local", help="this machine, or one DAG on HTCondor"
    )
    add("--watch", action="store_true", help="status: follow the study until none of its cells runs")
    add("--extend", action="store_true", help="train the new cells of a study that has changed")
    add("--output", type=Path, help="folder of the report; default: report/ in the study's log folder")
    add("--summary_dir", type=Path, default=summary_dir(), help="folder of all logs")
    add("--data_root", type=Path, default=data_root(), help="folder of all datasets")
    return p


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    args, cluster = make_parser().parse_known_args(argv)
    if cluster and (args.action != "run" or args.backend != "condor"):
        raise UsageError(f"study.py {args.action}: unknown argument {cluster[0]!r}; see study.py --help")
    summary = args.summary_dir.expanduser().resolve()
    if args.action == "list":
        for name in studies.in_order():
            study = studies.load(name)
            sizes = ", ".join(f"{len(study.cells(scale))} {scale}" for scale in study.scales)
            print(f"{study.name}: {study.title} (cells: {'chosen when run' if study.checkpoints else sizes})")
        return 0
    if not args.study:
        raise UsageError(
            f"study.py {args.action}: which study? There are "
            f"{', '.join(studies.names()) or 'none'}; `all` for all of them"
        )
    if args.only and (args.action != "run" or args.study == "all" or args.backend == "condor"):
        raise UsageError("--only chooses cells of one study that `run` runs on this machine")
    if args.watch and (args.action != "status" or args.study == "all"):
        raise UsageError("--watch follows one study: study.py status NAME --watch")
    code = 0
    folders: List[StudyFolder] = []
    for name in studies.in_order() if args.study == "all" else [args.study]:
        try:  # one after the other: one may fly what another has trained
            folder = StudyFolder(studies.load(name), args.scale, summary)
            if args.action == "status":
                status(folder, args.watch)
            elif args.action == "run":
                code = run(folder, args, cluster) or code
            folders.append(folder)
        except NavError as error:
            if args.study != "all":
                raise
            print(f"error: {name}: {error}", file=sys.stderr)
            code = error.code
    if args.action == "report":
        code = write(folders, args, summary) or code
    return code


def status(folder: StudyFolder, watch: bool) -> None:
    """Print how far a study is; with `watch` again whenever that changes, until none of its cells runs."""
    before = ""
    while True:
        counts = counts_text(folder)
        text = f"{status_table(folder).text()}\n{counts}"
        if text != before:
            print("\033[H\033[J" * (watch and sys.stdout.isatty()) + text, flush=True)
        before = text
        if not watch or f" {RUNNING}" not in counts:
            return
        time.sleep(WATCHED)


def write(folders: Sequence[StudyFolder], args: argparse.Namespace, summary: Path) -> int:
    """Write the reports, and an index of all.

    Raises:
        NavError: the one study that was asked for has nothing to report.
    """
    from nav_pkg.studies.report import report, write_index  # matplotlib takes a second

    alone = args.study != "all"
    output = args.output or (folders[0].folder / "report" if alone else summary / "studies/report")
    code, written = 0, []
    for folder in folders:
        try:
            print(report(folder).write(output, folder.study.name))
            written.append(folder)
        except NavError as error:
            if alone:
                raise
            print(f"error: {folder.study.name}: {error}", file=sys.stderr)
            code = error.code
    if not alone and written:
        print(write_index(written, output))
    return code


def run(folder: StudyFolder, args: argparse.Namespace, cluster: Sequence[str] = ()) -> int:
    """Check all cells, then run those that are left."""
    root = args.data_root.expanduser().resolve()
    if args.backend == "condor":
        from nav_pkg.cluster.plans.base import run as run_dag
        from nav_pkg.cluster.plans.study import StudyDag, check

        check(folder)
    chosen = selected(folder.cells, args.only)
    make_datasets(folder, root, args.summary_dir)
    needs = {cell.digest: checked(cell, folder.words(cell, root, args.summary_dir), root) for cell in chosen}
    folder.open(args.extend)
    if args.backend == "condor":
        # jobs run in other folders
        source = folder.study.name if args.study == "all" else args.study
        source = str(Path(source).resolve()) if source.endswith((".yaml", ".yml")) else source
        places = ["--summary_dir", str(args.summary_dir.expanduser().resolve()), "--data_root", str(root)]
        line = ["-t", f"{folder.tag}/dag", *places, *cluster]
        return run_dag(functools.partial(StudyDag, folder, source), line)
    threads = max(need.threads for need in needs.values())
    jobs = args.jobs or max(1, len(os.sched_getaffinity(0)) // threads)
    if COMMANDS[folder.study.command].alone:
        jobs = 1

    def command(cell: Cell) -> List[str]:
        line = folder.words(cell, root, args.summary_dir)
        return [sys.executable, str(ROOT / "scripts" / cell.command), *line]

    flags.hear_stops()
    memory = 0.8 * (available_memory() or math.inf) / 1e6
    runner = Runner(folder, chosen, command, jobs, lambda cell: needs[cell.digest].memory, memory)
    failed = runner.run()
    print(counts_text(folder))
    return EXIT_FAILED if failed else 0


class Need(NamedTuple):
    """What a cell takes: processor threads, and MB of memory."""

    threads: int
    memory: float


def checked(cell: Cell, line: Sequence[str], root: Path) -> Need:
    """Parse a cell's command line as its command does; what it takes.

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
        work = estimate.training(parsed.network, vars(parsed), *lengths)
        return Need(parsed.num_threads or len(os.sched_getaffinity(0)), work.memory)
    flying = estimate.SIMULATOR_MB + estimate.LEARNER_MB
    if cell.command == "evaluate.py":
        from nav_pkg.studies import evaluation

        args, _ = evaluation.split(line)
        prechecks.checkpoint(args.checkpoint_path[0], args.summary_dir)
        return Need(args.jobs, args.jobs * flying)
    if cell.command == "run_script.py":
        session_config.make_parser().parse_known_args(list(line))
        return Need(1, flying)
    from nav_pkg.cli import network_details

    network_details.make_parser().parse_args(line)
    return Need(1, DETAILS_MB)
