"""Build the meshes of a world from a floor plan: visual meshes, one per texture, and a collision mesh."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nav_pkg.world import artwork, textures
from nav_pkg.world.mesh import Mesh, cells, cut_out, level_polygon, wall_grid
from nav_pkg.world.plan import CableStrip, FloorPlan, Wall

COLUMN = 0.9
"""Maximum width of the columns into which walls are cut, metres: fine enough for the light of a lamp."""
ROWS = (0.0, 0.7, 1.35, 1.938)
"""Heights at which walls are cut, metres; the last is the usual height of a door."""
CELL = 1.0
"""Side of a floor or ceiling cell, metres."""
LEAF = 1.12
"""Maximum width of a door leaf, metres; a wider door has several leaves."""
LAMP = (0.62, 0.24)
"""Length and width of a lamp's panel in the ceiling, metres."""
POSTERS = 9
"""Number of cells of the poster atlas with posters; the others hold notices."""
NOTICE_PITCH = 5.0
"""Length of bare wall per notice, metres, approximately."""
SIDES = ("south", "east", "north", "west")
FLUSH = 1e-6


@dataclass(frozen=True)
class Scene:
    """The visual and collision geometry of a world.

    Attributes:
        visual: meshes by material name; the panels of lamps glow, all other surfaces are lit.
        collision: walls with lintels, soffits, sills and tops; without floor and ceiling, which are boxes.
    """

    visual: dict[str, Mesh]
    collision: Mesh


def build(plan: FloorPlan, seed: int) -> Scene:
    """Build the meshes of a world; the seed only affects size, place and choice of the notices."""
    names = [f"wall_{side}" for side in SIDES]
    visual = {name: Mesh() for name in (*names, "floor", "ceiling", "doors", "posters", "fixtures")}
    notices = _Notices(np.random.default_rng([seed, 1]))
    leaves = posters = 0
    for wall in plan.walls:
        if wall.kind == "wall":
            _plaster(visual, plan, wall, notices)
        elif wall.kind == "door":
            leaves = _door(visual["doors"], wall, leaves)
        elif wall.kind == "poster":
            _panel(visual["posters"], wall, posters % POSTERS, artwork.POSTER_GRID, artwork.POSTER_CELL)
            posters += 1
        else:
            _fixture(visual["fixtures"], plan, wall)
    for cap in plan.caps:
        box = _fixture_box("radiator" if cap.kind == "radiator" else "soffit")
        corners = np.array(cap.points)
        low, size = corners.min(axis=0), np.ptp(corners, axis=0)
        level_polygon(
            visual["fixtures"], [list(cap.points)], cap.z, cap.facing == "up",
            lambda x, y, b=box, o=low, s=size: _within(b, (x - o[0]) / s[0], (y - o[1]) / s[1] * 0.04),
        )  # fmt: skip
    tile = textures.FLOOR_TILE
    level_polygon(
        visual["floor"], cells(plan, plan.floor, CELL), plan.floor, True, lambda x, y: (x / tile, y / tile)
    )
    _ceiling(visual, plan)
    if plan.cable_strip is not None:
        _cable_strip(visual["fixtures"], plan, plan.cable_strip)
    return Scene(visual, _collision(plan))


def door_leaves(plan: FloorPlan) -> int:
    """Total number of door leaves in a plan."""
    return sum(leaves_of(wall) for wall in plan.walls if wall.kind == "door")


def side_of(plan: FloorPlan, wall: Wall) -> str:
    """The corridor of a wall, named by the heading of the route at the nearest point."""
    middle = np.add(wall.start, wall.end) / 2
    yaw = plan.route.pose_at(plan.route.project(*middle).s).yaw
    return SIDES[round(yaw / (math.pi / 2)) % 4]


def lamp_boxes(plan: FloorPlan) -> list[tuple[float, float, float, float]]:
    """Rectangles of the lamp panels in the ceiling: (x0, y0, x1, y1), aligned with the corridor."""
    boxes = []
    for lamp in plan.lamps:
        yaw = plan.route.pose_at(plan.route.project(lamp.x, lamp.y).s).yaw
        along_x = abs(math.cos(yaw)) > abs(math.sin(yaw))
        wide, tall = LAMP if along_x else LAMP[::-1]
        boxes.append((lamp.x - wide / 2, lamp.y - tall / 2, lamp.x + wide / 2, lamp.y + tall / 2))
    return boxes


def _length(wall: Wall) -> float:
    return math.dist(wall.start, wall.end)


def _shares(length: float, extra=()) -> list[float]:
    """Ascending cuts along a wall, as fractions from 0 to 1 inclusive, at most COLUMN metres apart."""
    edges = [0.0, *sorted(extra), 1.0]
    cuts = [0.0]
    for left, right in zip(edges, edges[1:]):
        count = max(1, math.ceil((right - left) * length / COLUMN - FLUSH))
        cuts += [left + (right - left) * step / count for step in range(1, count)] + [right]
    return cuts


