"""Read and check floor plans, one JSON file per world; docs/worlds.md lists the entries."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import os
import re
from pathlib import Path
from typing import Any, Callable, Optional, Union

import numpy as np

from nav_pkg.core import DataError, UsageError, nearest_name
from nav_pkg.reading import parse_json, read_small
from nav_pkg.world.plan import (
    SECTION_HEIGHT,
    CableStrip,
    Cap,
    FloorPlan,
    Lamp,
    StartPose,
    Wall,
    polygon_area,
)
from nav_pkg.world.route import Route

PLANS = Path(__file__).resolve().parent / "plans"
FORMAT = 1
KINDS = ("wall", "door", "poster", "elevator_door", "radiator", "blue_window_panel")
ENTRIES: tuple[str, ...] = ("format", "name", "title", "units", "frame", "heights", "facts", "limits")
ENTRIES += ("start_pose",)
ENTRIES += ("reached_distance", "goto_weight", "waypoints", "start_positions", "lamps", "cable_strip")
ENTRIES += ("outer_boundary", "inner_boundary", "walls", "caps")
LARGEST = 50_000_000
"""Maximum size of a plan file, bytes; esatv3's is 40 kB."""
BESIDE = 1e-3
"""Metres beside a wall at which its sides are looked at."""
FARTHEST = 1000.0
"""Largest coordinate, metres."""
LAMP_PITCH = 6.0
"""Distance between lamps along the route, metres, for a plan without `lamps`."""


def known_worlds() -> list[str]:
    """Names of the worlds whose plans are part of the package."""
    return sorted(path.stem for path in PLANS.glob("*.json"))


def split_name(world: str) -> tuple[str, Optional[int]]:
    """Split a world's name or plan file into the part before `+SEED`, and the seed (None without `+SEED`).

    Raises:
        UsageError: the text after the + is not a seed.
    """
    if is_plan_file(world):  # folder names may contain a +
        match = re.fullmatch(r"(.*\.json)\+(.*)", world, re.DOTALL)
        name, plus, seed = (match.group(1), "+", match.group(2)) if match else (world, "", "")
    else:
        name, plus, seed = world.partition("+")
    if plus and not (seed.isascii() and seed.isdigit() and len(seed) < 10 and seed == str(int(seed))):
        raise UsageError(f"world {world!r}: behind the + stands the seed of its textures, as in {name}+7")
    return name, int(seed) if plus else None


def is_plan_file(world: Union[str, Path]) -> bool:
    """Whether a world is given as a plan file (`.json` or `.json+SEED`) instead of a name."""
    return re.search(r"\.json(\+[^/]*)?$", str(world)) is not None


def absolute(world: str) -> str:
    """Make a plan file's path absolute, for processes with another working directory; keep names."""
    if not is_plan_file(world):
        return world
    name, seed = split_name(world)
    return str(_real(name)) + ("" if seed is None else f"+{seed}")


def _real(name: str) -> Path:
    """Real path of a plan file; unlike `Path.resolve`, a loop of links fails only when the file is opened."""
    return Path(os.path.realpath(Path(name).expanduser()))


def load_plan(name_or_path: Union[str, Path]) -> FloorPlan:
    """Read and check a floor plan.

    Args:
        name_or_path: a world's name, or the path of a plan file (`.json`) with the same name as its world;
            a suffix `+SEED` selects other textures.

    Raises:
        UsageError: the world or file does not exist, or another plan has the name of a world of the package.
        DataError: the file is not a valid plan; the message names the entry.
    """
    name, seed = split_name(str(name_or_path))
    if is_plan_file(name):
        plan = _load(_real(name))
        if plan.name in known_worlds() and plan.digest != _load(PLANS / f"{plan.name}.json").digest:
            raise UsageError(
                f"{name}: {plan.name} is a world of the package, with another plan; give this file and its "
                "'name' another name"
            )
    elif name in known_worlds():
        plan = _load(PLANS / f"{name}.json")
    else:
        hint = "; a plan file is given by its path, which ends in .json" if "/" in name else ""
        raise UsageError(f"no world is called {name!r}{hint or nearest_name(name, known_worlds())}")
    if seed is None:
        return plan
    digest = hashlib.sha256(f"{plan.digest} textures {seed}".encode()).hexdigest()
    return dataclasses.replace(plan, name=f"{plan.name}+{seed}", digest=digest, texture_seed=seed)


