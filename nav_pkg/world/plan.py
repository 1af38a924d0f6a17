"""Floor plans: what a world is made from, read from one JSON file that is checked when loaded.

World frame: x east, y north, z up, metres, floor at z = 0. Walls are vertical rectangles; each runs
from its start to its end with the free floor on its left, over its own range of heights. At every
height the walls form closed rings: the outer ones run counter-clockwise, those round a block
clockwise, so that a point is on the free floor when the rings wind round it once.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional, Union

import numpy as np

from nav_pkg.core import DataError, UsageError, nearest_name
from nav_pkg.world.route import Route

PLANS = Path(__file__).resolve().parent / "plans"
FORMAT = 1
TEXTURE_SEED = 1
"""Of the pictures and lamps of a world whose name has no `+SEED`."""
KINDS = ("wall", "door", "poster", "elevator_door", "radiator", "blue_window_panel")
SECTION_HEIGHT = 1.0
"""Height of the horizontal section that stands for the plan, metres: that of a flying drone."""


class Wall(NamedTuple):
    """A vertical rectangle: kind, ends (x, y) with the free floor on the left, heights, metres."""

    kind: str
    start: tuple[float, float]
    end: tuple[float, float]
    bottom: float
    top: float


class Cap(NamedTuple):
    """A level polygon that closes a niche above or below: kind, facing 'up' or 'down', z, points."""

    kind: str
    facing: str
    z: float
    points: tuple[tuple[float, float], ...]


class StartPose(NamedTuple):
    """Where a run starts: metres and radians, world frame."""

    x: float
    y: float
    yaw: float


class Lamp(NamedTuple):
    """A ceiling lamp: position in metres and the constant term of its attenuation (1/brightness)."""

    x: float
    y: float
    z: float
    attenuation: float


class CableStrip(NamedTuple):
    """The cable tray under the ceiling: centre line (closed), width and height of its underside, m."""

    points: tuple[tuple[float, float], ...]
    width: float
    z: float


@dataclass(frozen=True)
class FloorPlan:
    """A world's floor plan.

    Attributes:
        name: the world's name, with `+SEED` behind it for another set of textures.
        texture_seed: seed of the pictures and lamps.
        title: one line about it.
        digest: SHA-256 of the plan file (and of a `+SEED`), hexadecimal: the world's identity in a recorded
            run.
        floor: height of the floor, metres.
        ceiling: height of the ceiling, metres.
        walls: all vertical surfaces.
        caps: lintels' undersides, sills, tops.
        lamps: all lamps.
        cable_strip: the tray under the ceiling.
        outer_boundary: float64 (N, 2), simplified outline of the free floor, not closed.
        inner_boundary: float64 (N, 2), outline of the block inside the loop, not closed.
        waypoints: float64 (W, 2), cyclic, in the direction of travel.
        route: the same as a measured loop.
        start_pose: the ordinary start of a run.
        start_positions: float64 (N, 2), further places to start from.
        spawn_height: height at which the robot is put down, metres.
        reached_distance: a waypoint counts as reached within this distance, metres.
        goto_weight: the share of waypoint following in the expert's turn.
        limits: the episode's limits: `delay_evaluation` and `max_duration` in seconds,
            `min_depth` and `starting_height` in metres.
        facts: what is known about the plan, for checks: lengths in metres, areas in square metres.
    """

    name: str
    title: str
    digest: str
    floor: float
    ceiling: float
    walls: tuple[Wall, ...]
    caps: tuple[Cap, ...]
    lamps: tuple[Lamp, ...]
    cable_strip: CableStrip
    outer_boundary: np.ndarray
    inner_boundary: np.ndarray
    waypoints: np.ndarray
    route: Route
    start_pose: StartPose
    start_positions: np.ndarray
    spawn_height: float
    reached_distance: float
    goto_weight: float
    limits: dict[str, float]
    facts: dict[str, float]
    texture_seed: int = TEXTURE_SEED

    def segments(self, height: float = SECTION_HEIGHT) -> np.ndarray:
        """The walls that stand at a height: float64 (N, 4) rows x1, y1, x2, y2, metres."""
        cut = [(*w.start, *w.end) for w in self.walls if w.bottom <= height < w.top]
        return np.array(cut, dtype=np.float64).reshape(-1, 4)

    def ray_cast(self, origins: np.ndarray, angles: np.ndarray, height: float = SECTION_HEIGHT) -> np.ndarray:
        """Distances to the walls at a height.

        Args:
            origins: float (N, 2), metres.
            angles: float (M,) for every origin, or (N, M); radians, world frame.
            height: metres.

        Returns:
            float64 (N, M), metres; inf where a ray meets nothing.
        """
        origins = np.atleast_2d(np.asarray(origins, dtype=np.float64))
        angles = np.asarray(angles, dtype=np.float64)
        angles = np.broadcast_to(angles, (len(origins), angles.shape[-1]))
        lines = self.segments(height)
        start, span = lines[:, :2], lines[:, 2:] - lines[:, :2]
        result = np.empty(angles.shape)
        for row, (origin, heading) in enumerate(zip(origins, angles)):
            ray = np.stack([np.cos(heading), np.sin(heading)], axis=1)
            gap = start - origin
            across = ray[:, :1] * span[:, 1] - ray[:, 1:] * span[:, 0]
            with np.errstate(divide="ignore", invalid="ignore"):
                distance = (gap[:, 0] * span[:, 1] - gap[:, 1] * span[:, 0]) / across
                share = (gap[:, 0] * ray[:, 1:] - gap[:, 1] * ray[:, :1]) / across
            # A hair beyond the ends, so that no ray slips between two walls that share a corner.
            hit = (distance >= 0) & (share >= -1e-9) & (share <= 1 + 1e-9)
            result[row] = np.where(hit, distance, np.inf).min(axis=1, initial=np.inf)
        return result

    def inside(self, x: float, y: float, height: float = SECTION_HEIGHT) -> Union[bool, np.ndarray]:
        """Whether points are on the free floor: a bool, or bool (...) for arrays of coordinates."""
        px, py = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        x1, y1, x2, y2 = self.segments(height).T
        px, py = px[..., None], py[..., None]
        side = (x2 - x1) * (py - y1) - (px - x1) * (y2 - y1)
        upward = (y1 <= py) & (y2 > py) & (side > 0)
        downward = (y2 <= py) & (y1 > py) & (side < 0)
        winding = upward.sum(axis=-1) - downward.sum(axis=-1)
        return bool(winding == 1) if winding.ndim == 0 else winding == 1

    def clearance(self, x: float, y: float, height: float = SECTION_HEIGHT) -> float:
        """Distance from a point to the nearest wall, metres."""
        lines = self.segments(height)
        start, span = lines[:, :2], lines[:, 2:] - lines[:, :2]
        gap = np.array([x, y]) - start
        share = np.clip((gap * span).sum(axis=1) / (span**2).sum(axis=1), 0.0, 1.0)
        return float(np.hypot(*(gap - share[:, None] * span).T).min())

    def rings(self, height: float = SECTION_HEIGHT) -> list[np.ndarray]:
        """The closed rings that the walls form at a height, each float64 (N, 2), not closed.

        Raises:
            DataError: the walls leave a gap at this height.
        """
        follow: dict[tuple[float, float], tuple[float, float]] = {}
        for wall in self.walls:
            if wall.bottom <= height < wall.top:
                if wall.start in follow:
                    raise DataError(f"plan {self.name}: two walls start at {wall.start} at z={height:g}")
                follow[wall.start] = wall.end
        rings = []
        while follow:
            first, point = follow.popitem()
            ring = [first]
            while point != first:
                ring.append(point)
                if point not in follow:
                    raise DataError(f"plan {self.name}: the walls leave a gap at {point} at z={height:g}")
                point = follow.pop(point)
            rings.append(np.array(ring))
        # By size, so that the order does not depend on where a ring was entered.
        return sorted(rings, key=lambda ring: -abs(polygon_area(ring)))

    @property
    def free_area(self) -> float:
        """Area between the outlines, square metres."""
        return abs(polygon_area(self.outer_boundary)) - abs(polygon_area(self.inner_boundary))


def polygon_area(points: np.ndarray) -> float:
    """Signed area of a polygon (N, 2), positive when it runs counter-clockwise."""
    x, y = np.asarray(points, dtype=np.float64).T
    return float(0.5 * (x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def polygon_perimeter(points: np.ndarray) -> float:
    """Length of a closed polygon's outline (N, 2), metres."""
    return float(np.hypot(*(np.roll(points, -1, axis=0) - points).T).sum())


