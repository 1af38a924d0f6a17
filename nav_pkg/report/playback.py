"""The table of playback.py: answers of checkpoints to recorded images, a row per run and checkpoint."""

from __future__ import annotations

from typing import Any, Dict, List

import torch

from nav_pkg.config.checkpoints import PlaybackConfig
from nav_pkg.core import DataError, UsageError
from nav_pkg.data.progress import Bar
from nav_pkg.data.reader import load_dataset
from nav_pkg.learn.deployment.pilot import Pilot
from nav_pkg.learn.deployment.playback import joined, play
from nav_pkg.report.tables import Column, Table


def playback_table(config: PlaybackConfig) -> Table:
    """Play runs back to each checkpoint; with several runs, a further row joins them.

    Raises:
        UsageError: a network regresses the yaw rate.
        DataError: a checkpoint or run is missing or damaged.
    """
    if config.num_threads:
        torch.set_num_threads(config.num_threads)
    dataset = load_dataset(config.dataset, config.data_root)
    runs = dataset.require_runs() if config.part == "all" else dataset.split(config.part)
    if not runs:
        raise DataError(f"{dataset.path}: its {config.part}_set.txt is empty; give another --part")
    pilots = [Pilot.load(path, config.summary_dir) for path in config.checkpoint_path]
    for path, pilot in zip(config.checkpoint_path, pilots):
        if not pilot.action_space.discrete:
            raise UsageError(
                f"--checkpoint_path {path}: regresses the yaw rate; give a checkpoint with classes"
            )
    rows: List[Dict[str, Any]] = []
    with Bar(len(pilots) * sum(map(len, runs)), "frames") as bar:
        for path, pilot in zip(config.checkpoint_path, pilots):
            played = [play(pilot, run, bar.add) for run in runs]
            parts = list(zip([run.name for run in runs], played))
            for name, each in [*parts, ("all", joined(played))] if len(parts) > 1 else parts:
                rows.append(
                    {
                        "checkpoint": path,
                        "run": name,
                        "frames": len(each.labels),
                        "accuracy": each.accuracy,
                        "loss": each.imitation_loss,
                        "stays": each.accuracy_where(each.is_same_class),
                        "changes": each.accuracy_where(each.is_class_change),
                        "expert": each.changed_labels,
                        "pilot": each.changed_answers,
                        "flown": each.flown_agreement,
                    }
                )
    columns = (
        Column("checkpoint", "checkpoint"),
        Column("run", "run"),
        Column("frames", "frames", 0),
        Column("accuracy", "accuracy", 4),
        Column("loss", "imitation loss", 4),
        Column("stays", "accuracy where the label stays", 4),
        Column("changes", "where it changes", 4),
        Column("expert", "labels that change", 4),
        Column("pilot", "answers that change", 4),
        Column("flown", "answers as flown", 4),
    )
    return Table(columns, rows)
