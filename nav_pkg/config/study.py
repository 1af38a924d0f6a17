"""The flags of study.py."""

from __future__ import annotations

import argparse
from pathlib import Path

from nav_pkg.config.parser import Parser
from nav_pkg.config.paths import data_root, summary_dir
from nav_pkg.config.types import whole

ABOUT = """study.py: run a study (a grid of trainings over seeds, or of flights), watch it, report it.

Examples:
    study.py list
    study.py run data_normalisation --scale small
    study.py status data_normalisation --scale small
    study.py report data_normalisation --scale small --output docs/reproduced
"""


def make_parser() -> Parser:
    """The parser of study.py."""
    p = Parser(prog="study.py", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    add("--jobs", type=whole(1, 256), help="cells run side by side; default: as many as there are cores")
    add(
        "--backend", choices=("local", "condor"), default="local", help="this machine, or one DAG on HTCondor"
    )
    add("--watch", action="store_true", help="status: follow the study until none of its cells runs")
    add("--extend", action="store_true", help="run the new cells of a study that has changed")
    add("--output", type=Path, help="folder of the report; default: report/ in the study's log folder")
    add("--summary_dir", type=Path, default=summary_dir(), help="folder of all logs")
    add("--data_root", type=Path, default=data_root(), help="folder of all datasets")
    return p
