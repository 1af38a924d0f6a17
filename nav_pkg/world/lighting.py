"""Baked light: the light of the lamps, computed once per vertex and stored in the mesh.

Light objects make a software renderer slow, so a world has none. Gazebo's mesh loaders keep positions, one
set of texture coordinates and unit normals, but no vertex colours. A baked surface needs no normal for
shading, so the normal stores the light: normal = (brightness, warmth, rest), with brightness and warmth
scaled to stay within a unit vector.
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
"""Maximum distance at which a lamp has an effect, metres."""
AMBIENT = 0.50
"""Ambient light (the plan's sun and reflections from walls), before tone mapping."""
LAMP_PLANE = 0.22
"""Distance of the light source below the ceiling, metres: the light of a panel grazes the ceiling."""


def bake(plan: FloorPlan, mesh: Mesh, seed: int) -> np.ndarray:
    """Compute the light at each vertex.

    Args:
        plan: the floor plan with its lamps and with its walls, which cast shadows.
        mesh: the mesh; its normals give the angle of incidence.
        seed: of the random warmth and strength of each lamp (lamps age differently).

    Returns:
        float64 (V, 2): brightness in 0..1 and warmth in -1..1.
    """
    points, normals = np.array(mesh.positions), np.array(mesh.normals)
    rng = np.random.default_rng([seed, 2])
    eyes = _off_the_walls(plan, points)
    direct, warm = np.full(len(points), AMBIENT), np.zeros(len(points))
    for lamp in plan.lamps:
        tint, strength = rng.normal(0.0, 0.5), rng.uniform(0.85, 1.15)
        place = np.array([lamp.x, lamp.y, plan.ceiling - LAMP_PLANE])
        to_lamp = place - points
        distance = np.sqrt((to_lamp**2).sum(axis=1) + 0.04)
        near = np.flatnonzero(distance < REACH)
        near = near[_has_line_of_sight(plan, eyes[near], place)]
        facing = np.maximum((to_lamp[near] * normals[near]).sum(axis=1) / distance[near], 0.0)
        # Attenuation: the lamp gives the constant term; with these linear and square terms, lamps 12 m
        # apart leave the space between them dim, not black.
        fall = strength / (lamp.attenuation + 0.25 * distance[near] + 0.16 * distance[near] ** 2)
        fade = np.clip((REACH - distance[near]) / 4.0, 0.0, 1.0)
        # One part is direct light; the other is reflected from the floor and walls around.
        power = fade * fall * (1.15 * facing + 0.30)
        direct[near] += power
        warm[near] += tint * power
    brightness = 1.0 - np.exp(-1.25 * direct * _corner_shade(plan, points, normals))
    light = np.stack([np.clip(brightness, 0, 1), np.clip(warm / direct, -1, 1)], axis=1)
    light[mesh.glowing] = (1.0, 0.0)
    return light


def encode(light: np.ndarray) -> np.ndarray:
    """Encode brightness and warmth (V, 2) as unit vectors (V, 3)."""
    x, y = BRIGHTNESS * light[:, 0], WARMTH * light[:, 1]
    return np.stack([x, y, np.sqrt(np.maximum(1 - x**2 - y**2, 0.0))], axis=1)


def _off_the_walls(plan: FloorPlan, points: np.ndarray) -> np.ndarray:
    """Move points (V, 3) away from the walls that they touch; otherwise a wall shades its own surface."""
    eyes = points.copy()
    for wall in plan.walls:
        start, along = np.array(wall.start), np.subtract(wall.end, wall.start)
        length = float(np.hypot(*along))
        gap = points[:, :2] - start
        share = np.clip((gap @ along) / length**2, 0, 1)
        touching = np.hypot(*(gap - share[:, None] * along).T) < 0.02
        touching &= (points[:, 2] > wall.bottom - 0.01) & (points[:, 2] < wall.top + 0.01)
        eyes[touching, :2] += 0.03 * np.array([-along[1], along[0]]) / length
    return eyes


def _has_line_of_sight(plan: FloorPlan, eyes: np.ndarray, lamp: np.ndarray) -> np.ndarray:
    """Whether no wall blocks the line from each point (N, 3) to a lamp (3,): bool (N,)."""
    result = np.ones(len(eyes), dtype=bool)
    reach = np.array([np.inf, np.inf])
    if len(eyes):
        reach = np.abs(eyes[:, :2] - lamp[:2]).max(axis=0)
    for wall in plan.walls:
        start, span = np.array(wall.start), np.subtract(wall.end, wall.start)
        # Only walls near the lamp can block the line.
        if (np.minimum(start, wall.end) > lamp[:2] + reach).any():
            continue
        if (np.maximum(start, wall.end) < lamp[:2] - reach).any():
            continue
        ray, gap = lamp[:2] - eyes[:, :2], start - eyes[:, :2]
        across = ray[:, 0] * span[1] - ray[:, 1] * span[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            along = (gap[:, 0] * span[1] - gap[:, 1] * span[0]) / across
            share = (gap[:, 0] * ray[:, 1] - gap[:, 1] * ray[:, 0]) / across
            height = eyes[:, 2] + along * (lamp[2] - eyes[:, 2])
            blocked = (along > 0) & (along < 1) & (share >= 0) & (share <= 1)
            blocked &= (height >= wall.bottom) & (height <= wall.top)
        result &= ~blocked
    return result


def _corner_shade(plan: FloorPlan, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Factor that darkens corners: walls near floor and ceiling, and the floor near walls."""
    z = points[:, 2]
    upright = np.abs(normals[:, 2]) < 0.5
    edge = 1 - 0.20 * np.exp(-(z - plan.floor) / 0.35) - 0.10 * np.exp(-(plan.ceiling - z) / 0.25)
    low, span = plan.segments()[:, :2], plan.segments()[:, 2:] - plan.segments()[:, :2]
    gap = np.full(len(points), np.inf)
    for start, along in zip(low, span):
        share = np.clip(((points[:, :2] - start) @ along) / (along @ along), 0, 1)
        gap = np.minimum(gap, np.hypot(*(points[:, :2] - start - share[:, None] * along).T))
    return np.where(upright, edge, 1 - 0.18 * np.exp(-gap / 1.0))
