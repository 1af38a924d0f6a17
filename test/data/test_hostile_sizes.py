"""Sizes that a small file declares are compared with run.json before any memory is taken for them."""

import resource
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import simplejpeg

from nav_pkg.core import DataError
from nav_pkg.data import codec, folders, messages
from nav_pkg.data.packs.pack import open_packs
from nav_pkg.data.reader import Dataset
from nav_pkg.data.repair import repair_dataset
from nav_pkg.data.resize import decode_resized
from nav_pkg.data.thin import KeptImages
from nav_pkg.data.verify import verify_dataset
from nav_pkg.data.view import draw_frame

PLENTY = 8 << 30
"""Bytes of memory that no reader takes for such a file; threads reserve some of it, too."""


def jpeg(height, width):
    """A small JPEG that declares this size."""
    data = bytearray(simplejpeg.encode_jpeg(np.zeros((32, 48, 3), np.uint8), colorspace="RGB"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def png(height, width):
    """A small depth PNG that declares this size."""
    data = bytearray(codec.encode_depth(np.zeros((16, 24), np.uint16)))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


@pytest.fixture
def little_memory():
    """The process may take some more memory than it has, not gigabytes."""
    with open("/proc/self/statm") as stream:
        now = int(stream.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + PLENTY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_images_that_declare_65500_pixels_a_side(dataset, tmp_path, little_memory):
    run = dataset / "00001_esatv3"
    (run / "RGB/0000000002.jpg").write_bytes(jpeg(65500, 65500))
    (run / "Depth/0000000003.png").write_bytes(png(2**31 - 1, 2**31 - 1))
    read = Dataset(dataset).runs[1]
    for use in (lambda: read.rgb(2), lambda: draw_frame(read, 2)):
        with pytest.raises(DataError, match="0000000002.jpg: size 65500x65500 instead of 48x32 pixels; see"):
            use()
    with pytest.raises(DataError, match="0000000003.png: size 2147483647x2147483647 instead of 24x16 pixels"):
        read.depth(3)
    problems = verify_dataset(Dataset(dataset)).all_problems
    assert sum("instead of" in line for line in problems) == 2 and len(problems) == 2
    with pytest.raises(DataError, match="changed since its commit"):
        open_packs([read], (16, 16), tmp_path / "cache")
    with pytest.raises(DataError, match="size 65500x65500 instead of 48x32"):
        decode_resized(jpeg(65500, 65500), (16, 16), (32, 48))
    for decode, data in (
        (codec.decode_rgb, jpeg(65500, 65500)),
        (lambda data: decode_resized(data, (16, 16)), jpeg(65500, 65500)),
        (codec.decode_depth, png(60000, 60000)),
    ):
        with pytest.raises(DataError, match="more than 50,000,000 pixels"):
            decode(data)
    (tmp_path / "0000000004.jpg").write_bytes(jpeg(65500, 65500))
    with pytest.raises(DataError, match="0000000004.jpg: size 65500x65500: more than"):
        KeptImages(tmp_path).rgb(4)
    repair_dataset(Dataset(dataset))
    assert [len(run) for run in Dataset(dataset).runs] == [8, 2, 8]


def test_a_scan_that_declares_terabytes(dataset, little_memory):
    path = dataset / "00001_esatv3" / "scan.npy"
    whole = path.read_bytes()
    for shape in ((8, 10**12), (10**12, 12), (8, 13), (10**17, 10**17)):
        header = folders.scan_header(*shape)
        path.write_bytes(header + whole[128:])
        with pytest.raises(DataError, match=r"scan\.npy: float32 .* instead of float32 \(8, 12\); see"):
            _ = Dataset(dataset).runs[1].scan
        problems = verify_dataset(Dataset(dataset)).all_problems
        assert any("instead of float32 (8, 12)" in line for line in problems)
    repair_dataset(Dataset(dataset))
    assert not verify_dataset(Dataset(dataset)).all_problems


def test_a_run_that_states_more_frames_than_it_has(samples, dataset, tmp_path, little_memory):
    samples.edit(dataset / "00001_esatv3", frames=10**9)
    read = Dataset(dataset).runs[1]
    for use in (
        lambda: read.frames,
        lambda: open_packs([read], (16, 16), tmp_path / "cache"),
        lambda: read.scan,
    ):
        with pytest.raises(DataError, match="1000000000|one colour image a frame"):
            use()
    (dataset / "00001_esatv3/frames.csv").unlink()
    assert verify_dataset(Dataset(dataset)).all_problems
    repair_dataset(Dataset(dataset))


def test_sensors_of_any_size_are_not_stated(samples, dataset):
    samples.edit(dataset / "00001_esatv3", sensors={"rgb": [65500, 65500], "depth": None, "scan": 12})
    with pytest.raises(DataError, match=r"run\.json: sensors is "):
        _ = Dataset(dataset).runs[1].facts


def test_a_packs_header_is_not_trusted(dataset, tmp_path):
    cache = tmp_path / "cache"
    runs = Dataset(dataset).runs[:1]
    (pack,) = open_packs(runs, (8, 8), cache)
    right = pack.images.copy()
    data = pack.path.read_bytes()
    for header in (
        b"[" * 118,
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (9999999999, 8, 8, 3), }\n",
    ):
        pack.path.write_bytes(data[:8] + struct.pack("<H", 118) + header.ljust(118) + data[128:])
        notes = []
        (again,) = open_packs(runs, (8, 8), cache, say=notes.append)
        assert len(notes) == 1 and "it is made again" in notes[0] and (again.images == right).all()
    pack.path.write_bytes(data[:8] + b"\xff\xff" + data[10:])
    assert (open_packs(runs, (8, 8), cache, say=notes.append)[0].images == right).all()


def test_a_name_of_5000_letters(samples, tmp_path):
    done = samples.script("dataset", "info", "x" * 5000, "--data_root", tmp_path)
    assert done.returncode == 3 and done.stderr.count("\n") == 1 and "no such dataset" in done.stderr


@pytest.mark.parametrize("data", [jpeg(20000, 20000), png(20000, 30000)], ids=["jpeg", "png"])
def test_a_compressed_image_of_a_topic_or_bag(data, little_memory):
    """OpenCV itself takes up to a thousand million pixels."""
    for given in (data, np.frombuffer(data, np.uint8)):  # as ROS and as rosbags give it
        message = SimpleNamespace(format="jpeg", data=given)
        with pytest.raises(
            DataError, match=r"compressed image \(jpeg\): size .*x20000: more than 50,000,000"
        ):
            messages.image_to_array(message)
