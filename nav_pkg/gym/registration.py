"""Registers the environment with Gymnasium."""

from __future__ import annotations

from gymnasium.envs.registration import register as _register
from gymnasium.envs.registration import registry

from nav_pkg.config.gym import ENVIRONMENT


def register() -> None:
    """Register the environment; again: no effect. Gymnasium below 1.0 calls this if pip installed nav_pkg."""
    if ENVIRONMENT not in registry:
        _register(
            ENVIRONMENT,
            entry_point="nav_pkg.gym.environment:CorridorEnv",
            vector_entry_point="nav_pkg.gym.vector:CorridorVectorEnv",
        )
