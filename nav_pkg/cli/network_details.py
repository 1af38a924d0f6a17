"""network_details.py: layers, parameters, multiply-adds, memory and speed of networks.

Examples:
    network_details.py
    network_details.py --network tiny_net alex_net --ways eager "ONNX Runtime" --seconds 2
"""

from __future__ import annotations

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from nav_pkg.config import types
from nav_pkg.config.parser import Parser
from nav_pkg.config.paths import summary_dir
from nav_pkg.config.types import real, whole
from nav_pkg.core import DataError, UsageError, nearest_name
from nav_pkg.data import files
from nav_pkg.learn import prechecks
from nav_pkg.studies.commands import DETAILS_FILE

WAYS = ("eager", "channels_last", "bfloat16", "compiled", "TorchScript", "ONNX Runtime", "OpenVINO")


def make_parser() -> Parser:
    """The parser of network_details.py."""
    p = Parser(
        prog="network_details.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = p.add_argument
    add("--network", nargs="+", default=[], help="networks to measure; default: all of nav_pkg's")
    add(
        "--ways",
        nargs="+",
        default=[],
        metavar="WAY",
        help=f"of computing them: {', '.join(WAYS)}; default: all",
    )
    add("--seconds", type=real(0.01, 3600), default=2.0, help="to time each way for")
    add("--num_threads", type=whole(1, 256), default=1, help="processor threads")
    add(
        "--device",
        choices=("auto", "cpu"),
        default="auto",
        help="auto: the CPU, and a GPU where there is one",
    )
    add("-t", "--log_tag", type=types.name, default="network_details", help="log folder under --summary_dir")
    add("--summary_dir", type=Path, default=summary_dir(), help="folder of all logs")
    return p


def _measure(name: str, args: argparse.Namespace) -> Dict[str, Any]:
    import torch

    from nav_pkg.learn.details import details

    devices = ["cpu"] + (["cuda"] if args.device == "auto" and torch.cuda.is_available() else [])
    return details(name, devices, args.seconds, args.num_threads, args.ways)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Measure, print the tables, and write details.json and the tables as CSV into the log folder.

    Raises:
        UsageError: no such network or way.
        DataError: the disk refuses.
    """
    args = make_parser().parse_args(argv)
    for name in args.network:
        prechecks.network(name)
    wrong = next((way for way in args.ways if way not in WAYS), None)
    if wrong:
        raise UsageError(f"--ways {wrong!r}: no such way{nearest_name(wrong, list(WAYS))}")
    from nav_pkg import nets
    from nav_pkg.report.details import published_table, speed_table, structure_table

    found: List[Dict[str, Any]] = []
    # each in a process of its own: what one has taken of the memory is not free for the next to take
    for name in args.network or nets.names():
        print(f"{name} ...", flush=True)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            try:
                found.append(pool.submit(_measure, nets.canonical(name), args).result())
            except BrokenProcessPool as error:
                raise DataError(f"{name}: its process was killed, of memory perhaps: see dmesg") from error
    folder = args.summary_dir.expanduser().resolve() / args.log_tag
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.disk_error(folder, error, "--summary_dir") from error
    tables = {
        "structure": structure_table(found),
        "speed": speed_table(found),
        "published": published_table(found),
    }
    for name, table in tables.items():
        print(f"\n{table.text()}")
        files.atomic_write(folder / f"{name}.csv", table.csv(), "--summary_dir")
    files.atomic_write(folder / DETAILS_FILE, files.to_json({"networks": found}), "--summary_dir")
    print(f"\n{folder / DETAILS_FILE}")
    return 0
