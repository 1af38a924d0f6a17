"""The settings of study.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Tuple

from nav_pkg.config.session import PlaceConfig, SimulationConfig
from nav_pkg.config.setting import setting, shared
from nav_pkg.config.types import integer

ABOUT = """Run a study (a grid of trainings over seeds, or of flights), show its progress, or report it.

Examples:
    study.py list
    study.py run data_normalisation --scale small
    study.py status data_normalisation --scale small
    study.py report data_normalisation --scale small --output docs/reproduced
"""


@dataclass(frozen=True)
class StudyConfig:
    """Study."""

    action: str = setting("", "what to do", str, positional=True, choices=("run", "status", "report", "list"))
    study: Optional[str] = setting(
        None, "name of a study, its .yaml file, or all", str, positional=True, nargs="?"
    )
    scale: str = setting("small", "size of the study: full, small or smoke", str)
    only: Tuple[str, ...] = setting(
        (),
        "run only the cells with these choices, e.g. 'network=tiny,squeeze' 'learning rate=0.1'",
        str,
        nargs="+",
        metavar="AXIS=CHOICE[,CHOICE]",
    )
    jobs: Optional[int] = setting(
        None, "number of cells in parallel (default: one per core)", integer(1, 256)
    )
    backend: str = setting(
        "local",
        "local: run on this machine; condor: submit one DAG to HTCondor",
        str,
        choices=("local", "condor"),
    )
    simulator: str = shared(SimulationConfig, "simulator")
    watch: bool = setting(False, "status: follow the study until no cell runs")
    extend: bool = setting(False, "run the new cells of a study whose file has changed")
    output: Optional[Path] = setting(
        None, "folder of the report (default: report/ in the study's log folder)", Path
    )
    summary_dir: Path = shared(PlaceConfig, "summary_dir")
    data_root: Path = shared(PlaceConfig, "data_root")
