"""Triangle meshes: build them from rectangles and polygons, and cut floors into cells."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from nav_pkg.world.plan import FloorPlan


@dataclass
class Mesh:
    """Triangles that share one texture.

    Attributes:
        positions: (x, y, z) of each vertex, metres.
        normals: unit vector of each vertex's surface, towards the free space.
        uvs: texture coordinates of each vertex, v upwards.
        triangles: vertex numbers, counter-clockwise seen from the free space.
        glowing: vertices that emit light and need no baked light.
    """

    positions: list[tuple[float, float, float]] = field(default_factory=list)
    normals: list[tuple[float, float, float]] = field(default_factory=list)
    uvs: list[tuple[float, float]] = field(default_factory=list)
    triangles: list[tuple[int, int, int]] = field(default_factory=list)
    glowing: list[int] = field(default_factory=list)

    def vertex(self, position, normal, uv) -> int:
        """Add a vertex and return its number."""
        self.positions.append((float(position[0]), float(position[1]), float(position[2])))
        self.normals.append((float(normal[0]), float(normal[1]), float(normal[2])))
        self.uvs.append((float(uv[0]), float(uv[1])))
        return len(self.positions) - 1

    def polygon(self, corners: list[int]) -> None:
        """Add a convex polygon of existing vertices, counter-clockwise seen from the free space."""
        for second, third in zip(corners[1:-1], corners[2:]):
            a, b, c = (np.array(self.positions[corner]) for corner in (corners[0], second, third))
            # Skip triangles without area.
            if np.linalg.norm(np.cross(b - a, c - a)) > 1e-7:
                self.triangles.append((corners[0], second, third))

    def faces(self) -> np.ndarray:
        """The triangles' corners: float64 (T, 3, 3), metres."""
        return np.array(self.positions, dtype=np.float64).reshape(-1, 3)[
            np.array(self.triangles, dtype=np.int64).reshape(-1, 3)
        ]


def wall_grid(mesh, start, end, columns, rows, uv, skip=()) -> None:
    """Add a vertical rectangle cut into cells; the free space is on the left of start to end.

    Args:
        mesh: the mesh to extend.
        start: (x, y), metres.
        end: (x, y), metres.
        columns: ascending fractions 0..1 along the wall of the vertical cuts, both ends included.
        rows: ascending heights of the horizontal cuts, metres, both ends included.
        uv: function from (fraction, height) to texture coordinates.
        skip: cells to leave open, pairs (column, row).
    """
    start, end = np.array(start), np.array(end)
    span = end - start
    length = float(np.hypot(*span))
    normal = (-span[1] / length, span[0] / length, 0.0)
    numbers: dict[tuple[int, int], int] = {}

    def corner(column: int, row: int) -> int:
        if (column, row) not in numbers:
            share, height = columns[column], rows[row]
            # Exact ends: neighbouring walls then share bit-identical corners.
            x, y = start if share == 0 else end if share == 1 else start + share * span
            numbers[column, row] = mesh.vertex((x, y, height), normal, uv(share, height))
        return numbers[column, row]

    for column in range(len(columns) - 1):
        for row in range(len(rows) - 1):
            if (column, row) not in skip:
                # Seen from the left of the wall, its start is on the right.
                mesh.polygon([
                    corner(column + 1, row), corner(column, row),
                    corner(column, row + 1), corner(column + 1, row + 1),
                ])  # fmt: skip


def level_polygon(mesh, pieces, z, up, uv) -> None:
    """Add horizontal convex polygons (lists of (x, y), counter-clockwise from above) with shared vertices."""
    numbers: dict[tuple[float, float], int] = {}
    normal = (0.0, 0.0, 1.0 if up else -1.0)
    for piece in pieces:
        corners = []
        for x, y in piece:
            # Rounded like the files: every triangle here is then also a triangle in the file.
            key = (round(x, 4), round(y, 4))
            if key not in numbers:
                numbers[key] = mesh.vertex((*key, z), normal, uv(*key))
            if numbers[key] not in corners:
                corners.append(numbers[key])
        if len(corners) >= 3:
            mesh.polygon(corners if up else corners[::-1])


