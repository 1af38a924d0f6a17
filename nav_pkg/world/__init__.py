"""Worlds: make geometry, textures and simulator files from a floor plan."""

from __future__ import annotations

from nav_pkg.world.making import check_world, make
from nav_pkg.world.plan import FloorPlan
from nav_pkg.world.plan_file import known_worlds, load_plan
from nav_pkg.world.route import Route

__all__ = ["FloorPlan", "Route", "check_world", "known_worlds", "load_plan", "make"]