def plan_bytes(path: Union[str, Path]) -> bytes:
    """Read the bytes of a plan file.

    Raises:
        UsageError: the file does not exist.
        DataError: the file cannot be read, is not a regular file, or exceeds `LARGEST`.
    """
    if not os.path.lexists(path):
        raise UsageError(f"cannot read the floor plan {path}: no such file or directory")
    return read_small(path, LARGEST)


def _load(path: Path) -> FloorPlan:
    return _read(path, plan_bytes(path))


@functools.lru_cache(maxsize=8)
def _read(path: Path, data: bytes) -> FloorPlan:
    raw = parse_json(data, path)
    return _parse(_Reader(path, raw), hashlib.sha256(data).hexdigest())


class _Reader:
    """Reads entries of a plan file; every error names the file and the entry."""

    def __init__(self, path: Path, raw: Any) -> None:
        self.path = path
        if not isinstance(raw, dict):
            raise DataError(f"{path}: a floor plan is an object, not {type(raw).__name__}")
        self.raw = raw

    def fail(self, entry: str, problem: str) -> DataError:
        return DataError(f"{self.path}: {entry} {problem}")

    def has(self, entry: str) -> bool:
        """Whether an entry exists."""
        value: Any = self.raw
        for key in entry.split("."):
            if not isinstance(value, dict) or key not in value:
                return False
            value = value[key]
        return True

    def get(self, entry: str) -> Any:
        if not self.has(entry):
            raise self.fail(f"{entry!r}", "is missing")
        value: Any = self.raw
        for key in entry.split("."):
            value = value[key]
        return value

    def text(self, entry: str, default: Optional[str] = None) -> str:
        value = self.get(entry) if default is None or self.has(entry) else default
        if not isinstance(value, str):
            raise self.fail(f"{entry!r}", f"must be a text, not {value!r}"[:200])
        return value

    def number(self, entry: str, default: Optional[float] = None) -> float:
        value = self.get(entry) if default is None or self.has(entry) else default
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not good or not -1e12 < value < 1e12:  # nan is in no interval
            raise self.fail(f"{entry!r}", f"must be a number, not {value!r}"[:200])
        return float(value)

    def numbers(self, entry: str) -> dict[str, float]:
        if not isinstance(self.get(entry), dict):
            raise self.fail(f"{entry!r}", "must be an object of numbers")
        return {key: self.number(f"{entry}.{key}") for key in self.get(entry)}

    def array(self, entry: str, columns: int, least: int = 1) -> np.ndarray:
        try:
            value = np.array(self.get(entry), dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            value = np.empty(0)
        if value.ndim != 2 or value.shape[1] != columns or len(value) < least:
            raise self.fail(f"{entry!r}", f"must be at least {least} rows of {columns} numbers")
        if not np.isfinite(value).all():
            raise self.fail(f"{entry!r}", "holds a number that is not finite")
        if columns == 2 and np.abs(value).max() > FARTHEST:
            raise self.fail(f"{entry!r}", f"reaches farther than {FARTHEST:g} m from the origin")
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
            except (TypeError, ValueError, OverflowError) as error:
                raise self.fail(f"{entry}[{index}]", f"is wrong: {error}") from None
        return tuple(made)


def _point(value: Any) -> tuple[float, float]:
    x, y = value
    if not (math.hypot(x, y) <= 2 * FARTHEST):
        raise ValueError(f"{value!r} is not a point within {FARTHEST:g} m of the origin")
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


def _lamps(read: _Reader, route: Route, ceiling: float) -> tuple[Lamp, ...]:
    if read.has("lamps"):
        rows = read.array("lamps", 4)
        if np.abs(rows[:, :3]).max() > FARTHEST or (rows[:, 3] <= 0).any():
            raise read.fail("'lamps'", f"must be within {FARTHEST:g} m, with attenuations above 0")
        return tuple(Lamp(*row) for row in rows.tolist())
    count = max(1, round(route.length / LAMP_PITCH))
    places = [route.pose_at(index * route.length / count) for index in range(count)]
    return tuple(Lamp(place.x, place.y, ceiling, 0.3) for place in places)


def _strip(read: _Reader) -> Optional[CableStrip]:
    if not read.has("cable_strip"):
        return None
    points = read.array("cable_strip.points", 2, least=3)
    if (points == np.roll(points, 1, axis=0)).all(axis=1).any():
        raise read.fail("'cable_strip.points'", "has the same point twice in a row")
    return CableStrip(
        tuple(map(tuple, points.tolist())), read.number("cable_strip.width"), read.number("cable_strip.z")
    )


def _limits(read: _Reader, route: Route) -> dict[str, float]:
    """The limits of the file, completed with defaults."""
    lap = route.length / 0.8
    made = {"delay_evaluation": 3.0, "max_duration": round(1.25 * lap + 20), "min_depth": 0.5}
    made["starting_height"] = 1.0
    given = read.numbers("limits") if read.has("limits") else {}
    for key in given:
        if key not in made:
            raise read.fail(f"'limits.{key}'", f"is unknown{nearest_name(key, list(made))}")
    return {key: float(given.get(key, value)) for key, value in made.items()}


def _parse(read: _Reader, digest: str) -> FloorPlan:
    for entry in read.raw:
        if entry not in ENTRIES:
            raise read.fail(f"{entry!r}"[:100], f"is unknown{nearest_name(entry, list(ENTRIES))}")
    if read.number("format") != FORMAT:
        raise read.fail("'format'", f"is {read.get('format')!r}; this version reads format {FORMAT}")
    name = read.text("name")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise read.fail(
            "'name'", f"{name!r} must be letters, digits, _ - and ., at most 64".replace("\n", " ")
        )
    waypoints = read.array("waypoints", 2, least=3)
    route = Route(waypoints)
    start = StartPose(*(read.number(f"start_pose.{key}") for key in ("x", "y", "yaw")))
    ceiling = read.number("heights.ceiling")
    plan = FloorPlan(
        name=name,
        title=read.text("title", name),
        digest=digest,
        floor=read.number("heights.floor"),
        ceiling=ceiling,
        walls=read.rows("walls", _wall),
        caps=read.rows("caps", _cap) if read.has("caps") else (),
        lamps=_lamps(read, route, ceiling),
        cable_strip=_strip(read),
        outer_boundary=waypoints,
        inner_boundary=waypoints,
        waypoints=waypoints,
        route=route,
        start_pose=start,
        start_positions=read.array("start_positions", 2)
        if read.has("start_positions")
        else np.array([start[:2]]),
        spawn_height=read.number("start_pose.spawn_height", 0.1),
        reached_distance=read.number("reached_distance", 0.5),
        goto_weight=read.number("goto_weight", 0.9),
        limits=_limits(read, route),
        facts=read.numbers("facts") if read.has("facts") else {},
    )
    rings = _check(plan, read)
    outer, inner = (
        read.array(entry, 2, least=3) if read.has(entry) else ring
        for entry, ring in zip(("outer_boundary", "inner_boundary"), [*rings[:2], waypoints])
    )
    # A copied and changed plan file must not replace the original world of the same name.
    if name != read.path.stem:
        raise read.fail(
            "'name'",
            f"is {name!r}, the file's is {read.path.stem!r}: give both the same; the world is called so",
        )
    return dataclasses.replace(plan, outer_boundary=outer, inner_boundary=inner)


def _check(plan: FloorPlan, read: _Reader) -> list[np.ndarray]:
    """Check a plan; return the rings of its walls at SECTION_HEIGHT."""
    if not plan.floor < plan.ceiling:
        raise read.fail("'heights'", "must put the ceiling above the floor")
    if not 0 <= plan.goto_weight <= 1:
        raise read.fail("'goto_weight'", f"is {plan.goto_weight}; it must lie between 0 and 1")
    for entry in ("delay_evaluation", "max_duration", "min_depth", "starting_height"):
        if plan.limits[entry] < 0:
            raise read.fail(f"'limits.{entry}'", "must not be negative")
    for index, wall in enumerate(plan.walls):
        if wall.bottom < plan.floor or wall.top > plan.ceiling:
            raise read.fail(f"walls[{index}]", f"reaches outside {plan.floor:g} to {plan.ceiling:g} m")
    for height in sorted({wall.bottom for wall in plan.walls}):
        plan.rings(height)
    rings = plan.rings(SECTION_HEIGHT)
    for height in (plan.floor, SECTION_HEIGHT, plan.ceiling - 1e-6):
        if not plan.rings(height):
            raise read.fail("'walls'", f"form no ring at a height of {height:g} m")
    for label, (x, y) in [
        ("start_pose", plan.start_pose[:2]),
        *((f"waypoints[{i}]", point) for i, point in enumerate(plan.waypoints)),
        *((f"start_positions[{i}]", point) for i, point in enumerate(plan.start_positions)),
    ]:
        if not plan.inside(x, y):
            raise read.fail(label, f"({x:g}, {y:g}) is not on the free floor")
    _check_sides(plan, read)
    _check_route(plan, read)
    return rings


def _check_sides(plan: FloorPlan, read: _Reader) -> None:
    """Check that the free floor is to the left of each wall; else a box would be seen from its inside."""
    for index, wall in enumerate(plan.walls):
        (x1, y1), (x2, y2) = wall.start, wall.end
        length = math.hypot(x2 - x1, y2 - y1)
        normal = np.array([y1 - y2, x2 - x1]) * (BESIDE / length)
        middle = np.array([x1 + x2, y1 + y2]) / 2
        (lx, ly), (rx, ry) = middle + normal, middle - normal
        left, right = plan.inside(lx, ly, wall.bottom), plan.inside(rx, ry, wall.bottom)
        if right and not left:  # of a face that is hidden in another wall neither is free
            raise read.fail(
                f"walls[{index}]",
                f"from {list(wall.start)} to {list(wall.end)} must have the free floor on its left: outer "
                "walls run counter-clockwise seen from above, those around a box or pillar clockwise",
            )


def _check_route(plan: FloorPlan, read: _Reader) -> None:
    """Check that no wall stands between two waypoints that follow each other."""
    lines = plan.segments()
    start, span = lines[:, :2], lines[:, 2:] - lines[:, :2]
    for index, (a, b) in enumerate(zip(plan.waypoints, np.roll(plan.waypoints, -1, axis=0))):
        gap, way = start - a, b - a
        across = way[0] * span[:, 1] - way[1] * span[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            along = (gap[:, 0] * span[:, 1] - gap[:, 1] * span[:, 0]) / across
            share = (gap[:, 0] * way[1] - gap[:, 1] * way[0]) / across
        hit = (along >= 0) & (along <= 1) & (share >= 0) & (share <= 1)
        if hit.any():
            x, y = a + float(along[hit].min()) * way
            following = (index + 1) % len(plan.waypoints)
            raise read.fail(
                f"waypoints[{index}]",
                f"to waypoints[{following}]: a wall crosses the way at ({x:.2f}, {y:.2f})",
            )
