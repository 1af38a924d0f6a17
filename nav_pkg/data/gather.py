"""Combine the shards of a session, whose runs have different numbers, into one recording."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from nav_pkg.core import DataError
from nav_pkg.data import commit
from nav_pkg.data.links import LinkedDataset, RunSelection
from nav_pkg.data.reader import Dataset


class GatheredDataset(LinkedDataset):
    """A dataset of hard links to all runs of several recordings, with their names and without a split.

    The result has the same bytes as a recording by a single session.

    Args:
        sources: the recordings.
        destination: the new dataset's folder.

    Raises:
        DataError: two recordings have a run of the same name, they have different robots or cameras, or
            they have no runs.
    """

    def __init__(self, sources: Sequence[Dataset], destination: Path):
        first = sources[0]
        for dataset in sources:
            if commit.recording_entries(dataset.description) != commit.recording_entries(first.description):
                raise DataError(
                    f"{dataset.path}: is of another robot or camera than {first.path}; gather them apart"
                )
        runs = sorted((run for dataset in sources for run in dataset.runs), key=lambda run: run.name)
        if not runs:
            raise DataError(f"{first.path}: no runs in {len(sources)} recordings; record some first")
        for first_run, next_run in zip(runs, runs[1:]):
            if first_run.name == next_run.name:
                raise DataError(
                    f"{next_run.path}: {first_run.path} has the same name; only shards can be gathered"
                )
        super().__init__(
            destination,
            [RunSelection("", run, len(run)) for run in runs],
            sources,
            first.description,
            {"gather": [str(dataset.path.resolve()) for dataset in sources]},
        )
