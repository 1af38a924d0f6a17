"""The command study.py: run, watch and report a study."""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path
from typing import List, Optional, Sequence

from nav_pkg.cli import entry
from nav_pkg.config.study import make_parser
from nav_pkg.core import NavError, UsageError
from nav_pkg.studies import study as studies
from nav_pkg.studies.datasets import make_datasets
from nav_pkg.studies.local import run_cells
from nav_pkg.studies.needs import needs_of
from nav_pkg.studies.runner import StudyFolder
from nav_pkg.studies.status import counts_text, print_status
from nav_pkg.studies.study import selected

EXIT_FAILED = 5
"""Exit code if some cells failed."""


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
        try:  # in order: a study may fly what an earlier one has trained
            folder = StudyFolder(studies.load(name), args.scale, summary)
            if args.action == "status":
                print_status(folder, args.watch)
            elif args.action == "run":
                code = run(folder, args, cluster) or code
            folders.append(folder)
        except NavError as error:
            if args.study != "all":
                raise
            print(f"error: {name}: {error}", file=sys.stderr)
            code = error.code
    if args.action == "report":
        from nav_pkg.studies.report import write_reports  # matplotlib takes a second

        alone = args.study != "all"
        output = folders[0].folder / "report" if alone else summary / "studies/report"
        code = write_reports(folders, alone, args.output or output) or code
    return code


def run(folder: StudyFolder, args: argparse.Namespace, cluster: Sequence[str] = ()) -> int:
    """Check all selected cells, then run those that are not done."""
    root = args.data_root.expanduser().resolve()
    if args.backend == "condor":
        from nav_pkg.cluster.plans.base import run as run_dag
        from nav_pkg.cluster.plans.study import StudyDag, check

        check(folder)
    chosen = selected(folder.cells, args.only)
    make_datasets(folder, root, args.summary_dir)
    needs = {cell.digest: needs_of(cell, folder.words(cell, root, args.summary_dir), root) for cell in chosen}
    folder.open(args.extend)
    if args.backend == "condor":
        # jobs run in other folders: make paths absolute
        source = folder.study.name if args.study == "all" else args.study
        source = str(Path(source).resolve()) if source.endswith((".yaml", ".yml")) else source
        places = ["--summary_dir", str(args.summary_dir.expanduser().resolve()), "--data_root", str(root)]
        line = ["-t", f"{folder.tag}/dag", *places, *cluster]
        return run_dag(functools.partial(StudyDag, folder, source), line)
    entry.raise_on_stop_signals()
    failed = run_cells(folder, chosen, needs, root, args.summary_dir, args.jobs)
    print(counts_text(folder))
    return EXIT_FAILED if failed else 0