def _heights(wall: Wall, extra=()) -> list[float]:
    inner = {z for z in (*ROWS, *extra) if wall.bottom + 0.02 < z < wall.top - 0.02}
    return [wall.bottom, *sorted(inner), wall.top]


class _Notices:
    """Draws notice cells without repetition until all are used; equal notices are thus far apart."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.deck: list[int] = []

    def draw(self) -> int:
        first, count = POSTERS, artwork.POSTER_GRID[0] * artwork.POSTER_GRID[1]
        if not self.deck:
            self.deck = [int(cell) for cell in self.rng.permutation(np.arange(first, count))]
        return self.deck.pop()


def _plaster(visual: dict[str, Mesh], plan: FloorPlan, wall: Wall, notices: _Notices) -> None:
    """Add a plaster wall; long walls from floor to ceiling carry notices, flush with the surface."""
    length = _length(wall)
    axis = 0 if abs(wall.end[0] - wall.start[0]) > abs(wall.end[1] - wall.start[1]) else 1
    tall = plan.ceiling - plan.floor

    def uv(share: float, z: float) -> tuple[float, float]:
        along = wall.start[axis] + share * (wall.end[axis] - wall.start[axis])
        return (along / textures.WALL_TILE, (z - plan.floor) / tall)

    boards = []
    if wall.bottom == plan.floor and wall.top == plan.ceiling and length > 2.2:
        count = max(1, round(length / NOTICE_PITCH))
        for index in range(count):
            half = 0.5 * notices.rng.choice([0.62, 0.8, 1.0, 1.2])
            room = max(0.0, length / count / 2 - half - 0.15)
            middle = (index + 0.5) * length / count + notices.rng.uniform(-room, room)
            if half + 0.15 < length / count / 2:
                boards.append(((middle - half) / length, (middle + half) / length, half, notices.draw()))
    columns = _shares(length, [edge for board in boards for edge in board[:2]])
    tops = {}
    for hung in boards:
        tall_board = min(2 * hung[2], 0.95)
        tops[hung] = (1.42 - tall_board / 2, 1.42 + tall_board / 2)
    name = f"wall_{side_of(plan, wall)}"
    if not boards:
        wall_grid(visual[name], wall.start, wall.end, columns, _heights(wall), uv)
        return
    # Built in sections between the boards' edges: only the section of a board gets its rows.
    edges = [0.0, *(edge for board in boards for edge in board[:2]), 1.0]
    point = lambda share: tuple(np.add(wall.start, share * np.subtract(wall.end, wall.start)))  # noqa: E731
    ends = {share: point(share) for share in edges}
    ends[0.0], ends[1.0] = wall.start, wall.end
    for index, (left, right) in enumerate(zip(edges, edges[1:])):
        board = boards[index // 2] if index % 2 else None
        inner = [(share - left) / (right - left) for share in columns if left < share < right]
        rows = _heights(wall)
        if board:
            rows = sorted({0.0, tops[board][0], tops[board][1], wall.top} | {z for z in rows if z < 0.8})
            inner = []
        skip = [(0, row) for row in range(len(rows) - 1) if board and rows[row] == tops[board][0]]
        wall_grid(
            visual[name], ends[left], ends[right], [0.0, *inner, 1.0], rows,
            lambda share, z, a=left, b=right: uv(a + share * (b - a), z), skip,
        )  # fmt: skip
        if board:
            piece = Wall("poster", ends[left], ends[right], *tops[board])
            _panel(visual["posters"], piece, board[3], artwork.POSTER_GRID, artwork.POSTER_CELL)


def _within(box, right: float, up: float) -> tuple[float, float]:
    """Texture coordinates in a cell, from fractions 0..1 to the right and upwards."""
    return (box[0] + right * (box[2] - box[0]), box[1] + up * (box[3] - box[1]))


def _panel(mesh: Mesh, wall: Wall, cell: int, grid, size) -> None:
    """Cover a wall piece with a picture. Seen from the free side, the end of a wall is at the left."""
    box = artwork.cell_box(cell, grid, size)
    tall = wall.top - wall.bottom
    columns = _shares(_length(wall))
    rows = [wall.bottom, (wall.bottom + wall.top) / 2, wall.top]
    wall_grid(
        mesh, wall.start, wall.end, columns, rows,
        lambda share, z: _within(box, 1 - share, (z - wall.bottom) / tall),
    )  # fmt: skip


def leaves_of(wall: Wall) -> int:
    """Number of leaves of a door: the smallest number that keeps each at most LEAF wide."""
    return max(1, math.ceil(_length(wall) / LEAF - FLUSH))


def _door(mesh: Mesh, wall: Wall, first: int) -> int:
    """Add a door with one or more leaves; return the number of the next free leaf."""
    count = leaves_of(wall)
    points = [
        np.add(wall.start, np.subtract(wall.end, wall.start) * step / count) for step in range(count + 1)
    ]
    points[0], points[-1] = np.array(wall.start), np.array(wall.end)
    for step in range(count):
        # Leaves are numbered from the left, seen from the free side.
        leaf = first + count - 1 - step
        piece = Wall("door", tuple(points[step]), tuple(points[step + 1]), wall.bottom, wall.top)
        _panel(mesh, piece, leaf, artwork.DOOR_GRID, artwork.DOOR_CELL)
    return first + count


def _fixture_box(name: str) -> tuple[float, ...]:
    return artwork.cell_box(artwork.FIXTURES.index(name), artwork.FIXTURE_GRID, artwork.FIXTURE_CELL)


def _fixture(mesh: Mesh, plan: FloorPlan, wall: Wall) -> None:
    name = {"elevator_door": "elevator", "radiator": "radiator", "blue_window_panel": "window"}[wall.kind]
    _panel(mesh, wall, artwork.FIXTURES.index(name), artwork.FIXTURE_GRID, artwork.FIXTURE_CELL)


def _ceiling(visual: dict[str, Mesh], plan: FloorPlan) -> None:
    pieces = cells(plan, plan.ceiling - FLUSH, CELL)
    box = _fixture_box("lamp")
    for lamp in lamp_boxes(plan):
        pieces = cut_out(pieces, lamp)
        x0, y0, x1, y1 = lamp
        across = x1 - x0 < y1 - y0

        def uv(x: float, y: float, a=x0, b=y0, c=x1, d=y1, turn=across) -> tuple[float, float]:
            right, up = (x - a) / (c - a), (y - b) / (d - b)
            return _within(box, *((up, right) if turn else (right, up)))

        first = len(visual["fixtures"].positions)
        level_polygon(visual["fixtures"], [[(x0, y0), (x1, y0), (x1, y1), (x0, y1)]], plan.ceiling, False, uv)
        visual["fixtures"].glowing += range(first, len(visual["fixtures"].positions))
    tile = textures.CEILING_TILE
    level_polygon(visual["ceiling"], pieces, plan.ceiling, False, lambda x, y: (x / tile, y / tile))


def _cable_strip(mesh: Mesh, plan: FloorPlan, strip: CableStrip) -> None:
    """Add the cable tray: its underside and its two flanks up to the ceiling, mitred at the corners."""
    box = _fixture_box("tray")
    points = np.array(strip.points)
    along = np.roll(points, -1, axis=0) - points
    along /= np.hypot(*along.T)[:, None]
    left = np.stack([-along[:, 1], along[:, 0]], axis=1)
    mitre = left + np.roll(left, 1, axis=0)
    mitre *= (strip.width / 2 / np.einsum("ij,ij->i", mitre, left))[:, None]
    for index in range(len(points)):
        after = (index + 1) % len(points)
        count = math.ceil(math.dist(points[index], points[after]) / 1.6)
        for step in range(count):
            a, b = step / count, (step + 1) / count
            sides = []
            for sign in (1.0, -1.0):
                p, q = points[index] + sign * mitre[index], points[after] + sign * mitre[after]
                sides.append((p + a * (q - p), p + b * (q - p)))
            (l0, l1), (r0, r1) = sides
            corners = [
                mesh.vertex((*xy, strip.z), (0, 0, -1), _within(box, right, up))
                for xy, right, up in ((l0, 0.02, 0.98), (l1, 0.98, 0.98), (r1, 0.98, 0.02), (r0, 0.02, 0.02))
            ]
            mesh.polygon(corners)
            for start, end in ((l1, l0), (r0, r1)):
                # The flank faces away from the tray: here the free space is on the right of start to end.
                wall_grid(
                    mesh, tuple(end), tuple(start), [0.0, 1.0], [strip.z, plan.ceiling],
                    lambda share, z: _within(box, 0.1 + 0.8 * share, 0.05 + (z - strip.z) * 0.4),
                )  # fmt: skip


def _collision(plan: FloorPlan) -> Mesh:
    mesh = Mesh()
    nothing = lambda *_: (0.0, 0.0)  # noqa: E731
    for wall in plan.walls:
        wall_grid(mesh, wall.start, wall.end, [0.0, 1.0], [wall.bottom, wall.top], nothing)
    for cap in plan.caps:
        level_polygon(mesh, [list(cap.points)], cap.z, cap.facing == "up", nothing)
    return mesh
