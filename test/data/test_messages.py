"""ROS messages to core types, by field names alone."""

from types import SimpleNamespace as Message

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nav_pkg.core import Actor, Command, DataError, Pose, Velocity
from nav_pkg.data import messages


def time(ns, ros=True):
    seconds, rest = divmod(ns, 10**9)
    return Message(secs=seconds, nsecs=rest) if ros else Message(sec=seconds, nanosec=rest)


def twist(x, y, z, yaw):
    return Message(linear=Message(x=x, y=y, z=z), angular=Message(x=0.0, y=0.0, z=yaw))


def odometry(ns, pose, velocity):
    x, y, z, w = pose.quaternion()
    orientation = Message(x=x, y=y, z=z, w=w)
    position = Message(x=pose.x, y=pose.y, z=pose.z)
    return Message(
        header=Message(stamp=time(ns)),
        pose=Message(pose=Message(position=position, orientation=orientation)),
        twist=Message(twist=twist(*velocity)),
    )


def episode(ns=5 * 10**9, **values):
    return Message(
        **{
            "header": Message(stamp=time(ns)),
            "state": "running",
            "name": "00000_esatv3",
            "index": 2,
            "start": time(ns - 200_000_000),
            "applied": twist(0.8, 0.0, 0.0, 0.9),
            "actor": "expert",
            "has_learner": False,
            "nearest_obstacle": 1.5,
            "progress": 0.2,
            "outcome": "",
            "facts": "",
            **values,
        }
    )


KINDS = {
    "rgb8": ("u1", 3),
    "bgr8": ("u1", 3),
    "mono8": ("u1", 1),
    "8UC1": ("u1", 1),
    "8UC3": ("u1", 3),
    "32FC1": ("f4", 1),
    "16UC1": ("u2", 1),
    "mono16": ("u2", 1),
}


@given(
    encoding=st.sampled_from(sorted(KINDS)),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    padding=st.integers(0, 5),
    big=st.booleans(),
    tail=st.booleans(),
    container=st.sampled_from([bytes, bytearray, memoryview, lambda b: np.frombuffer(b, np.uint8)]),
    seed=st.integers(0, 2**32),
)
def test_images_of_every_layout_give_their_pixels(
    encoding, height, width, padding, big, tail, container, seed
):
    kind, channels = KINDS[encoding]
    rng = np.random.default_rng(seed)
    pixels = (rng.random((height, width, channels)) * 250).astype(kind)
    rows = pixels.astype((">" if big else "<") + kind).reshape(height, -1).view(np.uint8)
    step = rows.shape[1] + padding
    padded = rng.integers(0, 256, (height, step), dtype=np.uint8)
    padded[:, : rows.shape[1]] = rows
    data = padded.tobytes()
    data = data if tail or not padding else data[:-padding]  # some drivers leave the last padding out
    message = Message(
        encoding=encoding, height=height, width=width, step=step, is_bigendian=int(big), data=container(data)
    )
    image = messages.image_to_array(message)
    expected = pixels[:, :, ::-1] if encoding == "bgr8" else pixels
    expected = expected if channels == 3 else expected[:, :, 0]
    assert image.dtype == np.dtype(kind) and image.dtype.isnative
    assert np.array_equal(image, expected)
    assert np.array_equal(np.ascontiguousarray(image), expected)
    with pytest.raises(DataError, match="too short"):
        message.data = container(data[: step * (height - 1) + rows.shape[1] - 1])
        messages.image_to_array(message)


def test_an_ordinary_image_is_not_copied():
    data = bytes(360 * 640 * 3)
    message = Message(encoding="rgb8", height=360, width=640, step=1920, is_bigendian=0, data=data)
    image = messages.image_to_array(message)
    assert image.shape == (360, 640, 3) and not image.flags.owndata


def test_an_unknown_encoding_is_named():
    message = Message(encoding="tartan8", height=1, width=1, step=1, is_bigendian=0, data=b"0")
    with pytest.raises(DataError, match="tartan8"):
        messages.image_to_array(message)


def test_both_kinds_of_stamps():
    assert messages.stamp_ns(time(12_345_678_901)) == 12_345_678_901
    assert messages.stamp_ns(time(12_345_678_901, ros=False)) == 12_345_678_901


def test_a_frame_out_of_its_messages():
    stamp = 5 * 10**9
    pose = Pose(1.0, 2.0, 3.0, 0.1, -0.2, 2.5)
    expert = Message(header=Message(stamp=time(stamp)), twist=twist(0.8, 0.0, 1.0, -0.9))
    learner = Message(header=Message(stamp=time(stamp)), twist=twist(0.7, 0.0, 0.0, 0.3))
    state = odometry(stamp, pose, (0.7, 0.1, 0.0, 0.4))
    frame = messages.frame_from_messages(episode(stamp), state, expert, learner)
    assert (frame.index, frame.stamp, frame.actor) == (2, 200_000_000, Actor.EXPERT)
    assert (frame.expert, frame.applied) == (Command(0.8, 0.0, 1.0, -0.9), Command(0.8, 0.0, 0.0, 0.9))
    assert frame.learner is None
    assert frame.pose == pytest.approx(pose)
    assert frame.velocity == Velocity(0.7, 0.1, 0.0, 0.4)
    frame = messages.frame_from_messages(
        episode(stamp, has_learner=True, actor="learner"), state, expert, learner
    )
    assert (frame.learner, frame.actor) == (Command(0.7, 0.0, 0.0, 0.3), Actor.LEARNER)


def test_messages_of_another_stamp_are_never_joined():
    stamp = 5 * 10**9
    state = odometry(stamp, Pose(0.0, 0.0, 1.0), (0.0, 0.0, 0.0, 0.0))
    late = Message(header=Message(stamp=time(stamp + 1)), twist=twist(0.0, 0.0, 0.0, 0.0))
    with pytest.raises(DataError, match="expert message is of 5000000001 ns"):
        messages.frame_from_messages(episode(stamp), state, late)
    good = Message(header=Message(stamp=time(stamp)), twist=late.twist)
    with pytest.raises(DataError, match="no learner message"):
        messages.frame_from_messages(episode(stamp, has_learner=True), state, good)
    with pytest.raises(DataError, match="not running"):
        messages.frame_from_messages(episode(stamp, index=-1, state="idle"), state, good)


def test_the_facts_of_a_run():
    text = '{"seed": 3, "dataset": {"robot": "drone"}}'
    assert messages.run_facts(episode(facts=text)) == ({"robot": "drone"}, {"seed": 3})
    assert messages.run_facts(episode()) == ({"control_rate": 10}, {})
    for bad in ("{", "[1]"):
        with pytest.raises(DataError, match="00000_esatv3"):
            messages.run_facts(episode(facts=bad))
