"""The settings of network_details.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

from nav_pkg.config import types
from nav_pkg.config.session import PlaceConfig
from nav_pkg.config.setting import setting, shared
from nav_pkg.config.types import integer, real

ABOUT = """Show layers, parameters, multiply-adds, memory and speed of networks.

Examples:
    network_details.py
    network_details.py --network tiny_net alex_net --ways eager "ONNX Runtime" --seconds 2
"""

WAYS = ("eager", "channels_last", "bfloat16", "compiled", "TorchScript", "ONNX Runtime", "OpenVINO")


@dataclass(frozen=True)
class DetailsConfig:
    """Measurement."""

    network: Tuple[str, ...] = setting((), "networks to measure (default: all of nav_pkg)", str, nargs="+")
    ways: Tuple[str, ...] = setting(
        (), f"ways of computation to time: {', '.join(WAYS)} (default: all)", str, nargs="+", metavar="WAY"
    )
    seconds: float = setting(2.0, "seconds of timing for each way", real(0.01, 3600))
    num_threads: int = setting(1, "processor threads", integer(1, 256))
    device: str = setting("auto", "auto: the CPU, and a GPU if there is one", str, choices=("auto", "cpu"))
    log_tag: str = setting("network_details", "log folder below --summary_dir", types.name, short="-t")
    summary_dir: Path = shared(PlaceConfig, "summary_dir")
