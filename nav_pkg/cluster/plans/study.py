"""The DAG of a study: its cells that are not done, and its report (`study.py run --backend condor`)."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Dict, List, Sequence

from nav_pkg.cluster.plans.base import DagCommand, PlannedJob
from nav_pkg.cluster.plans.evaluate import check_flights
from nav_pkg.cluster.plans.run import run
from nav_pkg.cluster.plans.train import canonical, split_lengths
from nav_pkg.config import learner
from nav_pkg.config.learner import LearnerConfig
from nav_pkg.config.session import PlaceConfig
from nav_pkg.config.setting import to_argv
from nav_pkg.config.study import StudyConfig
from nav_pkg.core import UsageError
from nav_pkg.learn.training import prechecks
from nav_pkg.studies import workload
from nav_pkg.studies.cell_logs import DONE
from nav_pkg.studies.needs import prepare
from nav_pkg.studies.runner import StudyFolder
from nav_pkg.studies.study import Cell

KINDS = ("main.py", "evaluate.py")
"""Commands of cells that can run on a cluster."""


def check(folder: StudyFolder) -> None:
    """Check that a study can run on a cluster.

    Raises:
        UsageError: its cells collect data or measure the machine.
    """
    if folder.study.command not in KINDS:
        raise UsageError(
            f"--backend condor: study {folder.study.name} runs {folder.study.command}: give --backend local"
        )


class StudyDag(DagCommand):
    """The DAG of a study: cells -> report.

    Args:
        folder: folder of the study, opened.
        source: name of the study or absolute path of its file, so that study.py finds it from any folder.
        argv: flags of the cluster, and `-t`, `--summary_dir`, `--data_root`.
    """

    name = "study.py"
    about = "Run a study on a cluster."

    def __init__(self, folder: StudyFolder, source: str, argv: Sequence[str]):
        self.study, self.source = folder, source
        super().__init__(argv)

    def layers(self) -> List[Any]:
        """No layers: the flags of a cell come from the study."""
        return []

    def check(self) -> None:
        """Select the cells that are not done; study.py has checked their flags."""
        self.cells = [cell for cell in self.study.cells if self.study.state(cell).state != DONE]

    def configuration(self) -> Dict[str, Any]:
        """All cells, including done ones, so that the DAG of the same study is the same."""
        return {"cells": [cell.digest for cell in self.study.cells]}

    def output(self) -> Path:
        """The report."""
        return self.study.folder / "report" / f"{self.study.study.name}.html"

    def jobs(self) -> List[PlannedJob]:
        """The cells that are not done, and the report."""
        cells = [self._cell(cell) for cell in self.cells]
        config = StudyConfig(action="report", study=self.source, scale=self.study.scale)
        words = ["study.py", *to_argv(config, "scale")]
        work = workload.Work(60.0, 900.0, 50.0, 0.0, 50)
        parents = tuple(cell.job.name for cell in cells)
        return [*cells, self.plan_job("report", "report", words, work, parents=parents)]

    def _cell(self, cell: Cell) -> PlannedJob:
        tag = f"{self.study.tag}/cells/{cell.digest}"
        command = [cell.command, *to_argv(PlaceConfig(log_tag=tag)), *cell.argv]
        name, outputs = f"c_{cell.digest}", (f"log/{tag}",)
        if cell.command == "evaluate.py":
            checkpoint = str(cell.flags["checkpoint_path"])
            rest = {key: value for key, value in cell.flags.items() if key != "checkpoint_path"}
            prechecks.checkpoint(checkpoint, self.summary_dir)
            from nav_pkg.learn.checkpoints import checkpoint as checkpoints  # torch takes seconds

            network = checkpoints.load(checkpoint, self.summary_dir).network
            work = check_flights(self.name, Cell({}, None, rest).argv).work(network)
            more = {"simulator": True, "checkpoints": (checkpoint,)}
            return self.plan_job("evaluate", name, command, work, outputs=outputs, **self._flags(), **more)
        parsed = learner.parse(cell.argv)
        lengths = split_lengths(self.dataset(parsed.dataset))
        work = workload.training(canonical(parsed.network), vars(parsed), *lengths)
        start = parsed.checkpoint_path
        return self.plan_job(
            "train",
            name,
            [*command, *to_argv(LearnerConfig(copy_dataset=self.config.copy_dataset))],
            work,
            datasets=(parsed.dataset,),
            checkpoints=(start,) if start else (),
            copy_dataset=self.config.copy_dataset,
            outputs=outputs,
            total=parsed.max_episodes,
            unit="episodes",
            **self._flags(),
        )

    def _flags(self) -> Dict[str, Any]:
        return {"wall_flag": "wall_time", "gpumem": self.config.gpumem}


def submit(folder: StudyFolder, config: StudyConfig, cluster: Sequence[str]) -> int:
    """Plan and submit the DAG of a study.

    Args:
        folder: folder of the study.
        config: the flags of study.py.
        cluster: flags of the cluster.

    Returns:
        The exit code.
    """
    check(folder)
    prepare(folder, folder.cells, config)
    # jobs run in other folders: make paths absolute
    source = folder.study.name if config.study == "all" else str(config.study)
    source = str(Path(source).resolve()) if source.endswith((".yaml", ".yml")) else source
    places = PlaceConfig(
        log_tag=f"{folder.tag}/dag",
        summary_dir=config.summary_dir.expanduser().resolve(),
        data_root=config.data_root.expanduser().resolve(),
    )
    words = to_argv(places, "summary_dir", "data_root")
    return run(functools.partial(StudyDag, folder, source), [*words, *cluster])
