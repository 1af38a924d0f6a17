"""Play recorded runs back to a checkpoint, one image after the other as in flight, and compare its answers.

The table shows whether the network answers recorded images as in validation, and as it did when the runs were
flown. It gives the accuracy where the expert's label stays the same, and where it changes.

Examples:
    playback.py -m my_training --dataset mine
    playback.py -m my_training my_lstm --dataset mine --part test
    playback.py -m my_lstm --dataset flown_by_my_lstm --part all
"""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.config.checkpoints import PlaybackConfig
from nav_pkg.config.setting import parse
from nav_pkg.learn.training import prechecks


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Print a table with a row per run and checkpoint.

    Raises:
        UsageError: a flag is wrong, or a network regresses the yaw rate.
        DataError: a checkpoint or run is missing or damaged.
    """
    config = parse(PlaybackConfig, argv, "playback.py", str(__doc__))
    for checkpoint in config.checkpoint_path:
        prechecks.checkpoint(checkpoint, config.summary_dir)
    prechecks.dataset(config.dataset, config.data_root)
    from nav_pkg.data.files import atomic_write
    from nav_pkg.report.playback import playback_table  # torch takes seconds

    table = playback_table(config)
    print(table.text())
    if config.csv:
        atomic_write(config.csv, table.csv(), "--csv")
    return 0