def known_worlds() -> list[str]:
    """Names of the worlds whose plans come with the package."""
    return sorted(path.stem for path in PLANS.glob("*.json"))


def split_name(world: str) -> tuple[str, Optional[int]]:
    """A world's name without its `+SEED`, and that seed.

    Raises:
        UsageError: what stands behind the + is no seed.
    """
    name, plus, seed = world.partition("+")
    if plus and not (seed.isascii() and seed.isdigit() and seed == str(int(seed))):
        raise UsageError(f"world {world!r}: behind the + stands the seed of its textures, as in {name}+7")
    return name, int(seed) if plus else None


def load_plan(name_or_path: Union[str, Path]) -> FloorPlan:
    """Read and check a floor plan.

    Args:
        name_or_path: a world's name, with `+SEED` for other textures, or the path of a plan file (anything
            with a '/' or '.json').

    Raises:
        UsageError: no such world or file.
        DataError: the file is not a plan; the message names the entry.
    """
    text = str(name_or_path)
    if "/" in text or text.endswith(".json"):
        return _load(Path(text).resolve())
    name, seed = split_name(text)
    if name not in known_worlds():
        raise UsageError(f"no world is called {name!r}{nearest_name(name, known_worlds())}")
    plan = _load((PLANS / f"{name}.json").resolve())
    if seed is None:
        return plan
    digest = hashlib.sha256(f"{plan.digest} textures {seed}".encode()).hexdigest()
    return dataclasses.replace(plan, name=text, digest=digest, texture_seed=seed)


