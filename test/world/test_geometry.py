"""The generated meshes against the floor plan, by rays with a caster of this test's own."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from nav_pkg.world import load_plan

pytestmark = pytest.mark.slow
PLAN = load_plan("esatv3")
SPACE = "{http://www.collada.org/2005/11/COLLADASchema}"
POINTS = 200
TOLERANCE = 0.02


def faces(data: bytes) -> np.ndarray:
    """The triangles of a COLLADA file: (T, 3, 3)."""
    root = ElementTree.fromstring(data)
    positions = next(s for s in root.iter(f"{SPACE}source") if s.get("id") == "positions")
    points = np.array(positions.find(f"{SPACE}float_array").text.split(), float).reshape(-1, 3)
    triangles = next(root.iter(f"{SPACE}triangles"))
    inputs = len(triangles.findall(f"{SPACE}input"))
    numbers = np.array(triangles.find(f"{SPACE}p").text.split(), int).reshape(-1, 3, inputs)[..., 0]
    assert len(numbers) == int(triangles.get("count"))
    return points[numbers]


def boxes(plan) -> np.ndarray:
    """The inner faces of the floor's and the ceiling's collision boxes, as triangles."""
    low, high = plan.outer_boundary.min(axis=0) - 1, plan.outer_boundary.max(axis=0) + 1
    triangles = []
    for z, up in ((plan.floor, True), (plan.ceiling, False)):
        a, b, c, d = (low[0], low[1], z), (high[0], low[1], z), (high[0], high[1], z), (low[0], high[1], z)
        triangles += [(a, b, c), (a, c, d)] if up else [(a, c, b), (a, d, c)]
    return np.array(triangles)


def cast(triangles: np.ndarray, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest hits (Moeller and Trumbore, 1997): distances (R,), and the side hit: positive in front."""
    corner = triangles[:, 0]
    first, second = triangles[:, 1] - corner, triangles[:, 2] - corner
    distance, front = np.full(len(rays), np.inf), np.zeros(len(rays))
    gap = origin - corner
    cross_gap = np.cross(gap, first)
    for index, ray in enumerate(rays):
        cross = np.cross(ray, second)
        across = (first * cross).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            u = (gap * cross).sum(axis=1) / across
            v = (cross_gap @ ray) / across
            t = (second * cross_gap).sum(axis=1) / across
            inside = (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9) & (t > 0)
        hits = np.flatnonzero(inside)
        if len(hits):
            best = hits[t[hits].argmin()]
            distance[index], front[index] = t[best], across[best]
    return distance, front


@pytest.fixture(scope="module", params=["collision", "visual"])
def solid(request, files):
    meshes = {path.split("/")[-1]: faces(data) for path, data in files.items() if path.endswith(".dae")}
    collision = meshes.pop("collision.dae")
    return np.concatenate([collision, boxes(PLAN)] if request.param == "collision" else list(meshes.values()))


def places(seed: int) -> np.ndarray:
    """Points along the route, a little beside it, at flying heights."""
    rng = np.random.default_rng(seed)
    points = []
    for s in np.linspace(0, PLAN.route.length, POINTS, endpoint=False):
        x, y, _ = PLAN.route.pose_at(s)
        points.append((x + rng.uniform(-0.3, 0.3), y + rng.uniform(-0.3, 0.3), rng.uniform(0.3, 1.8)))
    return np.array(points)


def test_walls_stand_where_the_plan_has_them(solid):
    rng = np.random.default_rng(1)
    for x, y, z in places(2):
        headings = rng.uniform(-np.pi, np.pi, 6)
        rays = np.stack([np.cos(headings), np.sin(headings), np.zeros(6)], axis=1)
        distances, _ = cast(solid, np.array([x, y, z]), rays)
        expected = PLAN.ray_cast([[x, y]], headings, height=z)[0]
        assert np.abs(distances - expected).max() < TOLERANCE, (x, y, z)


def test_no_ray_escapes_and_all_faces_look_inwards(solid):
    rng = np.random.default_rng(3)
    for origin in places(4):
        rays = rng.standard_normal((6, 3))
        rays = np.concatenate([rays, [[0, 0, 1.0], [0, 0, -1.0]]])
        rays /= np.linalg.norm(rays, axis=1)[:, None]
        distances, front = cast(solid, origin, rays)
        assert np.isfinite(distances).all(), origin
        assert (front > 0).all(), origin
        # Floor and ceiling are at their heights; the cable tray hangs at most 6 cm below.
        assert distances[-1] == pytest.approx(origin[2] - PLAN.floor, abs=1e-6)
        assert PLAN.ceiling - 0.07 < origin[2] + distances[-2] < PLAN.ceiling + 1e-6


def test_size_of_the_meshes(files):
    visual = [path for path in files if path.endswith(".dae") and "collision" not in path]
    assert 8 <= len(visual) <= 12
    assert sum(len(faces(files[path])) for path in visual) < 15000
    assert len(faces(files["models/esatv3/meshes/collision.dae"])) < 800


def test_no_two_faces_lie_in_one_another(files):
    """Equal triangles anywhere, or a poster on a wall instead of in it, would flicker."""
    meshes = [faces(data) for path, data in files.items() if path.endswith(".dae") and "coll" not in path]
    triangles = np.concatenate(meshes)
    spans = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    areas = np.linalg.norm(spans, axis=1) / 2
    assert areas.min() > 1e-9
    upright = np.abs(spans[:, 2]) < 1e-9
    # The area of all upright faces is that of the plan's walls and the tray's flanks: nothing twice.
    expected = sum(np.hypot(*np.subtract(w.end, w.start)) * (w.top - w.bottom) for w in PLAN.walls)
    tray = np.array(PLAN.cable_strip.points)
    flanks = 2 * np.hypot(*(np.roll(tray, -1, axis=0) - tray).T).sum() * (PLAN.ceiling - PLAN.cable_strip.z)
    assert areas[upright].sum() == pytest.approx(expected + flanks, rel=1e-3)
    # Level faces: floor, ceiling with lamps, caps and the tray's underside.
    level = areas[~upright & (spans[:, 2] > 0)].sum()
    rings = sum(_ring_area(PLAN, 0.0)), sum(_ring_area(PLAN, PLAN.ceiling - 1e-6))
    caps = {f: sum(_area(c.points) for c in PLAN.caps if c.facing == f) for f in ("up", "down")}
    assert level == pytest.approx(rings[0] + caps["up"], rel=1e-4)
    down = areas[~upright & (spans[:, 2] < 0)].sum()
    strip = PLAN.cable_strip.width * np.hypot(*(np.roll(tray, -1, axis=0) - tray).T).sum()
    assert down == pytest.approx(rings[1] + caps["down"] + strip, rel=1e-3)


def _area(points) -> float:
    x, y = np.array(points).T
    return 0.5 * (x * np.roll(y, -1) - np.roll(x, -1) * y).sum()


def _ring_area(plan, height):
    return [_area(ring) for ring in plan.rings(height)]


def test_tray_stays_under_the_free_ceiling():
    points = np.array(PLAN.cable_strip.points)
    for a, b in zip(points, np.roll(points, -1, axis=0)):
        for share in np.linspace(0, 1, 200):
            x, y = a + share * (b - a)
            assert PLAN.inside(x, y, PLAN.cable_strip.z) and PLAN.clearance(x, y, PLAN.cable_strip.z) > 0.11
