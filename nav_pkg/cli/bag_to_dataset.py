"""Convert ROS 1 bags to a dataset, with the same bytes that the recorder would have written.

Example:
    bag_to_dataset.py flight.bag --dataset from_bag
"""

from __future__ import annotations

import sys
from typing import Optional, Sequence

from nav_pkg.config.dataset import BagConfig
from nav_pkg.config.setting import parse
from nav_pkg.data import bag
from nav_pkg.data.progress import progress


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    args = parse(BagConfig, argv, "bag_to_dataset.py", str(__doc__))
    result = bag.bag_to_dataset(
        args.bags,
        args.data_root.expanduser() / args.dataset,
        overwrite=args.owr,
        topics=dict(topic.split("=", 1) for topic in args.topic),
        progress=lambda stream: progress(stream, "messages"),
        storage=args.storage,
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
