"""Time, stamps and the truth of images in lock-step."""

from __future__ import annotations

import math

import numpy as np
import pytest
import rospy
from ros_client import wait
from std_srvs.srv import SetBool

from nav_pkg.core import Command, Pose

PERIOD = 100_000_000  # ns
HALF = math.radians(80) / 2
CAMERA = np.array([0.1, 0.0, 0.1])
LIDAR = np.array([0.1, 0.0, 0.5])
COLOURS = {
    "east": (0.9, 0.1, 0.1),
    "north": (0.1, 0.9, 0.1),
    "west": (0.9, 0.9, 0.1),
    "south": (0.1, 0.1, 0.9),
}


def rotation(pose):
    """Rz(yaw) Ry(pitch) Rx(roll)."""
    cr, sr, cp, sp = math.cos(pose.roll), math.sin(pose.roll), math.cos(pose.pitch), math.sin(pose.pitch)
    cy, sy = math.cos(pose.yaw), math.sin(pose.yaw)
    return (
        np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        @ np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    )


def cast(origin, direction):
    """Distance along a direction to the room's walls or floor, and which it is."""
    x, y, z = origin
    dx, dy, dz = direction
    planes = {"east": (3.9 - x, dx), "west": (-3.9 - x, dx), "north": (2.9 - y, dy), "south": (-1.9 - y, dy)}
    planes["floor"] = (-z, dz)
    hits = {name: gap / d for name, (gap, d) in planes.items() if abs(d) > 1e-12 and gap / d > 0}
    name = min(hits, key=hits.get)
    return hits[name], name


def middle_row(pose, width, height):
    """Depths and names of what the middle row of an image shows from a pose."""
    turn = rotation(pose)
    origin = np.array(pose[:3]) + turn @ CAMERA
    focal = width / 2 / math.tan(HALF)
    row = height // 2
    depths, names = [], []
    for column in range(width):
        u, v = column + 0.5 - width / 2, row + 0.5 - height / 2
        distance, name = cast(origin, turn @ np.array([1.0, -u / focal, -v / focal]))
        depths.append(distance)
        names.append(name)
    return np.array(depths), names


