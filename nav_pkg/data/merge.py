"""Extend a dataset: its runs keep their split, and runs of other datasets are added for training."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from nav_pkg.core import DataError, Outcome
from nav_pkg.data import format as fmt
from nav_pkg.data.links import LinkedDataset, RunSelection
from nav_pkg.data.reader import Dataset, Run


class MergedDataset(LinkedDataset):
    """A base dataset plus the runs of other datasets.

    The base's runs keep their names and their parts of the split. The added runs go to the training set,
    numbered after the base's runs. Only runs whose outcome counts for the pilot (complete laps, collisions,
    timeouts, ...) are added.

    Args:
        base: a dataset with splits.
        added: datasets of the same camera and robot; their splits are ignored.
        destination: the new dataset's folder.

    Raises:
        DataError: an added dataset has another image size or no run to add.
    """

    def __init__(self, base: Dataset, added: Sequence[Dataset], destination: Path):
        selected_runs = [
            RunSelection(part, run, len(run)) for part, runs in base.splits().items() for run in runs
        ]
        number = 1 + max((fmt.parse_run_name(item.run.name)[0] for item in selected_runs), default=-1)
        for dataset in added:
            if _camera(dataset) != _camera(base):
                raise DataError(
                    f"{dataset.path}: has a camera of {_camera(dataset)}, {base.path} one of "
                    f"{_camera(base)}: only datasets of the same camera can be merged"
                )
            for run in _counted(dataset):
                world = fmt.parse_run_name(run.name)[1]
                selected_runs.append(RunSelection("train", run, len(run), fmt.run_name(number, world)))
                number += 1
        names = [dataset.name for dataset in (base, *added)]
        super().__init__(
            destination,
            selected_runs,
            [base, *added],
            {**base.description, fmt.MERGED_FROM: names},
            {"merge": [str(dataset.path.resolve()) for dataset in (base, *added)]},
        )


def _counted(dataset: Dataset) -> list[Run]:
    runs = [run for run in dataset.require_runs() if Outcome(run.facts["outcome"]).counts]
    if not runs:
        raise DataError(f"{dataset.path}: no run that is neither aborted nor sim_failure; record some first")
    return runs


def _camera(dataset: Dataset) -> str:
    """Width and height of the colour images as text, pixels."""
    sizes = {tuple((run.facts.get("sensors") or {}).get("rgb") or ()) for run in dataset.require_runs()}
    return " and ".join("x".join(map(str, reversed(size))) for size in sorted(sizes))
