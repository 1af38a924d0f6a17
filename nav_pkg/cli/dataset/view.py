"""Write a contact sheet or a film of a run, with the commands drawn in."""

from __future__ import annotations

import argparse
from pathlib import Path

from nav_pkg.config.parser import Parser
from nav_pkg.core import UsageError, nearest_name
from nav_pkg.data import view
from nav_pkg.data.reader import load_dataset


def add_flags(parser: Parser) -> None:
    """Add all flags except the dataset and --data_root."""
    parser.add_argument("--run", default="", help="name of the run (default: the first run)")
    parser.add_argument(
        "--output",
        type=Path,
        default=None,
        help="file to write: .jpg or .png: contact sheet, .gif or .mp4: film (default: DATASET_RUN.jpg)",
    )
    parser.add_argument("--frames", type=int, default=24, help="number of frames in a contact sheet")
    parser.add_argument("--every", type=int, default=1, help="show every n-th frame in a film")
    parser.add_argument("--depth", action="store_true", help="show depth images instead of colour images")


def run(args: argparse.Namespace) -> int:
    """Write pictures of a run."""
    dataset = load_dataset(args.dataset, args.data_root)
    runs = {run.name: run for run in dataset.require_runs()}
    name = args.run or next(iter(runs))
    if name not in runs:
        raise UsageError(f"{dataset.path}: no run {name!r}{nearest_name(name, list(runs))}")
    if args.frames < 1 or args.every < 1:
        raise UsageError("--frames and --every must be at least 1")
    output = args.output or Path(f"{dataset.name}_{name}.jpg")
    view.view(runs[name], output, args.frames, args.every, args.depth)
    print(output)
    return 0
