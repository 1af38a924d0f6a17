"""The flags of network_details.py."""

from __future__ import annotations

from pathlib import Path

from nav_pkg.config import types
from nav_pkg.config.parser import Parser
from nav_pkg.config.paths import summary_dir
from nav_pkg.config.types import real, whole

ABOUT = """Show layers, parameters, multiply-adds, memory and speed of networks.

Examples:
    network_details.py
    network_details.py --network tiny_net alex_net --ways eager "ONNX Runtime" --seconds 2
"""

WAYS = ("eager", "channels_last", "bfloat16", "compiled", "TorchScript", "ONNX Runtime", "OpenVINO")


def make_parser() -> Parser:
    """The parser of network_details.py."""
    p = Parser(prog="network_details.py", description=ABOUT)
    add = p.add_argument
    add("--network", nargs="+", default=[], help="networks to measure (default: all of nav_pkg)")
    add(
        "--ways",
        nargs="+",
        default=[],
        metavar="WAY",
        help=f"ways of computation to time: {', '.join(WAYS)} (default: all)",
    )
    add("--seconds", type=real(0.01, 3600), default=2.0, help="seconds of timing for each way")
    add("--num_threads", type=whole(1, 256), default=1, help="processor threads")
    add(
        "--device",
        choices=("auto", "cpu"),
        default="auto",
        help="auto: the CPU, and a GPU if there is one",
    )
    add("-t", "--log_tag", type=types.name, default="network_details", help="log folder below --summary_dir")
    add("--summary_dir", type=Path, default=summary_dir(), help="folder of all logs")
    return p
