"""The command network_details.py: size and speed of networks."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from typing import Any, Dict, List, Optional, Sequence

from nav_pkg.children import start_process_pool
from nav_pkg.config.details import ABOUT, WAYS, DetailsConfig
from nav_pkg.config.setting import parse
from nav_pkg.core import DataError, UsageError, nearest_name
from nav_pkg.data import files
from nav_pkg.learn.training import prechecks
from nav_pkg.studies.commands import DETAILS_FILE


def _measure(name: str, config: DetailsConfig) -> Dict[str, Any]:
    import torch

    from nav_pkg.learn.deployment.details import details

    devices = ["cpu"] + (["cuda"] if config.device == "auto" and torch.cuda.is_available() else [])
    return details(name, devices, config.seconds, config.num_threads, config.ways)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Measure, print the tables, and write details.json and the tables as CSV into the log folder.

    Raises:
        UsageError: no such network or way of computation.
        DataError: a file cannot be written, or a measuring process was killed.
    """
    config = parse(DetailsConfig, argv, "network_details.py", ABOUT)
    for name in config.network:
        prechecks.network(name)
    wrong = next((way for way in config.ways if way not in WAYS), None)
    if wrong:
        raise UsageError(f"--ways {wrong!r}: no such way{nearest_name(wrong, list(WAYS))}")
    from nav_pkg import nets
    from nav_pkg.report.details import published_table, speed_table, structure_table

    measured: List[Dict[str, Any]] = []
    # each network in its own process: memory of a former one would not be free for the next one
    for name in config.network or nets.names():
        print(f"{name} ...", flush=True)
        pool, _ = start_process_pool(1)
        try:
            measured.append(pool.submit(_measure, nets.canonical(name), config).result())
        except BrokenProcessPool as error:
            raise DataError(
                f"{name}: its process was killed, perhaps for lack of memory: see dmesg"
            ) from error
        finally:
            pool.shutdown(kill_workers=True)
    folder = config.summary_dir.expanduser().resolve() / config.log_tag
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.disk_error(folder, error, "--summary_dir") from error
    tables = {
        "structure": structure_table(measured),
        "speed": speed_table(measured),
        "published": published_table(measured),
    }
    for name, table in tables.items():
        print(f"\n{table.text()}")
        files.atomic_write(folder / f"{name}.csv", table.csv(), "--summary_dir")
    files.atomic_write(folder / DETAILS_FILE, files.to_json({"networks": measured}), "--summary_dir")
    print(f"\n{folder / DETAILS_FILE}")
    return 0