def clip(piece: list[tuple[float, float]], axis: int, at: float, keep_above: bool) -> list:
    """Clip a convex polygon at the line x = at (axis 0) or y = at (axis 1); keep one side."""
    sign = 1.0 if keep_above else -1.0
    result = []
    for here, there in zip(piece, piece[1:] + piece[:1]):
        a, b = sign * (here[axis] - at), sign * (there[axis] - at)
        if a >= 0:
            result.append(here)
        if (a > 0 > b) or (a < 0 < b):
            share = a / (a - b)
            point = [here[0] + share * (there[0] - here[0]), here[1] + share * (there[1] - here[1])]
            point[axis] = at
            result.append((point[0], point[1]))
    return result if _area(result) > 1e-9 else []


def _area(piece) -> float:
    return 0.5 * sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(piece, piece[1:] + piece[:1]))


def cut_out(pieces: list, box: tuple[float, float, float, float]) -> list:
    """Cut an axis-aligned box (x0, y0, x1, y1) out of convex polygons; the results are convex polygons."""
    x0, y0, x1, y1 = box
    result = []
    for piece in pieces:
        xs, ys = [p[0] for p in piece], [p[1] for p in piece]
        if max(xs) <= x0 or min(xs) >= x1 or max(ys) <= y0 or min(ys) >= y1:
            result.append(piece)
            continue
        rest = piece
        for axis, at, above in ((0, x0, True), (0, x1, False), (1, y0, True), (1, y1, False)):
            outside = clip(rest, axis, at, not above) if rest else []
            if outside:
                result.append(outside)
            rest = clip(rest, axis, at, above) if rest else []
    return result


def cells(plan: FloorPlan, height: float, size: float) -> list[list[tuple[float, float]]]:
    """Cut the free floor at a height into convex polygons, each within a square cell.

    Args:
        plan: the floor plan.
        height: metres; the rings at this height bound the floor.
        size: side length of a cell, metres.

    Returns:
        Counter-clockwise polygons, lists of (x, y).
    """
    lines = plan.segments(height)
    low = np.floor(np.minimum(lines[:, :2], lines[:, 2:]).min(axis=0) / size).astype(int)
    high = np.ceil(np.maximum(lines[:, :2], lines[:, 2:]).max(axis=0) / size).astype(int)
    pieces = []
    for column in range(low[0], high[0]):
        for row in range(low[1], high[1]):
            x0, x1, y0, y1 = column * size, (column + 1) * size, row * size, (row + 1) * size
            near = lines[
                (np.minimum(lines[:, 0], lines[:, 2]) < x1)
                & (np.maximum(lines[:, 0], lines[:, 2]) > x0)
                & (np.minimum(lines[:, 1], lines[:, 3]) < y1)
                & (np.maximum(lines[:, 1], lines[:, 3]) > y0)
            ]
            if len(near):
                pieces += _cut_cell(plan, height, near, x0, y0, x1, y1)
            elif plan.inside((x0 + x1) / 2, (y0 + y1) / 2, height):
                pieces.append([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    return pieces


def _cut_cell(plan, height, lines, x0, y0, x1, y1) -> list:
    """The free part of one cell, cut into slabs at every y where a wall begins, ends or leaves the cell."""
    steps = {y0, y1}
    for ax, ay, bx, by in lines:
        steps |= {y for y in (ay, by) if y0 < y < y1}
        for x in (x0, x1):
            if min(ax, bx) < x < max(ax, bx):
                y = ay + (by - ay) * (x - ax) / (bx - ax)
                steps |= {y} if y0 < y < y1 else set()
    levels = sorted(steps)
    pieces = []
    for bottom, top in zip(levels, levels[1:]):
        if top - bottom < 1e-7:
            continue
        middle = (bottom + top) / 2
        cuts = [(x0, x0, x0), (x1, x1, x1)]
        for ax, ay, bx, by in lines:
            if min(ay, by) <= bottom + 1e-9 and max(ay, by) >= top - 1e-9:
                at = [ax + (bx - ax) * (y - ay) / (by - ay) for y in (middle, bottom, top)]
                if x0 < at[0] < x1:
                    cuts.append(tuple(min(max(value, x0), x1) for value in at))
        cuts.sort()
        for left, right in zip(cuts, cuts[1:]):
            if right[0] - left[0] > 1e-7 and plan.inside((left[0] + right[0]) / 2, middle, height):
                corners = [(left[1], bottom), (right[1], bottom), (right[2], top), (left[2], top)]
                pieces.append([p for i, p in enumerate(corners) if p != corners[i - 1]])
    return pieces
