"""The settings of clean_dataset.py: which runs are taken, how they are split."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Sequence, Tuple

from nav_pkg.config import setting as settings
from nav_pkg.config import types
from nav_pkg.config.parser import Parser
from nav_pkg.config.session import PlaceConfig
from nav_pkg.config.setting import setting, shared
from nav_pkg.core import Outcome, UsageError

ABOUT = """Make a training dataset from recordings: select good runs, cut them, and split them by run.

Example:
    clean_dataset.py --sources collect/mine --destination mine --val_len 1 --test_len 1
"""
_BY_WORLD = "-1: the world's limit (docs/dataset.md)"


@dataclass(frozen=True)
class CleaningConfig:
    """Cleaning."""

    data_root: Path = shared(PlaceConfig, "data_root")
    startswith: str = setting("", "clean the datasets whose names begin with this text", str)
    endswith: str = setting("", "clean the datasets whose names end with this text", str)
    sources: Optional[Tuple[str, ...]] = setting(
        None,
        "clean the datasets of these names, if --startswith and --endswith also match (default: all)",
        types.name,
        nargs="+",
    )
    destination: str = setting("new_dataset", "name of the new dataset", types.name)
    outcomes: Tuple[str, ...] = setting(
        ("success",),
        "keep runs with these outcomes",
        str,
        nargs="+",
        choices=[item.value for item in Outcome],
    )
    min_distance: float = setting(-1, f"drop runs that flew fewer metres; {_BY_WORLD}", float)
    min_rgb: int = setting(-1, f"drop runs with fewer colour images; {_BY_WORLD}", int)
    max_rgb: int = setting(-1, f"drop runs with more colour images; {_BY_WORLD}", int)
    min_depth: int = setting(-1, "drop runs with fewer depth images; -1: no limit", int)
    max_depth_rgb_difference: int = setting(
        -1, "drop runs whose numbers of depth and colour images differ more; -1: no limit", int
    )
    allow_gaps: bool = setting(False, "keep runs made from a bag in which frames were missing")
    minimum_number_of_success: int = setting(1, "make no dataset if fewer runs are kept", int)
    val_len: int = setting(10, "number of runs for validation", int)
    test_len: int = setting(10, "number of runs for test", int)
    random_seed: int = setting(123, "seed of the split", int)
    link: bool = setting(
        False,
        "hard-link the images: needs no space, and the sources stay (the default)",
        exclusive="placement",
    )
    copy: bool = setting(False, "copy the images", exclusive="placement")
    move: bool = setting(
        False,
        "move the images: remove the kept runs from their sources at the very end",
        exclusive="placement",
    )
    owr: bool = setting(False, "replace the destination if it exists")
    again: bool = setting(False, "replace the destination if it was made from the same datasets")
    dry_run: bool = setting(False, "show the selected runs and make no dataset")

    @property
    def placement(self) -> str:
        """How images come into the dataset: `link`, `copy` or `move`."""
        return "copy" if self.copy else "move" if self.move else "link"


def make_parser() -> Parser:
    """The parser of clean_dataset.py."""
    return settings.make_parser(CleaningConfig, "clean_dataset.py", ABOUT)


def parse(argv: Optional[Sequence[str]] = None) -> CleaningConfig:
    """Parse the command line.

    Raises:
        UsageError: a flag is unknown, or its value can't be.
    """
    config = settings.parse(CleaningConfig, argv, "clean_dataset.py", ABOUT)
    for flag in ("val_len", "test_len", "minimum_number_of_success", "random_seed"):
        if getattr(config, flag) < 0:
            raise UsageError(
                f"clean_dataset.py: --{flag} {getattr(config, flag)} must not be negative: give 0 or more"
            )
    if math.isnan(config.min_distance):
        raise UsageError("clean_dataset.py: --min_distance nan is no distance: give metres, or -1")
    if 0 <= config.max_rgb < config.min_rgb:
        raise UsageError(f"clean_dataset.py: --min_rgb {config.min_rgb} exceeds --max_rgb {config.max_rgb}")
    return config
