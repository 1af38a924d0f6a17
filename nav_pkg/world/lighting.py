"""The lamps' light, worked out once for every vertex and carried by the mesh.

Light objects are what makes a software renderer slow, so there are none: each vertex brings its
own light. Gazebo's mesh loaders keep positions, one set of texture coordinates and unit normals,
but no vertex colours; a baked surface needs no normal for shading, so the light travels in it:
normal = (brightness, warmth, rest), with brightness and warmth scaled to stay within a unit vector.
"""

from __future__ import annotations

import numpy as np

from nav_pkg.world.mesh import Mesh
from nav_pkg.world.plan import FloorPlan

BRIGHTNESS = 0.92
"""Normal x of a fully lit vertex. The vertex program divides by it."""
WARMTH = 0.36
"""Normal y of the warmest light."""
REACH = 16.0
"""A lamp is not looked at beyond this distance, metres."""
AMBIENT = 0.50
"""Light that is everywhere (the plan's sun and what the walls send on), before tone mapping."""
LAMP_PLANE = 0.22
"""How far under the ceiling a panel is taken to shine from, metres: its light grazes the ceiling."""


def bake(plan: FloorPlan, mesh: Mesh, seed: int) -> np.ndarray:
    """The light at each vertex.

    Args:
        plan: the floor plan: its lamps, and its walls that cast shadows.
        mesh: the mesh; its normals tell how the light falls.
        seed: lamps age differently: their warmth and strength are drawn from it.

    Returns:
        float64 (V, 2): brightness in 0..1 and warmth in -1..1.
    """
    points, normals = np.array(mesh.positions), np.array(mesh.normals)
    rng = np.random.default_rng([seed, 2])
    lines = plan.segments(plan.ceiling - 0.3)
    # A hair off the surface, so that a wall does not shade itself.
    eyes = points[:, :2] + 0.03 * normals[:, :2]
    direct, warm = np.full(len(points), AMBIENT), np.zeros(len(points))
    for lamp in plan.lamps:
        tint, strength = rng.normal(0.0, 0.5), rng.uniform(0.85, 1.15)
        to_lamp = np.array([lamp.x, lamp.y, plan.ceiling - LAMP_PLANE]) - points
        distance = np.sqrt((to_lamp**2).sum(axis=1) + 0.04)
        near = np.flatnonzero(distance < REACH)
        near = near[_sees(eyes[near], (lamp.x, lamp.y), lines)]
        facing = np.maximum((to_lamp[near] * normals[near]).sum(axis=1) / distance[near], 0.0)
        # The plan's attenuation: constant term from the lamp; linear and square ones chosen so that
        # lamps 12 m apart leave dusk between them, not night.
        fall = strength / (lamp.attenuation + 0.25 * distance[near] + 0.16 * distance[near] ** 2)
        fade = np.clip((REACH - distance[near]) / 4.0, 0.0, 1.0)
        # One part falls on the surface, another comes back from floor and walls around it.
        power = fade * fall * (1.15 * facing + 0.30)
        direct[near] += power
        warm[near] += tint * power
    brightness = 1.0 - np.exp(-1.25 * direct * _corner_shade(plan, points, normals))
    light = np.stack([np.clip(brightness, 0, 1), np.clip(warm / direct, -1, 1)], axis=1)
    light[mesh.glowing] = (1.0, 0.0)
    return light


def encode(light: np.ndarray) -> np.ndarray:
    """Brightness and warmth (V, 2) as unit vectors (V, 3)."""
    x, y = BRIGHTNESS * light[:, 0], WARMTH * light[:, 1]
    return np.stack([x, y, np.sqrt(np.maximum(1 - x**2 - y**2, 0.0))], axis=1)


def _sees(eyes: np.ndarray, lamp: tuple[float, float], lines: np.ndarray) -> np.ndarray:
    """Which points (N, 2) see a lamp past the walls (M, 4): bool (N,)."""
    result = np.ones(len(eyes), dtype=bool)
    start, span = lines[:, :2], lines[:, 2:] - lines[:, :2]
    for chunk in range(0, len(eyes), 2000):
        part = eyes[chunk : chunk + 2000, None]
        ray = np.array(lamp) - part
        gap = start - part
        across = ray[..., 0] * span[:, 1] - ray[..., 1] * span[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            along = (gap[..., 0] * span[:, 1] - gap[..., 1] * span[:, 0]) / across
            share = (gap[..., 0] * ray[..., 1] - gap[..., 1] * ray[..., 0]) / across
        blocked = (along > 1e-6) & (along < 1 - 1e-6) & (share >= 0) & (share <= 1)
        result[chunk : chunk + 2000] = ~blocked.any(axis=1)
    return result


def _corner_shade(plan: FloorPlan, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Corners see less of the room: darker towards floor and ceiling, and at walls on the floor."""
    z = points[:, 2]
    upright = np.abs(normals[:, 2]) < 0.5
    edge = 1 - 0.20 * np.exp(-(z - plan.floor) / 0.35) - 0.10 * np.exp(-(plan.ceiling - z) / 0.25)
    low, span = plan.segments()[:, :2], plan.segments()[:, 2:] - plan.segments()[:, :2]
    gap = np.full(len(points), np.inf)
    for start, along in zip(low, span):
        share = np.clip(((points[:, :2] - start) @ along) / (along @ along), 0, 1)
        gap = np.minimum(gap, np.hypot(*(points[:, :2] - start - share[:, None] * along).T))
    return np.where(upright, edge, 1 - 0.22 * np.exp(-gap / 0.5))