@functools.lru_cache(maxsize=8)
def _load(path: Path) -> FloorPlan:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the floor plan {path}: {error.strerror}") from None
    try:
        raw = json.loads(data)
    except ValueError as error:
        raise DataError(f"{path} is not a JSON file: {error}") from None
    return _parse(_Reader(path, raw), hashlib.sha256(data).hexdigest())


class _Reader:
    """Reads entries of a plan file; every complaint names the file and the entry."""

    def __init__(self, path: Path, raw: Any) -> None:
        self.path = path
        if not isinstance(raw, dict):
            raise DataError(f"{path}: a floor plan is an object, not {type(raw).__name__}")
        self.raw = raw

    def fail(self, entry: str, problem: str) -> DataError:
        return DataError(f"{self.path}: {entry} {problem}")

    def get(self, entry: str) -> Any:
        value: Any = self.raw
        for key in entry.split("."):
            if not isinstance(value, dict) or key not in value:
                raise self.fail(f"{entry!r}", "is missing")
            value = value[key]
        return value

    def number(self, entry: str) -> float:
        value = self.get(entry)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self.fail(f"{entry!r}", f"must be a number, not {value!r}")
        return float(value)

    def numbers(self, entry: str) -> dict[str, float]:
        return {key: self.number(f"{entry}.{key}") for key in self.get(entry)}

    def array(self, entry: str, columns: int, least: int = 1) -> np.ndarray:
        try:
            value = np.array(self.get(entry), dtype=np.float64)
        except (TypeError, ValueError):
            value = np.empty(0)
        if value.ndim != 2 or value.shape[1] != columns or len(value) < least:
            raise self.fail(f"{entry!r}", f"must be at least {least} rows of {columns} numbers")
        if not np.isfinite(value).all():
            raise self.fail(f"{entry!r}", "holds a number that is not finite")
        value.setflags(write=False)
        return value

    def rows(self, entry: str, make: Callable[[dict], Any]) -> tuple:
        items = self.get(entry)
        if not isinstance(items, list):
            raise self.fail(f"{entry!r}", "must be a list")
        made = []
        for index, item in enumerate(items):
            try:
                made.append(make(item))
            except KeyError as error:
                raise self.fail(f"{entry}[{index}]", f"lacks {error.args[0]!r}") from None
            except (TypeError, ValueError) as error:
                raise self.fail(f"{entry}[{index}]", f"is wrong: {error}") from None
        return tuple(made)


