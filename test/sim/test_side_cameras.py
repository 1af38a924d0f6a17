"""Recovery cameras in Gazebo: turned as the robot file says, in step with the first camera."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rospy
from ros_client import LIMIT, wait
from sensor_msgs.msg import CameraInfo, Image
from test_lockstep import CAMERA, PERIOD, cast, colour_matches, middle_row, rotation
from tf2_msgs.msg import TFMessage

from nav_pkg.core import Command, Pose
from nav_pkg.sim.description import SimulatorOptions
from nav_pkg.sim.gazebo import Gazebo

ROOM = str(Path(__file__).parent / "room.world")
ANGLES = {"rgb": 0, "left": 30, "right": -30}
SENSORS = ("state", "contacts", "rgb", "depth", "left", "right")


@pytest.fixture(scope="module")
def simulator(master):
    """The room with a drone that has recovery cameras."""
    import ros_client

    for name in ("left", "right"):
        ros_client.SENSORS[name] = (f"/camera_{name}/rgb/image_raw", Image)
    with Gazebo(SimulatorOptions(world=ROOM, robot="drone_recovery", seed=1)) as gazebo:
        yield gazebo


@pytest.fixture(scope="module")
def client(simulator):
    from ros_client import Client

    client = Client(sensors=SENSORS)
    yield client
    client.close()


def pixels(sensors, name):
    message = sensors.messages[name]
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)


def names_in_view(pose, degrees, width=640):
    """What the middle row of a camera turned by some degrees shows: names of walls."""
    turn = rotation(pose)
    origin = np.array(pose[:3]) + turn @ CAMERA
    aside = rotation(Pose(0, 0, 0, 0, 0, math.radians(degrees)))
    focal = width / 2 / math.tan(math.radians(40))
    rays = [np.array([1.0, -(column + 0.5 - width / 2) / focal, -0.5 / focal]) for column in range(width)]
    return [cast(origin, turn @ aside @ ray)[1] for ray in rays]


def test_every_camera_has_every_exact_stamp_and_its_own_frame(client):
    stamp = client.reset(Pose(-2.0, 0.0, 1.0)).stamp
    for index in range(1, 31):
        sensors = client.step(Command(x=0.3, yaw=0.3))
        assert sensors.stamp == stamp + index * PERIOD
        assert {m.header.stamp.to_nsec() for m in sensors.messages.values()} == {sensors.stamp}
    for name in ("left", "right"):
        assert sensors.messages[name].header.frame_id == f"camera_{name}_optical_frame"
        assert pixels(sensors, name).shape == pixels(sensors, "rgb").shape == (360, 640, 3)


def test_left_is_left_and_all_show_the_pose_of_their_stamp(client):
    # Facing the red east wall, between the green one on the left and the blue one on the right.
    client.reset(Pose(1.5, 0.4, 1.3))
    for _ in range(12):
        sensors = client.step(Command(yaw=0.4))
        for name, degrees in ANGLES.items():
            assert colour_matches(pixels(sensors, name), names_in_view(sensors.pose, degrees)) > 0.99, name
    still = client.reset(Pose(1.5, 0.4, 1.3))
    shares = {
        name: [names_in_view(still.pose, degrees).count(wall) for wall in ("north", "south")]
        for name, degrees in ANGLES.items()
    }
    assert shares["left"][0] > 150 and shares["left"][1] == 0
    assert shares["right"][1] > 150 and shares["right"][0] == 0
    middle = pixels(still, "left")[180].astype(int)
    assert (middle[:150, 1] > middle[:150, 0]).all()  # the left part of the left camera's image is green


def test_the_depth_image_is_still_the_first_camera_s(client):
    # All cameras have one size, for which OGRE would let them share a depth buffer.
    for yaw in (0.0, 0.6, 2.0):
        sensors = client.reset(Pose(-1.0, 0.2, 1.3, yaw=yaw))
        error = np.abs(sensors.depth[45] - middle_row(sensors.pose, 160, 90)[0])
        assert np.median(error) < 0.005 and np.mean(error < 0.05) > 0.97


def test_camera_info_and_frames(client):
    heard = {}
    subscribers = [
        rospy.Subscriber(f"/camera_{n}/rgb/camera_info", CameraInfo, lambda m, n=n: heard.update({n: m}))
        for n in ("left", "right")
    ]
    wait(lambda: all(s.get_num_connections() for s in subscribers), "all publishers")
    client.reset(Pose(-2.0, 0.0, 1.0))
    sensors = client.step()
    wait(
        lambda: len(heard) == 2 and all(m.header.stamp.to_nsec() == sensors.stamp for m in heard.values()),
        "both cameras' facts",
    )
    for name in ("left", "right"):
        assert heard[name].header == type(sensors.messages[name].header)(
            heard[name].header.seq, sensors.messages[name].header.stamp, f"camera_{name}_optical_frame"
        )
        assert heard[name].K[0] == pytest.approx(320 / math.tan(math.radians(40)), rel=1e-4)
    static = rospy.wait_for_message("/tf_static", TFMessage, timeout=LIMIT)
    turns = {t.child_frame_id: t for t in static.transforms}
    for name, degrees in (("camera_left_link", 30), ("camera_right_link", -30)):
        transform = turns[name]
        assert transform.header.frame_id == "base_link"
        q, p = transform.transform.rotation, transform.transform.translation
        assert math.degrees(2 * math.atan2(q.z, q.w)) == pytest.approx(degrees)
        assert (p.x, p.y, p.z) == pytest.approx((0.1, 0.0, 0.1))
    assert turns["camera_left_optical_frame"].header.frame_id == "camera_left_link"
    for subscriber in subscribers:
        subscriber.unregister()


def test_the_same_commands_give_the_same_bytes(client):
    def fly():
        client.reset(Pose(-2.0, 0.3, 1.1), seed=3)
        steps = [client.step(Command(x=0.8, yaw=0.5 if i < 5 else -0.5)) for i in range(10)]
        return [{name: bytes(sensors.messages[name].data) for name in ANGLES} for sensors in steps]

    assert fly() == fly()
