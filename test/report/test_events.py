"""Scalars of TensorBoard event files: those of torch's writer, and records made by hand."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nav_pkg.core import DataError
from nav_pkg.report import events
from nav_pkg.report.events import read_events


def varint(value):
    value &= (1 << 64) - 1
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, kind, content):
    return varint(number << 3 | kind) + content


def message(number, content):
    return field(number, 2, varint(len(content)) + content)


def simple(tag, value):
    return message(1, message(1, tag.encode()) + field(2, 5, struct.pack("<f", value)))


def tensor(tag, content, kind=1):
    inner = field(1, 0, varint(kind)) + message(2, b"") + content
    return message(1, message(9, b"\x0a\x07scalars") + message(1, tag.encode()) + message(8, inner))


def event(step, *values, time=1.5):
    return field(1, 1, struct.pack("<d", time)) + field(2, 0, varint(step)) + message(5, b"".join(values))


def record(data):
    return struct.pack("<Q", len(data)) + b"\0\0\0\0" + data + b"\0\0\0\0"


def save(path, *datas):
    path.write_bytes(b"".join(map(record, datas)))
    return path


points = st.lists(
    st.tuples(st.sampled_from(["a", "b", "longer/tag"]), st.integers(-5, 2**40), st.floats(width=32)),
    max_size=60,
)


@settings(deadline=None, max_examples=60)
@given(points, st.integers(20, 400), st.sampled_from([4, 16, 256]), st.integers(1, 6))
def test_whatever_is_written_is_read(tmp_path_factory, points, piece, one_by_one, times):
    points = points * times  # lengths with a period
    file = save(
        tmp_path_factory.mktemp("e") / "e", *(event(step, simple(tag, value)) for tag, step, value in points)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "PIECE", piece * times)  # records lie across the pieces' borders
        patch.setattr(events, "ONE_BY_ONE", one_by_one)
        curves, whole = read_events(file)
    assert whole and set(curves) == {tag for tag, _, _ in points}
    for tag, scalar in curves.items():
        wanted = [(step, value) for name, step, value in points if name == tag]
        assert scalar.steps.tolist() == [step for step, _ in wanted]
        assert np.array_equal(scalar.values, [value for _, value in wanted], equal_nan=True)


def test_torchs_writer(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(tmp_path))
    for step in range(300):
        writer.add_scalar("accuracy", step / 300, step)
    writer.add_histogram("h", np.arange(5.0), 3)
    writer.add_image("i", np.zeros((3, 80, 80), np.uint8), 3)
    writer.add_scalar("new style", 0.25, 7, new_style=True)
    writer.close()
    (file,) = tmp_path.iterdir()
    curves, whole = read_events(file)
    assert whole and set(curves) == {"accuracy", "new style"}
    assert curves["accuracy"].steps.tolist() == list(range(300))
    assert np.allclose(curves["accuracy"].values, np.arange(300) / 300)
    assert (curves["new style"].steps.tolist(), curves["new style"].values.tolist()) == ([7], [0.25])
    assert set(read_events(file, ["accuracy"])[0]) == {"accuracy"}


def test_values_of_other_kinds(tmp_path):
    file = save(
        tmp_path / "e",
        field(3, 2, varint(13) + b"brain.Event:2"),
        event(1, simple("x", 1.0), simple("y", 2.0)),
        event(2, tensor("x", field(5, 5, struct.pack("<f", 3.0)))),
        event(3, tensor("x", message(4, struct.pack("<d", 4.0)), kind=2)),
        event(4, tensor("x", message(4, b"text"), kind=7)),
        event(5, simple("x", 5.0)),
        field(1, 1, struct.pack("<d", 0)) + message(5, simple("x", 6.0)),  # step 0 is not written
    )
    curves, whole = read_events(file)
    assert whole
    assert curves["x"].steps.tolist() == [1, 2, 3, 5, 0] and curves["x"].values.tolist() == [1, 3, 4, 5, 6]
    assert curves["y"].values.tolist() == [2]


def test_cut_and_damaged_files(tmp_path):
    file = save(tmp_path / "e", *(event(step, simple("x", step)) for step in range(50)))
    whole = file.read_bytes()
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        curves, complete = read_events(file)
        count = length * 50 // len(whole)
        assert len(curves["x"].steps if curves else []) == count
        assert complete == (length * 50 % len(whole) == 0)
    size = len(whole) // 50
    file.write_bytes(whole[: 10 * size] + struct.pack("<Q", 1 << 60) + whole[10 * size + 8 :])
    curves, complete = read_events(file)
    assert not complete and len(curves["x"].steps) == 10
    random = np.random.RandomState(0)
    for _ in range(100):
        noise = bytearray(whole)
        for place in random.randint(0, len(whole), 5):
            noise[place] = random.randint(256)
        file.write_bytes(noise)
        read_events(file)  # whatever is there, it ends without an error


def test_what_is_no_file(tmp_path):
    with pytest.raises(DataError, match="cannot read"):
        read_events(tmp_path)
