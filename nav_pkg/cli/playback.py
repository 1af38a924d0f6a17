"""Play recorded runs back to a checkpoint, one image after the other as in flight, and compare its answers.

The table shows whether the network answers recorded images as in validation, and as it did when the runs were
flown. It gives the accuracy where the expert's label stays the same, and where it changes.

Examples:
    playback.py -m my_training --dataset mine
    playback.py -m my_training my_lstm --dataset mine --part test
    playback.py -m my_lstm --dataset flown_by_my_lstm --part all
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from nav_pkg.config.parser import Parser
from nav_pkg.config.paths import data_root, summary_dir
from nav_pkg.config.types import whole
from nav_pkg.core import DataError, UsageError
from nav_pkg.learn import prechecks

PARTS = ("train", "val", "test", "all")


def make_parser() -> Parser:
    """Make the parser of playback.py."""
    p = Parser(prog="playback.py", description=__doc__)
    add = p.add_argument
    add("-m", "--checkpoint_path", nargs="+", required=True, help="checkpoints: log folders or files")
    add("--dataset", required=True, help="dataset with the runs to play back")
    add(
        "--part",
        choices=PARTS,
        default="val",
        help="part of the dataset; all: every run, also of a dataset without parts",
    )
    add("--csv", type=Path, help="also write the table to this file, with all digits")
    add(
        "--num_threads",
        type=whole(0, 1024),
        default=0,
        help="processor threads of a network; 0: one per core",
    )
    add("--summary_dir", type=Path, default=summary_dir(), help="folder of all logs")
    add("--data_root", type=Path, default=data_root(), help="folder of all datasets")
    return p


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Print a table with a row per run and checkpoint.

    Raises:
        UsageError: a flag is wrong, or a network regresses the yaw rate.
        DataError: a checkpoint or run is missing or damaged.
    """
    args = make_parser().parse_args(argv)
    for checkpoint in args.checkpoint_path:
        prechecks.checkpoint(checkpoint, args.summary_dir)
    prechecks.dataset(args.dataset, args.data_root)
    import torch

    from nav_pkg.data.files import atomic_write
    from nav_pkg.data.progress import Bar
    from nav_pkg.data.reader import load_dataset
    from nav_pkg.learn.pilot import Pilot
    from nav_pkg.learn.playback import joined, play
    from nav_pkg.report.tables import Column, Table

    if args.num_threads:
        torch.set_num_threads(args.num_threads)
    dataset = load_dataset(args.dataset, args.data_root)
    runs = dataset.require_runs() if args.part == "all" else dataset.split(args.part)
    if not runs:
        raise DataError(f"{dataset.path}: its {args.part}_set.txt is empty; give another --part")
    pilots = [Pilot.load(path, args.summary_dir) for path in args.checkpoint_path]
    for path, pilot in zip(args.checkpoint_path, pilots):
        if not pilot.action_space.discrete:
            raise UsageError(
                f"--checkpoint_path {path}: regresses the yaw rate; give a checkpoint with classes"
            )
    rows: List[Dict[str, Any]] = []
    with Bar(len(pilots) * sum(map(len, runs)), "frames") as bar:
        for path, pilot in zip(args.checkpoint_path, pilots):
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
    table = Table(columns, rows)
    print(table.text())
    if args.csv:
        atomic_write(args.csv, table.csv(), "--csv")
    return 0
