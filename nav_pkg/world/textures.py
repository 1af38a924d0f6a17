"""Procedural textures: plaster, linoleum, ceiling tiles, and drawing functions.

Every picture is a float array (height, width, 3) in 0..1 and a pure function of its seed. Pictures of tiled
surfaces wrap around. No fonts or image files are used.
"""

from __future__ import annotations

import numpy as np

WALL_TILE = 10.0
"""Length of wall covered by one plaster picture, metres; the picture covers the whole height."""
FLOOR_TILE = 4.0
"""Side length of the floor area covered by one linoleum picture, metres."""
CEILING_TILE = 2.4
"""Side length of the ceiling area covered by one picture, metres: four tiles of 0.6 m."""
WALL_SIZE = (512, 2048)
FLOOR_SIZE = (512, 512)
CEILING_SIZE = (256, 256)

# One paint per corridor: upper wall, band up to the hand rail, skirting. The colours are muted as in a real
# building, but different enough to recognise the corridor from a single picture.
PAINTS = (
    ((0.87, 0.83, 0.73), (0.74, 0.66, 0.50), (0.30, 0.25, 0.20)),
    ((0.80, 0.84, 0.86), (0.55, 0.65, 0.72), (0.22, 0.26, 0.30)),
    ((0.86, 0.87, 0.82), (0.61, 0.69, 0.56), (0.24, 0.27, 0.22)),
    ((0.88, 0.82, 0.78), (0.71, 0.53, 0.46), (0.31, 0.22, 0.20)),
)
BAND_TOP = 1.05
"""Height of the painted band, metres."""
SKIRTING = 0.10
"""Height of the skirting, metres."""


def noise(rng: np.random.Generator, shape: tuple[int, int], grain: tuple[float, float]) -> np.ndarray:
    """Smooth periodic noise with zero mean and unit standard deviation.

    Args:
        rng: random number generator.
        shape: height and width in pixels.
        grain: size of the blobs vertically and horizontally, pixels.
    """
    spectrum = np.fft.rfft2(rng.standard_normal(shape))
    fy = np.fft.fftfreq(shape[0])[:, None] * grain[0]
    fx = np.fft.rfftfreq(shape[1])[None, :] * grain[1]
    spectrum *= np.exp(-2.0 * np.pi**2 * 0.16 * (fy**2 + fx**2))
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, s=shape)
    return field / (field.std() + 1e-12)


def plain(shape: tuple[int, int], colour: tuple[float, float, float]) -> np.ndarray:
    """A picture of one colour."""
    return np.tile(np.array(colour, dtype=np.float64), (*shape, 1))


def fill(image: np.ndarray, top: float, left: float, bottom: float, right: float, colour) -> None:
    """Paint a rectangle; the edges are fractions of the picture, 0 at its top left."""
    height, width = image.shape[:2]
    rows = slice(int(round(top * height)), int(round(bottom * height)))
    image[rows, int(round(left * width)) : int(round(right * width))] = colour


def disc(image: np.ndarray, y: float, x: float, radius: float, colour, aspect: float = 1.0) -> None:
    """Paint a disc: centre as fractions, radius a fraction of the height; aspect = width / height."""
    height, width = image.shape[:2]
    rows = (np.arange(height)[:, None] + 0.5) / height - y
    columns = ((np.arange(width)[None, :] + 0.5) / width - x) * aspect
    image[rows**2 + columns**2 <= radius**2] = colour


