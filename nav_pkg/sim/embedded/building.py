"""A world's meshes and textures, read from the files that Gazebo loads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Tuple

import numpy as np

from nav_pkg.core import ROOT, DataError
from nav_pkg.reading import read_small
from nav_pkg.world import FloorPlan
from nav_pkg.world.making import ensure, up_to_date

COLLISION = "collision"
REMEDY = "; run make_world.py again"


@dataclass(frozen=True)
class Surface:
    """The triangles of one texture.

    Attributes:
        positions: float32 (V, 3), metres, world frame.
        light: float32 (V, 3), the baked light as a unit vector (`nav_pkg.world.lighting.encode`).
        uvs: float32 (V, 2), v upwards.
        triangles: int32 (T, 3), counter-clockwise seen from the free space.
        texture: uint8 (height, width, 3), the first row at the top.
    """

    positions: np.ndarray
    light: np.ndarray
    uvs: np.ndarray
    triangles: np.ndarray
    texture: np.ndarray


@dataclass(frozen=True)
class Building:
    """A world.

    Attributes:
        plan: its floor plan.
        surfaces: what is seen, by material name.
        collision: float64 (T, 3, 3), the walls as triangles, metres.
    """

    plan: FloorPlan
    surfaces: Dict[str, Surface]
    collision: np.ndarray


def world_folder(plan: FloorPlan) -> Path:
    """The folder with the world's files (worlds/, models/); the world is made if it does not exist (4 s)."""
    return ROOT if up_to_date(plan, ROOT) else ensure(plan)


def read(plan: FloorPlan) -> Building:
    """Read a world's files, and make them first if necessary.

    Raises:
        DataError: a file is missing or damaged.
    """
    folder = world_folder(plan) / "models" / plan.name
    surfaces = {}
    for path in sorted((folder / "meshes").glob("*.dae")):
        if path.stem != COLLISION:
            picture = folder / "materials" / "textures" / f"{plan.name}_{path.stem}.jpg"
            surfaces[path.stem] = _surface(path, picture)
    if not surfaces:
        raise DataError(f"{folder / 'meshes'}: the world has no mesh{REMEDY}")
    positions, triangles = _mesh(folder / "meshes" / f"{COLLISION}.dae", ())[::2]
    return Building(plan, surfaces, positions.astype(np.float64)[triangles])


def _surface(path: Path, picture: Path) -> Surface:
    positions, (light, uvs), triangles = _mesh(path, (("normals", 3), ("uvs", 2)))
    # As Gazebo's loader does with what it takes for normals.
    light /= np.maximum(np.linalg.norm(light, axis=1, keepdims=True), 1e-9)
    texture = _picture(picture)
    return Surface(
        positions.astype(np.float32), light.astype(np.float32), uvs.astype(np.float32), triangles, texture
    )


def _picture(path: Path) -> np.ndarray:
    """Decode a JPEG fast and roughly, as Gazebo's FreeImage does; other ways differ by a grey level."""
    import simplejpeg

    try:
        data = read_small(path, limit=1 << 28, remedy=REMEDY)
        return simplejpeg.decode_jpeg(data, "RGB", fastdct=True, fastupsample=True)
    except ValueError as error:
        raise DataError(f"the texture {path} is damaged ({error}){REMEDY}") from None


def _array(text: str, kind: type) -> np.ndarray:
    """The numbers between spaces; none if a word is no number."""
    try:
        return np.array(text.split(), dtype=kind)
    except (ValueError, OverflowError):
        return np.empty(0, dtype=kind)


def _mesh(path: Path, others: Tuple[Tuple[str, int], ...]):
    """Positions (V, 3), other sources, and triangles (T, 3) of a file of `nav_pkg.world.files.collada`."""
    text = read_small(path, limit=1 << 28, remedy=REMEDY).decode("ascii", "replace")

    def source(name: str, width: int) -> np.ndarray:
        match = re.search(rf'<float_array id="{name}-array" count="(\d+)">([^<]*)<', text)
        values = _array(match[2] if match else "", np.float64)
        if match is None or len(values) != int(match[1]) or not len(values) or len(values) % width:
            raise DataError(f"{path}: the mesh is damaged ({name}){REMEDY}")
        return values.reshape(-1, width)

    positions = source("positions", 3)
    more = [source(name, width) for name, width in others]
    match = re.search(r"<p>([^<]*)</p>", text)
    numbers = _array(match[1] if match else "", np.int32)
    width, count = 1 + len(others), min(map(len, [positions, *more]))
    if not len(numbers) or len(numbers) % (3 * width) or numbers.min() < 0 or numbers.max() >= count:
        raise DataError(f"{path}: the mesh is damaged (triangles){REMEDY}")
    return positions, more, numbers.reshape(-1, 3, width)[:, :, 0]
