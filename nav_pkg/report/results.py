"""The tables of results.py: trainings over seeds, rankings, paired comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional, Tuple

from nav_pkg.config.reports import ResultsConfig
from nav_pkg.core import UsageError
from nav_pkg.report import trainings
from nav_pkg.report.tables import Table


def results_table(config: ResultsConfig) -> Table:
    """The table that the flags ask for.

    Raises:
        UsageError: an unknown metric, or folders that do not fit the action.
        DataError: a folder holds no results.
    """
    root = config.summary_dir.expanduser()
    for metric in [*config.metrics, *([config.sort] if config.sort else [])]:
        trainings.check_metric(metric)
    if config.action == "compare":
        if len(config.log_folders) != 2:
            raise UsageError(f"results.py compare: {len(config.log_folders)} folders given: give two")
        if config.flights:
            first_flights, second_flights = (
                trainings.read_flights(*_flown(root, word)) for word in config.log_folders
            )
            table = trainings.compare_flights(first_flights, second_flights)
        else:
            first, second = (
                _only_group(trainings.find_trainings(root / word), word) for word in config.log_folders
            )
            table = trainings.compare_trainings(first, second, config.metrics)
    else:
        if config.flights:
            raise UsageError("results.py: --flights has an effect only with compare")
        groups: Dict[str, List[trainings.Training]] = {}
        for word in config.log_folders or ["."]:
            groups_below = trainings.find_trainings(root / word)
            several = len(config.log_folders) > 1
            groups.update(
                {
                    f"{word}/{name}" if several and name != Path(word).name else name: runs
                    for name, runs in groups_below.items()
                }
            )
        if config.action == "rank":
            table = trainings.ranking(groups, config.metrics[0])
        else:
            table = trainings.table(groups, config.metrics, config.sort)
    return table


def _only_group(groups: Dict[str, List], word: str) -> List:
    if len(groups) > 1:
        raise UsageError(
            f"results.py compare: {word} holds {len(groups)} trainings ({', '.join(groups)}): name one"
        )
    return next(iter(groups.values()))


def _flown(root: Path, word: str) -> Tuple[Path, Optional[str]]:
    folder, _, checkpoint = word.partition(":")
    return root / folder, checkpoint or None
