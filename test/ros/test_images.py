"""cv_bridge gives nodes the pixels that the import of bags reads without it."""

from types import SimpleNamespace as Message

import numpy as np
import pytest

from nav_pkg.core import DataError
from nav_pkg.data import messages

pytest.importorskip("cv_bridge")
cv2 = pytest.importorskip("cv2")
sensor_msgs = pytest.importorskip("sensor_msgs.msg")
from nav_pkg.ros import images  # noqa: E402

CHANNELS = {encoding: (np.dtype(kind), n) for encoding, (kind, n) in messages._ENCODINGS.items()}


def raw(encoding, padding=0, big=False, height=6, width=8):
    kind, channels = CHANNELS[encoding]
    random = np.random.default_rng(0)
    pixels = (random.random((height, width, channels)) * 250).astype(kind)
    rows = pixels.astype(kind.newbyteorder(">" if big else "<")).reshape(height, -1).view(np.uint8)
    padded = random.integers(0, 256, (height, rows.shape[1] + padding), dtype=np.uint8)
    padded[:, : rows.shape[1]] = rows
    image = sensor_msgs.Image(height=height, width=width, encoding=encoding, is_bigendian=int(big))
    image.step, image.data = padded.shape[1], padded.tobytes()
    return image, pixels


@pytest.mark.parametrize("encoding", sorted(CHANNELS))
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("big", [False, True])
def test_every_encoding_as_without_ros(encoding, padding, big):
    message, pixels = raw(encoding, padding, big)
    image = images.image_to_array(message)
    assert image.dtype.isnative and np.array_equal(image, messages.image_to_array(message))
    if encoding in ("rgb8", "8UC3"):
        assert np.array_equal(image, pixels)
    elif encoding in ("bgr8", "bgra8"):
        assert np.array_equal(image, pixels[:, :, 2::-1])
    elif pixels.shape[2] == 1 and not encoding.startswith("bayer"):
        assert np.array_equal(image, pixels[:, :, 0])
    else:
        assert image.shape == (6, 8, 3)


def test_the_cameras_own_images_are_not_copied():
    message, _ = raw("rgb8")
    assert not images.image_to_array(message).flags.owndata


@pytest.mark.parametrize("end", [".jpg", ".png"])
@pytest.mark.parametrize("channels", [1, 3])
def test_compressed_images_as_without_ros(end, channels):
    pixels = np.random.default_rng(1).integers(0, 256, (12, 16, channels), np.uint8)
    stored = cv2.imencode(end, pixels[:, :, ::-1])[1].tobytes()
    message = sensor_msgs.CompressedImage(format=end[1:], data=stored)
    image = images.image_to_array(message)
    assert np.array_equal(image, messages.image_to_array(message))
    assert image.shape == ((12, 16, 3) if channels == 3 else (12, 16))
    if end == ".png":
        assert np.array_equal(image, pixels if channels == 3 else pixels[:, :, 0])
    elif channels == 3:
        assert (
            np.abs(cv2.imdecode(np.frombuffer(stored, np.uint8), 1)[:, :, ::-1] - image.astype(int)).max()
            == 0
        )
    for convert in (images.image_to_array, messages.image_to_array):
        padded = Message(format="jpeg", data=stored + b"\0" * 7)  # as some cameras send them
        assert np.array_equal(convert(padded), image)
        for data in (stored[:-20], b"", b"\xff\xd8\xff\xd9", b"no picture"):
            with pytest.raises(DataError, match="compressed image"):
                convert(Message(format="jpeg", data=data))


def test_what_cannot_be_converted_is_one_clear_line():
    for convert in (images.image_to_array, messages.image_to_array):
        message, _ = raw("rgb8")
        message.data = message.data[:-1]
        with pytest.raises(DataError, match="8x6 rgb8: step 24 with 143 bytes is too short"):
            convert(message)
        message, _ = raw("rgb8")
        message.encoding = "tartan8"
        with pytest.raises(DataError, match="tartan8"):
            convert(message)
        message, _ = raw("32FC1")
        message.encoding, message.width = "64FC1", 4  # no colours, and no depth either
        with pytest.raises(DataError, match="64FC1"):
            convert(message)
        deep = cv2.imencode(".png", np.zeros((4, 4), np.uint16))[1].tobytes()
        with pytest.raises(DataError, match="uint16"):
            convert(sensor_msgs.CompressedImage(format="png", data=deep))


def test_a_topics_name_tells_its_type():
    assert images.image_message_type("/bebop/image_raw") is sensor_msgs.Image
    assert images.image_message_type("/bebop/image_raw/compressed") is sensor_msgs.CompressedImage
