"""The settings of demo.py."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional, Sequence

from nav_pkg.config import setting as settings
from nav_pkg.config import types
from nav_pkg.config.session import SimulationConfig
from nav_pkg.config.setting import setting, shared
from nav_pkg.core import UsageError

ABOUT = """Run the whole pipeline once: collect laps, clean them, train, fly the network, and write a page.

The command runs the ordinary commands and prints each before it runs. All output is in one folder, which is
deleted and created again if a demo made it.

Examples:
    demo.py
    demo.py --quick --output quick_demo
"""
LEAST_RUNS = 3
"""Least number of laps: one each to train, validate and test."""
QUICK_EPISODES = 5


@dataclass(frozen=True)
class DemoConfig:
    """Demo."""

    runs: int = setting(8, f"laps of the expert to collect, at least {LEAST_RUNS}", int)
    flights: int = setting(3, "flights of the trained network", int)
    seed: int = setting(123, "seed of all random draws", int)
    output: Path = setting(Path("demo"), "folder of all output", Path)
    world: str = setting("esatv3", "world, or plan file", str, short="-w")
    simulator: str = shared(SimulationConfig, "simulator")
    width: int = setting(160, "camera width, pixels", int)
    height: int = setting(120, "camera height, pixels", int)
    time_limit: float = setting(15.0, "time limit of collecting, minutes", float)
    network: str = setting("tiny_net", "network to train", types.network)
    episodes: int = setting(15, "episodes of training, up to 100 batches each", int)
    batch_size: int = setting(64, "frames in a batch", int)
    learning_rate: float = setting(0.01, "learning rate of SGD with momentum 0.9", float)
    max_duration: float = setting(0.0, "time limit of a run, simulated seconds; 0: the world's limit", float)
    quick: bool = setting(False, "shortest demo: 3 laps, 5 episodes, 1 flight")


def parse(argv: Optional[Sequence[str]] = None) -> DemoConfig:
    """Parse the command line.

    Raises:
        UsageError: a flag is unknown, has no effect, or its value can't be.
    """
    config = settings.parse(DemoConfig, argv, "demo.py", ABOUT)
    default = DemoConfig()
    for flag in ("runs", "flights"):
        if config.quick and getattr(config, flag) != getattr(default, flag):
            raise UsageError(f"demo.py: --{flag} has no effect with --quick, which sets it: leave it out")
    if config.quick:
        episodes = min(config.episodes, QUICK_EPISODES)
        config = replace(config, runs=LEAST_RUNS, flights=1, episodes=episodes)
    for flag, least in (("runs", LEAST_RUNS), ("flights", 1), ("episodes", 1)):
        if getattr(config, flag) < least:
            raise UsageError(f"demo.py: --{flag} {getattr(config, flag)} must be at least {least}")
    if config.time_limit <= 0:
        raise UsageError(f"demo.py: --time_limit {config.time_limit:g} must be above 0 minutes")
    return config
