"""Procedural textures of objects on walls and ceilings, such as doors, posters, radiators, lifts and lamps.

They are combined in texture atlases of equal cells: for example, all doors need only one draw call.
"""

from __future__ import annotations

import numpy as np

from nav_pkg.world.textures import disc, fill, noise, plain

CELL_BORDER = 4
"""Width of a cell's unused edge, pixels; it keeps mipmaps from mixing neighbouring cells."""

# 3x5 digits, row by row from the top, the left pixel first.
_DIGITS = {
    digit: [[(int(row) >> (2 - bit)) & 1 for bit in range(3)] for row in rows]
    for digit, rows in {
        "0": "75557", "1": "26227", "2": "71747", "3": "71717", "4": "55711",
        "5": "74717", "6": "74757", "7": "71122", "8": "75757", "9": "75717", ".": "00002",
    }.items()
}  # fmt: skip


def number(image: np.ndarray, text: str, top: float, left: float, scale: int, colour) -> None:
    """Draw digits, each 3x5 blocks of `scale` pixels; top and left are fractions of the image."""
    row, column = int(top * image.shape[0]), int(left * image.shape[1])
    for index, digit in enumerate(text):
        for y, line in enumerate(_DIGITS[digit]):
            for x, on in enumerate(line):
                if on:
                    a, b = row + y * scale, column + (index * 4 + x) * scale
                    image[a : a + scale, b : b + scale] = colour


def atlas(cells: list, grid: tuple[int, int]) -> np.ndarray:
    """Combine equal cells into one picture, row by row; missing cells stay grey."""
    height, width, _ = cells[0].shape
    image = np.full((grid[0] * height, grid[1] * width, 3), 0.5)
    for index, cell in enumerate(cells):
        row, column = divmod(index, grid[1])
        image[row * height : (row + 1) * height, column * width : (column + 1) * width] = cell
    return image


def cell_box(index: int, grid: tuple[int, int], cell: tuple[int, int]) -> tuple[float, ...]:
    """Texture coordinates (u0, v0, u1, v1) of a cell without its border; v grows upwards."""
    row, column = divmod(index, grid[1])
    wide, tall = grid[1] * cell[1], grid[0] * cell[0]
    return (
        (column * cell[1] + CELL_BORDER) / wide,
        1 - ((row + 1) * cell[0] - CELL_BORDER) / tall,
        ((column + 1) * cell[1] - CELL_BORDER) / wide,
        1 - (row * cell[0] + CELL_BORDER) / tall,
    )


DOOR_CELL = (256, 128)
DOOR_GRID = (4, 16)
_WOODS = ((0.55, 0.36, 0.20), (0.62, 0.45, 0.28), (0.44, 0.29, 0.18), (0.36, 0.42, 0.46), (0.50, 0.22, 0.17))