def _point(value: Any) -> tuple[float, float]:
    x, y = value
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(f"{value!r} is not a point")
    return (float(x), float(y))


def _kind(item: dict) -> str:
    if item["kind"] not in KINDS:
        raise ValueError(f"kind {item['kind']!r} is none of {', '.join(KINDS)}")
    return item["kind"]


def _wall(item: dict) -> Wall:
    bottom, top = (float(z) for z in item["z"])
    wall = Wall(_kind(item), _point(item["from"]), _point(item["to"]), bottom, top)
    if not bottom < top or wall.start == wall.end:
        raise ValueError("it has no area")
    return wall


def _cap(item: dict) -> Cap:
    if item["facing"] not in ("up", "down"):
        raise ValueError(f"facing {item['facing']!r} is neither 'up' nor 'down'")
    points = tuple(_point(p) for p in item["points"])
    if len(points) < 3 or polygon_area(np.array(points)) <= 0:
        raise ValueError("its points must run counter-clockwise seen from above")
    return Cap(_kind(item), item["facing"], float(item["z"]), points)


def _parse(read: _Reader, digest: str) -> FloorPlan:
    if read.number("format") != FORMAT:
        raise read.fail("'format'", f"is {read.get('format')!r}; this version reads format {FORMAT}")
    waypoints = read.array("waypoints", 2, least=3)
    strip = CableStrip(
        tuple(map(tuple, read.array("cable_strip.points", 2, least=3).tolist())),
        read.number("cable_strip.width"),
        read.number("cable_strip.z"),
    )
    plan = FloorPlan(
        name=str(read.get("name")),
        title=str(read.get("title")),
        digest=digest,
        floor=read.number("heights.floor"),
        ceiling=read.number("heights.ceiling"),
        walls=read.rows("walls", _wall),
        caps=read.rows("caps", _cap),
        lamps=tuple(Lamp(*row) for row in read.array("lamps", 4).tolist()),
        cable_strip=strip,
        outer_boundary=read.array("outer_boundary", 2, least=3),
        inner_boundary=read.array("inner_boundary", 2, least=3),
        waypoints=waypoints,
        route=Route(waypoints),
        start_pose=StartPose(*(read.number(f"start_pose.{key}") for key in ("x", "y", "yaw"))),
        start_positions=read.array("start_positions", 2),
        spawn_height=read.number("start_pose.spawn_height"),
        reached_distance=read.number("reached_distance"),
        goto_weight=read.number("goto_weight"),
        limits=read.numbers("limits"),
        facts=read.numbers("facts"),
    )
    _check(plan, read)
    return plan


def _check(plan: FloorPlan, read: _Reader) -> None:
    if not plan.floor < plan.ceiling:
        raise read.fail("'heights'", "must put the ceiling above the floor")
    if not 0 <= plan.goto_weight <= 1:
        raise read.fail("'goto_weight'", f"is {plan.goto_weight}; it must lie between 0 and 1")
    for entry in ("delay_evaluation", "max_duration", "min_depth", "starting_height"):
        if read.number(f"limits.{entry}") < 0:
            raise read.fail(f"'limits.{entry}'", "must not be negative")
    for index, wall in enumerate(plan.walls):
        if wall.bottom < plan.floor or wall.top > plan.ceiling:
            raise read.fail(f"walls[{index}]", f"reaches outside {plan.floor:g} to {plan.ceiling:g} m")
    for height in sorted({wall.bottom for wall in plan.walls} | {SECTION_HEIGHT}):
        plan.rings(height)
    for label, (x, y) in [
        ("start_pose", plan.start_pose[:2]),
        *((f"waypoints[{i}]", point) for i, point in enumerate(plan.waypoints)),
        *((f"start_positions[{i}]", point) for i, point in enumerate(plan.start_positions)),
    ]:
        if not plan.inside(x, y):
            raise read.fail(label, f"({x:g}, {y:g}) is not on the free floor")
