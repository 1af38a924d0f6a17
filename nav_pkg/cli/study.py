"""The command study.py: run, watch and report a study."""

from __future__ import annotations

import sys
from typing import List, Optional, Sequence

from nav_pkg.config.setting import from_values, make_parser
from nav_pkg.config.study import ABOUT, StudyConfig
from nav_pkg.core import NavError, UsageError
from nav_pkg.ending import raise_on_stop_signals
from nav_pkg.studies import study as studies
from nav_pkg.studies.local import run_cells
from nav_pkg.studies.needs import prepare
from nav_pkg.studies.runner import StudyFolder
from nav_pkg.studies.status import counts_text, print_status, print_studies
from nav_pkg.studies.study import selected

EXIT_FAILED = 5
"""Exit code if some cells failed."""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    parsed, cluster = make_parser(StudyConfig, "study.py", ABOUT).parse_known_args(argv)
    config = from_values(StudyConfig, vars(parsed))
    if cluster and (config.action != "run" or config.backend != "condor"):
        raise UsageError(f"study.py {config.action}: unknown argument {cluster[0]!r}; see study.py --help")
    summary = config.summary_dir.expanduser().resolve()
    if config.action == "list":
        print_studies()
        return 0
    if not config.study:
        raise UsageError(
            f"study.py {config.action}: which study? There are "
            f"{', '.join(studies.names()) or 'none'}; `all` for all of them"
        )
    if config.only and (config.action != "run" or config.study == "all" or config.backend == "condor"):
        raise UsageError("--only chooses cells of one study that `run` runs on this machine")
    if config.watch and (config.action != "status" or config.study == "all"):
        raise UsageError("--watch follows one study: study.py status NAME --watch")
    code = 0
    folders: List[StudyFolder] = []
    for name in studies.in_order() if config.study == "all" else [config.study]:
        try:  # in order: a study may fly what an earlier one has trained
            folder = StudyFolder(studies.load(name).flown_in(config.simulator), config.scale, summary)
            if config.action == "status":
                print_status(folder, config.watch)
            elif config.action == "run":
                code = run(folder, config, cluster) or code
            folders.append(folder)
        except NavError as error:
            if config.study != "all":
                raise
            print(f"error: {name}: {error}", file=sys.stderr)
            code = error.code
    if config.action == "report":
        from nav_pkg.studies.report import write_reports  # matplotlib takes a second

        alone = config.study != "all"
        output = folders[0].folder / "report" if alone else summary / "studies/report"
        code = write_reports(folders, alone, config.output or output) or code
    return code


def run(folder: StudyFolder, config: StudyConfig, cluster: Sequence[str] = ()) -> int:
    """Check all selected cells, then run those that are not done."""
    if config.backend == "condor":
        from nav_pkg.cluster.plans import study as dag

        return dag.submit(folder, config, cluster)
    chosen = selected(folder.cells, config.only)
    needs = prepare(folder, chosen, config)
    raise_on_stop_signals()
    root = config.data_root.expanduser().resolve()
    failed = run_cells(folder, chosen, needs, root, config.summary_dir, config.jobs)
    print(counts_text(folder, folder.states()))
    return EXIT_FAILED if failed else 0