def plaster(rng: np.random.Generator, paint: tuple) -> np.ndarray:
    """A painted plaster wall over its whole height, with structure, wear, sockets and a skirting.

    Returns:
        float64 (512, 2048, 3); row 0 is at the ceiling.
    """
    shape = WALL_SIZE
    upper, band, skirting = (np.array(colour) for colour in paint)
    height = 2.5 * (1 - (np.arange(shape[0]) + 0.5) / shape[0])[:, None, None]
    # The edge of the paint varies by one or two millimetres.
    edge = BAND_TOP + 0.0015 * noise(rng, (1, shape[1]), (1, 40))[0][None, :, None]
    image = np.where(height > edge, upper, band)
    image = np.where(np.abs(height - edge) < 0.012, 0.55 * band, image)
    relief = noise(rng, shape, (3, 3)) * 0.010 + noise(rng, shape, (14, 10)) * 0.010
    stain = noise(rng, shape, (70, 160)) * 0.020 + noise(rng, shape, (220, 420)) * 0.025
    image = image * (1 + relief + stain)[..., None]
    # Scuffs: thin, nearly horizontal streaks at the height of trolleys and bags.
    streaks = noise(rng, shape, (2, 60))
    where = np.exp(-(((height[..., 0] - 0.55) / 0.30) ** 2))
    image *= (1 - 0.35 * where * np.clip(streaks - 1.9, 0, 1))[..., None]
    # Grime collects above the skirting.
    image *= 1 - 0.14 * np.exp(-(height - SKIRTING) / 0.18) * (height > SKIRTING)
    for _ in range(6):
        _crack(rng, image)
    for _ in range(4):
        _socket(image, rng.uniform(0.02, 0.95), rng.choice([0.30, 1.32]))
    wood = skirting * (1 + 0.06 * noise(rng, shape, (2, 90)))[..., None]
    image = np.where(height < SKIRTING, wood, image)
    image = np.where(np.abs(height - SKIRTING) < 0.006, 0.5 * skirting, image)
    return np.clip(image, 0, 1)


def _crack(rng: np.random.Generator, image: np.ndarray) -> None:
    """Draw a fine crack: a random walk downwards."""
    row, column = int(rng.integers(10, 220)), float(rng.integers(0, image.shape[1]))
    for _ in range(int(rng.integers(40, 150))):
        image[row, int(column) % image.shape[1]] *= 0.72
        row = min(row + 1, image.shape[0] - 1)
        column += rng.normal(0, 0.9)


def _socket(image: np.ndarray, left: float, height: float) -> None:
    """Draw a pale plate of 8 cm with two holes: a socket or a switch."""
    row, wide, tall = 1 - height / 2.5, 0.08 / WALL_TILE, 0.08 / 2.5
    fill(image, row, left, row + tall, left + wide, (0.60, 0.60, 0.58))
    fill(image, row + 0.003, left + 0.0006, row + tall - 0.005, left + wide - 0.0006, (0.95, 0.95, 0.92))
    for share in (0.35, 0.65):
        hole = left + share * wide
        fill(image, row + 0.012, hole - 0.0006, row + 0.02, hole + 0.0006, (0.15, 0.15, 0.15))


def linoleum(rng: np.random.Generator) -> np.ndarray:
    """A linoleum floor, clouded and speckled, with welded seams every 2 m; it wraps around."""
    shape = FLOOR_SIZE
    image = plain(shape, (0.50, 0.47, 0.42))
    image *= (1 + 0.05 * noise(rng, shape, (60, 60)) + 0.03 * noise(rng, shape, (9, 22)))[..., None]
    specks = rng.random(shape)
    image[specks < 0.035] *= 0.62
    image[specks > 0.970] = 0.55 * image[specks > 0.970] + 0.40
    image *= (1 + 0.05 * (rng.random(shape) - 0.5))[..., None]
    for seam in (0, shape[0] // 2):
        image[seam : seam + 2] *= 0.66
        image[seam + 2] *= 1.12
    image[:, :2] *= 0.70
    return np.clip(image, 0, 1)


def ceiling_tiles(rng: np.random.Generator) -> np.ndarray:
    """Mineral fibre tiles of 0.6 m in a grid of rails; the picture wraps around."""
    shape = CEILING_SIZE
    image = plain(shape, (0.88, 0.88, 0.85))
    tile = shape[0] // 4
    tone = np.kron(rng.normal(1.0, 0.018, (4, 4)), np.ones((tile, tile)))
    image *= (tone * (1 + 0.012 * noise(rng, shape, (2, 2))))[..., None]
    image[rng.random(shape) < 0.03] *= 0.80
    for line in range(0, shape[0], tile):
        image[line : line + 2] = (0.70, 0.70, 0.68)
        image[:, line : line + 2] = (0.70, 0.70, 0.68)
    return np.clip(image, 0, 1)