def colour_matches(rgb, names):
    row = rgb[rgb.shape[0] // 2].astype(float)
    row /= row.max(axis=1, keepdims=True)
    expected = np.array([COLOURS.get(name, (0.5, 0.5, 0.5)) for name in names])
    expected /= expected.max(axis=1, keepdims=True)
    return float(np.mean(np.abs(row - expected).max(axis=1) < 0.25))


def test_every_sensor_has_every_exact_stamp(client):
    stamp = client.reset(Pose(-2.0, 0.0, 1.0)).stamp
    assert stamp % PERIOD == 0
    for index in range(1, 51):
        sensors = client.step(Command(x=0.3, yaw=0.3))
        assert sensors.stamp == stamp + index * PERIOD
        assert {m.header.stamp.to_nsec() for m in sensors.messages.values()} == {sensors.stamp}
    assert client.clock[-1] == sensors.stamp


def test_headers_name_frames(client):
    sensors = client.reset(Pose(-2.0, 0.0, 1.0))
    frames = {name: message.header.frame_id for name, message in sensors.messages.items()}
    assert frames["rgb"] == frames["depth"] == "camera_optical_frame"
    assert frames["scan"] == "laser" and frames["state"] == "world"
    assert sensors.messages["state"].child_frame_id == "base_link"
    assert sensors.messages["rgb"].encoding == "rgb8" and sensors.messages["depth"].encoding == "32FC1"
    assert sensors.rgb.shape == (360, 640, 3) and sensors.depth.shape == (90, 160)


def test_images_show_the_pose_of_their_stamp(client):
    client.reset(Pose(-1.0, 0.2, 1.3))
    before = None
    lag = []
    for index in range(40):
        sensors = client.step(Command(yaw=1.0))
        depths, names = middle_row(sensors.pose, 160, 90)
        error = np.abs(sensors.depth[45] - depths)
        assert np.median(error) < 0.005, index
        assert np.mean(error < 0.05) > 0.97  # at the corners one pixel may see the other wall
        assert colour_matches(sensors.rgb, middle_row(sensors.pose, 640, 360)[1]) > 0.99
        if before is not None and index > 10:  # the same image against the pose one frame earlier
            lag.append(np.median(np.abs(sensors.depth[45] - middle_row(before, 160, 90)[0])))
        before = sensors.pose
    assert np.median(lag) > 0.03  # so that an error of one frame would have been seen


def test_depth_is_right_everywhere_in_the_image(client):
    pose = Pose(1.0, 0.5, 1.4, 0.05, -0.1, 0.7)
    sensors = client.reset(pose)
    turn = rotation(pose)
    origin = np.array(pose[:3]) + turn @ CAMERA
    focal = 160 / 2 / math.tan(HALF)
    errors = []
    for row in range(0, 90, 7):
        for column in range(0, 160, 7):
            ray = turn @ np.array([1.0, -(column + 0.5 - 80) / focal, -(row + 0.5 - 45) / focal])
            hit = origin + ray * cast(origin, ray)[0]
            if hit[2] < 2.9:  # above the walls there is nothing
                errors.append(abs(sensors.depth[row, column] - cast(origin, ray)[0]))
            elif hit[2] > 3.1:
                assert math.isinf(sensors.depth[row, column])
    assert len(errors) > 100 and np.percentile(errors, 95) < 0.05 and np.median(errors) < 0.01


def test_scan_is_geometry_and_noise(client):
    pose = Pose(2.0, 0.7, 0.6, 0.0, 0.0, 0.3)
    turn = rotation(pose)
    origin = np.array(pose[:3]) + turn @ LIDAR
    sensors = client.reset(pose, seed=5)
    message = sensors.messages["scan"]
    assert len(sensors.scan) == 360 and message.angle_min == pytest.approx(-math.pi, abs=1e-6)
    assert message.angle_increment == pytest.approx(math.radians(1), abs=1e-6)
    assert (message.range_min, message.range_max) == pytest.approx((0.12, 3.5))
    truth = []
    for index in range(360):
        angle = message.angle_min + index * math.radians(1)
        truth.append(cast(origin, turn @ np.array([math.cos(angle), math.sin(angle), 0.0]))[0])
    truth = np.array(truth)
    near = truth < 3.4
    error = (sensors.scan - truth)[near]
    assert np.all(np.isinf(sensors.scan[truth > 3.6]))
    assert np.abs(error).max() < 0.05 and abs(error.mean()) < 0.002 and 0.008 < error.std() < 0.012
    other = client.reset(pose, seed=6).scan
    again = client.reset(pose, seed=5).scan
    assert np.array_equal(again, sensors.scan) and not np.array_equal(other, sensors.scan)


def test_steps_need_not_end_at_a_frame(client):
    begin = client.reset(Pose(-2.0, 0.0, 1.0)).stamp
    for steps, done in ((7, 7), (5, 12), (1, 13)):
        reply = client.raw_step(Command(x=0.2), steps)
        assert reply.success and reply.stamp.to_nsec() == begin + done * 5_000_000
    reply = client.raw_step(Command(x=0.2), 60)  # three frames on the way
    assert reply.success and reply.stamp.to_nsec() == begin + 73 * 5_000_000
    for index in (1, 2, 3):
        assert client.collect(begin + index * PERIOD).stamp == begin + index * PERIOD
    assert client.reset(Pose(-2.0, 0.0, 1.0)).stamp == begin + 5 * PERIOD


def test_no_steps_is_no_time(client):
    begin = client.reset(Pose(-2.0, 0.0, 1.0)).stamp
    assert client.raw_step(Command(), 0).stamp.to_nsec() == begin


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_command_that_is_not_finite_is_refused(client, value):
    begin = client.reset(Pose(-2.0, 0.0, 1.0)).stamp
    reply = client.raw_step(Command(yaw=value))
    assert not reply.success and "not finite" in reply.message
    assert reply.stamp.to_nsec() == begin
    assert not client.raw_reset(Pose(value, 0.0, 1.0)).success


def test_what_does_not_come_in_time_is_named(client):
    client.reset(Pose(-2.0, 0.0, 1.0))
    reply = client.raw_step(Command(), 20, timeout=1e-6)
    assert not reply.success and reply.message
    assert client.raw_step(Command(), 20).success  # and the simulator goes on


def test_free_running_and_back(client):
    client.reset(Pose(-2.0, 0.0, 1.0))
    switch = rospy.ServiceProxy("/gazebo/set_lockstep", SetBool)
    assert switch(False).success
    begin = client.clock[-1]
    wait(lambda: client.clock[-1] >= begin + 1_000_000_000, "a second of simulated time")
    reply = client.raw_step()
    assert not reply.success and "free-running" in reply.message
    assert not client.raw_reset(Pose(0.0, 0.0, 1.0)).success
    assert switch(True).success
    stopped = client.raw_step(Command(), 0).stamp.to_nsec()
    assert stopped >= begin + 1_000_000_000
    rospy.rostime.wallsleep(0.3)
    assert client.raw_step(Command(), 0).stamp.to_nsec() == stopped
    client.reset(Pose(-2.0, 0.0, 1.0))
