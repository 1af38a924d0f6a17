"""The flags of study.py."""

from __future__ import annotations

from pathlib import Path

from nav_pkg.config.parser import Parser
from nav_pkg.config.paths import data_root, summary_dir
from nav_pkg.config.types import whole

ABOUT = """Run a study (a grid of trainings over seeds, or of flights), show its progress, or report it.

Examples:
    study.py list
    study.py run data_normalisation --scale small
    study.py status data_normalisation --scale small
    study.py report data_normalisation --scale small --output docs/reproduced
"""


def make_parser() -> Parser:
    """The parser of study.py."""
    p = Parser(prog="study.py", description=ABOUT)
    add = p.add_argument
    add("action", choices=("run", "status", "report", "list"), help="what to do")
    add("study", nargs="?", help="name of a study, its .yaml file, or all")
    add("--scale", default="small", help="size of the study: full, small or smoke")
    add(
        "--only",
        nargs="+",
        default=[],
        metavar="AXIS=CHOICE[,CHOICE]",
        help="run only the cells with these choices, e.g. 'network=tiny,squeeze' 'learning rate=0.1'",
    )
    add("--jobs", type=whole(1, 256), help="number of cells in parallel (default: one per core)")
    add(
        "--backend",
        choices=("local", "condor"),
        default="local",
        help="local: run on this machine; condor: submit one DAG to HTCondor",
    )
    add("--watch", action="store_true", help="status: follow the study until no cell runs")
    add("--extend", action="store_true", help="run the new cells of a study whose file has changed")
    add("--output", type=Path, help="folder of the report (default: report/ in the study's log folder)")
    add("--summary_dir", type=Path, default=summary_dir(), help="folder of all logs")
    add("--data_root", type=Path, default=data_root(), help="folder of all datasets")
    return p