def door_leaf(rng: np.random.Generator, wood: int, label: str, hinge_left: bool, glass: bool) -> np.ndarray:
    """One leaf of a door in its steel frame, with grain, handle, number plate and optional window."""
    shape = DOOR_CELL
    colour = np.array(_WOODS[wood % len(_WOODS)])
    strength = 0.10 if wood % len(_WOODS) < 3 else 0.02
    grain = noise(rng, shape, (70, 2)) * strength + noise(rng, shape, (180, 14)) * strength
    image = np.clip(colour * (1 + grain)[..., None], 0, 1)
    inset = colour * 0.78
    for top, bottom in ((0.10, 0.46), (0.56, 0.93)):
        for side in (0.17, 0.82):
            fill(image, top, side, bottom, side + 0.012, inset)
        for edge in (top, bottom):
            fill(image, edge, 0.17, edge + 0.006, 0.832, inset)
    handle = 0.84 if hinge_left else 0.11
    if glass:
        fill(image, 0.14, 0.36, 0.44, 0.66, (0.25, 0.22, 0.20))
        fill(image, 0.15, 0.38, 0.43, 0.64, (0.62, 0.72, 0.76))
        for step in np.linspace(0.15, 0.43, 8):
            fill(image, step, 0.38, step + 0.004, 0.64, (0.48, 0.56, 0.60))
    else:
        for _ in range(int(rng.integers(0, 3))):
            y, x = rng.uniform(0.16, 0.36), rng.uniform(0.24, 0.60)
            fill(image, y, x, y + 0.075, x + 0.13, rng.choice([0.80, 0.92]) * np.array([1, 1, 0.94]))
            for line in range(3):
                fill(
                    image,
                    y + 0.015 + 0.018 * line,
                    x + 0.02,
                    y + 0.020 + 0.018 * line,
                    x + 0.11,
                    (0.3, 0.3, 0.35),
                )
    fill(image, 0.49, handle, 0.57, handle + 0.055, (0.35, 0.35, 0.34))
    reach = (handle - 0.12, handle + 0.05) if hinge_left else (handle, handle + 0.17)
    fill(image, 0.515, reach[0], 0.53, reach[1], (0.78, 0.78, 0.76))
    fill(image, 0.90, 0.08, 0.965, 0.92, (0.58, 0.58, 0.57))
    frame = (0.42, 0.43, 0.45)
    fill(image, 0.0, 0.0, 1.0, 0.055, frame)
    fill(image, 0.0, 0.945, 1.0, 1.0, frame)
    fill(image, 0.0, 0.0, 0.03, 1.0, frame)
    fill(image, 0.03, 0.055, 0.034, 0.945, (0.10, 0.09, 0.08))
    fill(image, 0.985, 0.0, 1.0, 1.0, (0.16, 0.15, 0.14))
    for side in (0.055, 0.937):
        fill(image, 0.03, side, 0.985, side + 0.008, (0.12, 0.10, 0.09))
    fill(image, 0.055, 0.22, 0.125, 0.80, (0.93, 0.93, 0.88))
    number(image, label, 0.065, 0.27, 3, (0.10, 0.12, 0.25))
    return np.clip(image, 0, 1)


POSTER_CELL = (256, 256)
POSTER_GRID = (4, 8)
_INKS = (
    (0.75, 0.16, 0.14), (0.12, 0.33, 0.62), (0.13, 0.48, 0.30), (0.86, 0.58, 0.10), (0.42, 0.20, 0.52),
    (0.10, 0.52, 0.56), (0.20, 0.20, 0.24), (0.80, 0.38, 0.50), (0.45, 0.55, 0.14),
)  # fmt: skip


def _lines(rng, image, top, left, bottom, right, ink, pitch=0.028) -> None:
    """Draw lines of print with words of random length."""
    y = top
    while y + pitch * 0.5 < bottom:
        x, end = left, right if rng.random() < 0.75 else left + (right - left) * rng.uniform(0.4, 0.9)
        while x < end - 0.01:
            word = min(rng.uniform(0.02, 0.08), end - x)
            fill(image, y, x, y + pitch * 0.45, x + word, ink)
            x += word + 0.012
        y += pitch


def _figure(rng, image, top, left, bottom, right, ink) -> None:
    """Draw a figure on a poster: bars, a curve, discs or a photograph."""
    paper = 0.5 + 0.5 * np.array(ink)
    fill(image, top, left, bottom, right, paper)
    style, tall, wide = int(rng.integers(4)), bottom - top, right - left
    if style == 0:
        for bar in range(6):
            x = left + wide * (0.08 + 0.15 * bar)
            fill(image, bottom - tall * rng.uniform(0.15, 0.9), x, bottom - 0.03 * tall, x + wide * 0.10, ink)
    elif style == 1:
        phase, speed = rng.uniform(0, 6), rng.uniform(4, 11)
        for share in np.linspace(0.02, 0.98, 160):
            y = top + tall * (0.5 + 0.4 * np.sin(phase + speed * share) * share)
            x = left + wide * share
            fill(image, y - 0.008, x - 0.006, y + 0.008, x + 0.006, ink)
    elif style == 2:
        for _ in range(7):
            shade = np.array(_INKS[int(rng.integers(len(_INKS)))])
            disc(
                image,
                top + tall * rng.uniform(0.2, 0.8),
                left + wide * rng.uniform(0.15, 0.85),
                tall * rng.uniform(0.05, 0.18),
                shade,
            )
    else:
        height, width = image.shape[:2]
        rows, columns = (
            slice(int(top * height), int(bottom * height)),
            slice(int(left * width), int(right * width)),
        )
        field = noise(rng, image[rows, columns].shape[:2], (18, 30))
        mix = np.clip(0.5 + 0.35 * field, 0, 1)[..., None]
        image[rows, columns] = mix * paper + (1 - mix) * np.array(ink) * 0.6


