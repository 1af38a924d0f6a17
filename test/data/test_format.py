"""Frames as text and images as bytes, both ways."""

import hashlib
import io
import math
import platform

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from nav_pkg.core import Actor, Command, DataError, Frame, Pose, Velocity
from nav_pkg.data import codec
from nav_pkg.data import format as fmt

number = st.floats(allow_nan=False)
frames = st.builds(
    Frame,
    index=st.integers(0, 10**9),
    stamp=st.integers(0, 10**15),
    expert=st.builds(Command, number, number, number, number),
    learner=st.none() | st.builds(Command, number, number, number, number),
    applied=st.builds(Command, number, number, number, number),
    actor=st.sampled_from(Actor),
    pose=st.builds(Pose, number, number, number, number, number, number),
    velocity=st.builds(Velocity, number, number, number, number),
    nearest=number,
    progress=number,
)


@given(frames)
def test_a_frame_reads_back_exactly(frame):
    row = fmt.frame_to_row(frame)
    assert fmt.row_to_frame(row) == frame
    assert fmt.frame_to_row(fmt.row_to_frame(row)) == row
    assert len(row.split(",")) == len(fmt.COLUMNS)


def test_the_text_of_a_frame(samples):
    frame = samples.frame(1)
    assert fmt.frame_to_row(frame) == (
        "1,0.100000000,0.8,0.0,0.0,0.9,,,,,0.8,0.0,0.0,0.9,expert,0.18,0.3333333333333333,1.0,0.0,0.01,0.2,"
        "0.8,0.0,0.0,0.9,1.6428571428571428,0.08,RGB/0000000001.jpg,Depth/0000000001.png"
    )


def test_numpy_numbers_and_nan_are_written_as_python_writes_them(samples):
    frame = samples.frame(0)
    values = {**frame.__dict__, "nearest": float("nan"), "progress": np.float64(0.1)}
    row = fmt.frame_to_row(Frame(**values), depth=False)
    assert row.split(",")[25:29] == ["nan", "0.1", "RGB/0000000000.jpg", ""]
    assert math.isnan(fmt.row_to_frame(row).nearest)


@pytest.mark.parametrize(
    "column, text, message",
    [
        (0, "x", "index is 'x'"),
        (1, "0.1", "nine decimals"),
        (5, "", "expert_yaw is ''"),
        (14, "nobody", "nobody"),
        (25, "1.5m", "nearest is '1.5m'"),
    ],
)
def test_a_damaged_row_names_its_column(samples, column, text, message):
    fields = fmt.frame_to_row(samples.frame(3)).split(",")
    fields[column] = text
    with pytest.raises(ValueError, match=message):
        fmt.row_to_frame(",".join(fields))


def test_a_negative_stamp_is_refused():
    with pytest.raises(DataError, match="negative"):
        fmt.stamp_text(-1)


@pytest.mark.parametrize(
    "name, parsed",
    [
        ("00003_esatv3", (3, "esatv3")),
        ("123456_a_b", (123456, "a_b")),
        ("00003_esatv3.partial", None),
        ("esatv3", None),
        ("quarantine", None),
        (".00003_esatv3.repair", None),
    ],
)
def test_run_names(name, parsed):
    assert fmt.parse_run_name(name) == parsed
    if parsed:
        assert fmt.run_name(*parsed) == name


@given(hnp.arrays(np.uint16, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)))
def test_depth_images_are_exact_and_ordinary_png(steps):
    data = codec.encode_depth(steps)
    assert np.array_equal(codec.decode_depth(data), steps)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), steps)
    assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), steps)
    assert codec.encode_depth(steps) == data


@pytest.mark.skipif(platform.machine() != "x86_64", reason="ISA-L's bytes are others on this processor")
def test_a_depth_image_has_the_same_bytes_with_every_release_of_isal():
    y, x = np.mgrid[0:90, 0:160]
    steps = 2000 + 12 * y + ((x // 40 + y // 30) % 3) * 1500 + (x * y * 7919 >> 9) % 4
    data = codec.encode_depth(steps.astype(np.uint16))
    expected = "2dd7bf31703730627221697ad89663030bcba000488a968f5aa7cde7c9b9e36b"
    assert hashlib.sha256(data).hexdigest() == expected


def test_depth_without_return_is_zero_and_reads_as_inf():
    depth = np.array(
        [[np.nan, np.inf, -np.inf, -1.0, 0.0, 65.535, 65.5356, 66.0, 0.0006, 1.2345]], np.float32
    )
    steps = codec.depth_to_millimetres(depth)
    assert steps.tolist() == [[0, 0, 0, 0, 0, 65535, 0, 0, 1, 1234]]
    back = codec.millimetres_to_depth(steps)
    assert back.dtype == np.float32
    assert np.isinf(back[0, [0, 1, 2, 3, 4, 6, 7]]).all()
    assert back[0, 9] == np.float32(1.234)


@pytest.mark.parametrize("shape", [(48, 64, 3), (360, 640, 3), (7, 5, 3)])
def test_colour_images_keep_their_channels(shape):
    image = np.zeros(shape, np.uint8)
    image[..., 0], image[..., 2] = 200, 30
    data = codec.encode_rgb(image)
    assert data == codec.encode_rgb(image)
    assert np.abs(codec.decode_rgb(data).astype(int) - image).max() <= 3


def test_images_of_another_kind_are_refused():
    with pytest.raises(DataError, match="uint8"):
        codec.encode_rgb(np.zeros((4, 4, 3), np.float32))
    with pytest.raises(DataError, match="height, width"):
        codec.encode_depth(np.zeros((4, 4, 1), np.float32))
    with pytest.raises(DataError, match="16 bit"):
        buffer = io.BytesIO()
        Image.new("L", (4, 4)).save(buffer, "PNG")
        codec.decode_depth(buffer.getvalue())


@pytest.mark.parametrize("kind", ["rgb", "depth"])
def test_a_cut_image_is_found_wherever_it_is_cut(samples, kind):
    data = codec.encode_rgb(samples.rgb(0)) if kind == "rgb" else codec.encode_depth(samples.depth(0))
    decode = codec.decode_rgb if kind == "rgb" else codec.decode_depth
    for length in range(len(data)):
        with pytest.raises(DataError):
            decode(data[:length])
