"""The way to a network's input size: through pixels and through JPEG's own scaling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nav_pkg.core import DataError
from nav_pkg.data import codec
from nav_pkg.data.resize import decode_resized, reduction, resize


def scene(height=360, width=640, seed=0):
    """A smooth image with edges and fine texture, as a camera in a room gives: uint8 (h, w, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    base = np.stack([120 + 60 * np.sin(x / 90 + c / 3) * np.cos(y / 60 - c / 3) for c in range(3)], axis=2)
    base[height // 2 :, : width // 3] *= 0.6
    base[:, ::40] += 30
    # real textures are rough in brightness, hardly in colour
    coarse = rng.normal(0, 8, (height // 4 + 1, width // 4 + 1, 1)).repeat(4, 0).repeat(4, 1)
    base += coarse[:height, :width] + rng.normal(0, 3, (height, width, 1))
    return np.clip(base, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "shape, size, factor",
    [
        ((360, 640), (128, 128), 2),
        ((360, 640), (224, 224), 1),
        ((360, 640), (90, 160), 4),
        ((360, 640), (45, 80), 8),
        ((360, 640), (45, 81), 4),
        ((361, 640), (90, 90), 1),
        ((180, 322), (45, 45), 2),
        ((128, 128), (128, 128), 1),
        ((32, 48), (128, 128), 1),
        ((720, 1280), (128, 128), 4),
    ],
)
def test_the_factor_of_the_first_step(shape, size, factor):
    assert reduction(*shape, size) == factor


def test_boxes_first_then_the_bilinear_filter():
    rgb = scene()
    boxes = rgb.reshape(180, 2, 320, 2, 3).astype(np.int32).sum((1, 3))
    reduced = np.asarray(Image.fromarray(rgb).reduce(2))
    assert np.abs(boxes / 4 - reduced).max() <= 0.5
    wanted = np.asarray(Image.fromarray(reduced).resize((128, 96), Image.BILINEAR))
    assert np.array_equal(resize(rgb, (96, 128)), wanted)


def test_exact_boxes_where_the_factor_is_all():
    rgb = scene(32, 48)
    assert np.array_equal(resize(rgb, (16, 24)), np.asarray(Image.fromarray(rgb).reduce(2)))


def test_an_image_of_that_size_is_returned_as_it_is():
    rgb = scene(32, 48)
    assert resize(rgb, (32, 48)) is rgb


@pytest.mark.parametrize("size", [(128, 128), (96, 160), (90, 160), (45, 80)])
@pytest.mark.parametrize("seed", range(3))
def test_files_and_pixels_give_nearly_the_same(size, seed):
    data = codec.encode_rgb(scene(seed=seed))
    by_file, by_pixels = decode_resized(data, size), resize(codec.decode_rgb(data), size)
    assert by_file.shape == by_pixels.shape == (*size, 3) and by_file.dtype == np.uint8
    difference = np.abs(by_file.astype(int) - by_pixels)
    assert difference.mean() < 0.5 and difference.max() <= 12, (difference.mean(), difference.max())


@pytest.mark.parametrize(
    "shape, size", [((360, 640), (224, 224)), ((361, 640), (128, 128)), ((32, 48), (64, 64))]
)
def test_files_and_pixels_give_the_same_without_a_factor(shape, size):
    data = codec.encode_rgb(scene(*shape))
    assert np.array_equal(decode_resized(data, size), resize(codec.decode_rgb(data), size))


def test_a_decoder_that_cannot_scale_is_done_without(monkeypatch):
    data = codec.encode_rgb(scene())
    wanted = resize(codec.decode_rgb(data), (128, 128))
    whole = codec.decode_rgb
    monkeypatch.setattr(codec, "decode_rgb", lambda data, *_: whole(data))
    assert np.array_equal(decode_resized(data, (128, 128)), wanted)


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 40), st.integers(1, 40))
def test_any_size_is_reached(height, width, new_height, new_width):
    rgb = np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)
    size = (new_height, new_width)
    assert resize(rgb, size).shape == (*size, 3)
    assert decode_resized(codec.encode_rgb(rgb), size).shape == (*size, 3)


@pytest.mark.parametrize("damage", [lambda d: d[: len(d) // 2], lambda d: b"", lambda d: b"no" + d])
def test_damaged_files_are_refused(damage):
    with pytest.raises(DataError, match="no whole JPEG"):
        decode_resized(damage(codec.encode_rgb(scene(64, 64))), (16, 16))


def test_damage_within_a_file_is_found():
    data = codec.encode_rgb(scene(64, 64))
    with pytest.raises(DataError, match="no whole JPEG"):
        decode_resized(data[: len(data) // 2] + data[-2:], (16, 16))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_image_is_refused(image):
    with pytest.raises(DataError, match="must be uint8"):
        resize(image, (2, 2))