def poster(rng: np.random.Generator, index: int) -> np.ndarray:
    """A scientific poster with title block, columns of print and figures; the index selects the layout."""
    ink, second = np.array(_INKS[index % 9]), np.array(_INKS[(index * 4 + 2) % 9])
    dark = index % 3 == 2
    image = plain(POSTER_CELL, tuple(0.35 * ink) if dark else tuple(0.93 + 0.05 * ink))
    body = (0.90, 0.90, 0.88) if dark else (0.28, 0.28, 0.32)
    layout = index % 4
    if layout < 2:
        fill(image, 0.0, 0.0, 0.20, 1.0, ink)
        _lines(rng, image, 0.05, 0.08, 0.11, 0.92, (0.97, 0.97, 0.95), 0.075)
        _lines(rng, image, 0.14, 0.25, 0.17, 0.75, (0.97, 0.97, 0.95))
        columns = 3 if layout else 2
        for column in range(columns):
            left = 0.05 + column * 0.92 / columns
            right = left + 0.92 / columns - 0.05
            split = rng.uniform(0.38, 0.60)
            if rng.random() < 0.5:
                _figure(rng, image, 0.25, left, split, right, second)
                _lines(rng, image, split + 0.03, left, 0.94, right, body)
            else:
                _lines(rng, image, 0.25, left, split, right, body)
                _figure(rng, image, split + 0.03, left, 0.94, right, ink)
    elif layout == 2:
        _figure(rng, image, 0.05, 0.05, 0.68, 0.95, second)
        fill(image, 0.71, 0.05, 0.74, 0.60, ink if not dark else second)
        _lines(rng, image, 0.77, 0.05, 0.95, 0.95, body)
    else:
        fill(image, 0.0, 0.0, 1.0, 0.28, ink)
        _lines(rng, image, 0.10, 0.04, 0.55, 0.24, (0.95, 0.95, 0.93), 0.06)
        for row in range(2):
            for column in range(2):
                top, left = 0.06 + 0.47 * row, 0.33 + 0.33 * column
                _figure(rng, image, top, left, top + 0.24, left + 0.29, _INKS[int(rng.integers(9))])
                _lines(rng, image, top + 0.27, left, top + 0.41, left + 0.29, body)
    rim = (0.20, 0.20, 0.20)
    for edge in ((0, 0, 0.025, 1), (0.975, 0, 1, 1), (0, 0, 1, 0.025), (0, 0.975, 1, 1)):
        top, left, bottom, right = edge
        fill(image, top, left, bottom, right, rim)
    return np.clip(image, 0, 1)


