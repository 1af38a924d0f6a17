"""Control: seeds, the expert, height control, command mixing with noise, and the control delay."""

from __future__ import annotations

from nav_pkg.control.delay import CommandDelay
from nav_pkg.control.expert import Expert
from nav_pkg.control.height import HeightKeeper
from nav_pkg.control.mixing import CommandLimits, Mixer
from nav_pkg.control.noise import make_noise
from nav_pkg.control.seeds import generator, run_seed

__all__ = [
    "CommandDelay",
    "Expert",
    "HeightKeeper",
    "CommandLimits",
    "Mixer",
    "generator",
    "make_noise",
    "run_seed",
]
