"""The Gymnasium environment of the embedded simulator.

Example:
    import gymnasium
    import nav_pkg.gym

    env = gymnasium.make("nav_pkg/Corridor-v0", world="esatv3", robot="drone")
    image, info = env.reset(seed=123)
    image, reward, terminated, truncated, info = env.step(env.action_space.sample())

The import registers the environment. Gymnasium below 1.0 needs no import if pip installed nav_pkg.
"""

from __future__ import annotations

import importlib
from typing import Any

from nav_pkg.core import UsageError

try:
    from nav_pkg.gym.registration import register
except ImportError as error:
    raise UsageError(
        f"nav_pkg.gym needs gymnasium ({error}): pip install 'nav_pkg[gym]', or pip install gymnasium"
    ) from None

_HOMES = {
    "CorridorEnv": "environment",
    "CorridorVectorEnv": "vector",
    "ExpertPolicy": "policy",
}

register()


def __getattr__(name: str) -> Any:
    # Imported on first use: Gymnasium imports this package while it is being imported itself.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