def notice(rng: np.random.Generator, index: int) -> np.ndarray:
    """A notice board, framed picture or sign for the walls between the doors."""
    style = index % 3
    ink = np.array(_INKS[(index + index // 3 * 4 + 1) % 9])
    if style == 0:
        image = plain(POSTER_CELL, (0.66, 0.50, 0.33))
        image *= (1 + 0.10 * noise(rng, POSTER_CELL, (2, 2)))[..., None]
        for _ in range(int(rng.integers(7, 12))):
            y, x = rng.uniform(0.06, 0.70), rng.uniform(0.05, 0.78)
            tall, wide = rng.uniform(0.14, 0.26), rng.uniform(0.12, 0.20)
            tint = 0.35 * np.array(_INKS[int(rng.integers(9))]) + 0.65
            fill(image, y, x, y + tall, x + wide, tint if rng.random() < 0.6 else (0.95, 0.95, 0.92))
            _lines(rng, image, y + 0.03, x + 0.015, y + tall - 0.02, x + wide - 0.015, (0.3, 0.3, 0.35), 0.03)
            disc(image, y + 0.012, x + wide / 2, 0.012, _INKS[int(rng.integers(9))])
        rim = (0.40, 0.30, 0.22)
    elif style == 1:
        image = plain(POSTER_CELL, (0.95, 0.94, 0.90))
        field = noise(rng, POSTER_CELL, (40, 60))
        sky = np.linspace(0, 1, POSTER_CELL[0])[:, None, None]
        scene = (1 - sky) * (0.55 + 0.4 * ink) + sky * 0.6 * ink
        picture = np.where((field > 0.4)[..., None], 0.6 * scene, scene + 0.15 * (field < -0.7)[..., None])
        image[20:236, 20:236] = picture[20:236, 20:236]
        rim = ((0.12, 0.12, 0.12), (0.55, 0.38, 0.20), (0.70, 0.70, 0.72))[index // 3 % 3]
    else:
        image = plain(POSTER_CELL, tuple(ink))
        disc(image, 0.36, 0.5, 0.22, (0.96, 0.96, 0.94))
        number(image, str(index % 10), 0.24, 0.42, 14, tuple(0.6 * ink))
        _lines(rng, image, 0.68, 0.12, 0.90, 0.88, (0.96, 0.96, 0.94), 0.11)
        rim = (0.92, 0.92, 0.90)
    for edge in ((0, 0, 0.035, 1), (0.965, 0, 1, 1), (0, 0, 1, 0.035), (0, 0.965, 1, 1)):
        top, left, bottom, right = edge
        fill(image, top, left, bottom, right, rim)
    return np.clip(image, 0, 1)


FIXTURE_CELL = (256, 256)
FIXTURE_GRID = (2, 4)
FIXTURES = ("radiator", "elevator", "window", "tray", "lamp", "soffit")
"""Cells of the fixture atlas, in order."""


def fixture(rng: np.random.Generator, name: str) -> np.ndarray:
    """One cell of the fixture atlas."""
    shape = FIXTURE_CELL
    row = (np.arange(shape[0])[:, None] + 0.5) / shape[0]
    column = (np.arange(shape[1])[None, :] + 0.5) / shape[1]
    if name == "radiator":
        fins = 0.5 + 0.5 * np.cos(2 * np.pi * 16 * column)
        image = np.array([0.90, 0.90, 0.86]) * (0.48 + 0.50 * fins**0.6 + 0 * row)[..., None]
        for top in (0.0, 0.94):
            fill(image, top, 0, top + 0.06, 1, (0.84, 0.84, 0.80))
        fill(image, 0.06, 0, 0.075, 1, (0.40, 0.40, 0.38))
    elif name == "elevator":
        image = plain(shape, (0.66, 0.67, 0.69))
        image *= (1 + 0.06 * noise(rng, shape, (60, 1)) + 0.05 * np.sin(5 * np.pi * column))[..., None]
        fill(image, 0, 0.492, 1, 0.508, (0.10, 0.10, 0.11))
        for left in (0.0, 0.95):
            fill(image, 0, left, 1, left + 0.05, (0.38, 0.39, 0.41))
        fill(image, 0, 0, 0.05, 1, (0.38, 0.39, 0.41))
        fill(image, 0.965, 0, 1, 1, (0.22, 0.22, 0.23))
        fill(image, 0.42, 0.955, 0.56, 0.992, (0.12, 0.12, 0.13))
        for y in (0.46, 0.52):
            disc(image, y, 0.974, 0.012, (0.95, 0.75, 0.20))
    elif name == "window":
        image = (
            np.array([0.16, 0.24, 0.72]) * (1.15 - 0.45 * row + 0.10 * np.sin(9 * (row + column)))[..., None]
        )
        for at in (0.0, 0.245, 0.49, 0.735, 0.98):
            fill(image, 0, at, 1, at + 0.02, (0.80, 0.82, 0.86))
        for at in (0.0, 0.975):
            fill(image, at, 0, at + 0.025, 1, (0.80, 0.82, 0.86))
    elif name == "tray":
        image = plain(shape, (0.52, 0.53, 0.54))
        for index, top in enumerate(np.linspace(0.12, 0.80, 6)):
            shade = ((0.12, 0.12, 0.13), (0.20, 0.30, 0.55), (0.75, 0.72, 0.60))[index % 3]
            fill(image, top, 0, top + 0.08, 1, shade)
        for left in np.linspace(0, 0.875, 8):
            fill(image, 0, left, 1, left + 0.02, (0.42, 0.43, 0.44))
    elif name == "lamp":
        image = plain(shape, (0.74, 0.74, 0.72))
        fill(image, 0.07, 0.04, 0.93, 0.96, (1.0, 1.0, 0.97))
        for at in np.linspace(0.15, 0.85, 8):
            fill(image, 0.07, at, 0.93, at + 0.012, (0.86, 0.86, 0.82))
    else:
        image = plain(shape, (0.78, 0.76, 0.72)) * (1 + 0.02 * noise(rng, shape, (8, 8)))[..., None]
    return np.clip(image, 0, 1)
