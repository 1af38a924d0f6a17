"""Convert ROS 1 bags to a dataset, with the same bytes that the recorder would have written.

Example:
    bag_to_dataset.py flight.bag --dataset from_bag
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Optional, Sequence

from nav_pkg.config import paths, types
from nav_pkg.config.parser import Parser
from nav_pkg.data import bag
from nav_pkg.data.progress import progress


def _topic(text: str) -> tuple[str, str]:
    kind, found, name = text.partition("=")
    if not found or kind not in bag.TOPICS or not name.startswith("/"):
        known = ", ".join(bag.TOPICS)
        raise argparse.ArgumentTypeError(f"{text!r} is not KIND=/topic with a KIND of {known}")
    return kind, name


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    parser = Parser(prog="bag_to_dataset.py", description=__doc__)
    parser.add_argument("bags", nargs="+", metavar="BAG", help="ROS 1 bags (.bag, .bag.active), in order")
    parser.add_argument("--dataset", type=types.name, required=True, help="name of the new dataset")
    parser.add_argument("--data_root", type=Path, default=paths.data_root(), help="folder of all datasets")
    parser.add_argument("--owr", action="store_true", help="replace an existing dataset")
    parser.add_argument(
        "--topic",
        type=_topic,
        action="append",
        default=[],
        metavar="KIND=/topic",
        help="read a kind of message from a topic with another name; may be repeated",
    )
    args = parser.parse_args(argv)
    result = bag.bag_to_dataset(
        args.bags,
        args.data_root.expanduser() / args.dataset,
        overwrite=args.owr,
        topics=dict(args.topic),
        progress=lambda stream: progress(stream, "messages"),
    )
    for note in result.notes:
        print(f"note: {note}", file=sys.stderr)
    for unplaced in result.dropped:
        print(f"not placed: {unplaced}", file=sys.stderr)
    print(
        f"{result.dataset}: {len(result.runs)} runs, {result.frames} frames, "
        f"{len(result.dropped)} frames not placed"
    )
    return 0
