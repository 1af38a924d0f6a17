"""The command clean_dataset.py: make a training dataset from recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, Optional, Sequence

from nav_pkg.config.cleaning import CleaningConfig, parse
from nav_pkg.core import DataError
from nav_pkg.data import clean
from nav_pkg.data.progress import progress
from nav_pkg.data.reader import Dataset, find_datasets


def _sources(config: CleaningConfig, root: Path) -> dict[str, Dataset]:
    destination = root / config.destination
    names = {path.relative_to(root).as_posix(): path for path in find_datasets(root) if path != destination}
    chosen = {
        name: Dataset(path)
        for name, path in names.items()
        if name.startswith(config.startswith)
        and name.endswith(config.endswith)
        and (config.sources is None or name in config.sources)
    }
    missing = sorted({*(config.sources or ())} - {*chosen})
    if missing:
        raise DataError(f"{root / missing[0]}: no such dataset; see --sources")
    if not chosen:
        known = f"; there are: {', '.join(sorted(names))}" if names else ""
        pattern = f"{config.startswith}*{config.endswith}"
        raise DataError(f"{root}: no dataset is named {pattern!r}{known}; see --startswith, --endswith")
    if not any(dataset.runs for dataset in chosen.values()):
        raise DataError(f"{', '.join(str(d.path) for d in chosen.values())}: no runs; record some first")
    return chosen


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    config = parse(argv)
    root = config.data_root.expanduser()
    if not root.is_dir():
        raise DataError(f"{root}: no such data root; set --data_root or NAV_PKG_DATA")

    def bar(items: list) -> Iterator:
        return progress(items, "runs")

    destination = root / config.destination
    sources = _sources(config, root)
    if config.again and not config.owr:
        clean.check_same_sources(destination, list(sources))
    overwrite = config.owr or config.again
    clean.check_destination(destination, overwrite)
    limits = clean.CleaningLimits(*(getattr(config, name) for name in clean.CleaningLimits._fields))
    plan = clean.plan_cleaning(sources, limits, config.val_len, config.test_len, config.random_seed, bar)
    for path, why in plan.dropped:
        print(f"dropped {path}: {why}")
    for note in plan.notes:
        print(f"note: {note}")
    for line in plan.warnings:
        print(f"warning: {line}")
    if len(plan.kept) < max(1, config.minimum_number_of_success):
        raise DataError(
            f"{len(plan.kept)} runs pass, {max(1, config.minimum_number_of_success)} are required "
            f"(--minimum_number_of_success); {destination} was not made; record more or loosen the limits"
        )
    for item in plan.kept:
        print(f"{item.part:5} {item.name} = {item.run.path} frames {item.first} to {item.last - 1}")
    if config.dry_run:
        print(f"dry run: {destination} was not made")
        return 0
    clean.make_dataset(plan, destination, config.random_seed, config.placement, overwrite, bar)
    frames = sum(item.last - item.first for item in plan.kept)
    print(f"{destination}: {len(plan.kept)} runs, {frames} frames")
    return 0
