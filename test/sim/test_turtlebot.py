"""How the TurtleBot3 drives, measured in Gazebo."""

from __future__ import annotations

import math

import numpy as np
import pytest
import rospy
from conftest import ROOM
from geometry_msgs.msg import Twist
from ros_client import wait
from std_srvs.srv import SetBool
from test_lockstep import cast, colour_matches, rotation

from gazebo_msgs.srv import GetModelState
from nav_pkg.core import Command, Pose
from nav_pkg.sim.description import SimulatorOptions
from nav_pkg.sim.gazebo import Gazebo

START = Pose(-2.0, 0.5, 0.0)
CAMERA = np.array([0.045, 0.0, 0.15])
LIDAR = np.array([-0.032, 0.0, 0.182])
HALF = math.radians(106) / 2


@pytest.fixture(scope="module")
def simulator(master):
    """The room with a TurtleBot3 in the drone's place."""
    with Gazebo(SimulatorOptions(world=ROOM, robot="turtlebot3", seed=1)) as gazebo:
        yield gazebo


def state():
    """Where the robot is at any physics step."""
    return rospy.ServiceProxy("/gazebo/get_model_state", GetModelState)("turtlebot3", "")


def test_stands_on_the_floor_before_anybody_has_placed_it(client):
    """First in this module. The world's file says where a drone hangs: only its place in the plane counts."""
    for _ in range(3):
        pose = client.step().pose
    assert tuple(pose) == pytest.approx((-2.0, 0.0, 0.0, 0.0, 0.0, 0.0), abs=1e-6)


@pytest.mark.parametrize(
    "command, axis, low, high", [(Command(x=0.3), "x", 0.10, 0.22), (Command(yaw=0.9), "yaw", 0.15, 0.35)]
)
def test_step_response(client, command, axis, low, high):
    client.reset(START)
    wanted, speeds = getattr(command, axis), []
    for _ in range(100):
        assert client.raw_step(command, 2).success
        twist = state().twist
        speeds.append(twist.linear.x if axis == "x" else twist.angular.z)
    speeds = np.array(speeds)
    assert low <= 0.01 * (1 + int(np.argmax(speeds >= 0.632 * wanted))) <= high
    assert speeds.max() <= 1.03 * wanted and speeds[-1] == pytest.approx(wanted, rel=0.02)
    grown = np.diff(speeds) / 0.01
    assert grown.max() <= (2.5 if axis == "x" else 3.2) + 0.05


def test_stays_level_on_the_floor_and_does_not_skid(client):
    client.reset(START)
    for _ in range(30):
        sensors = client.step(Command(x=0.3, yaw=0.9))
        assert abs(sensors.pose.z) < 1e-6 and abs(sensors.pose.roll) < 1e-6 and abs(sensors.pose.pitch) < 1e-6
        assert not sensors.contacts  # the floor is none
    assert abs(sensors.twist.linear.y) < 0.02
    assert sensors.twist.linear.x == pytest.approx(0.3, rel=0.02)
    # A circle of v / w: after a whole turn it is back where it was.
    begin, turned = sensors.pose, 0.0
    while turned < 2 * math.pi:
        before = sensors.pose.yaw
        sensors = client.step(Command(x=0.3, yaw=0.9))
        turned += math.remainder(sensors.pose.yaw - before, 2 * math.pi)
    assert math.dist(begin[:2], sensors.pose[:2]) < 0.1


def test_neither_climbs_nor_moves_sideways(client):
    begin = client.reset(START).pose
    for _ in range(20):
        sensors = client.step(Command(y=1.0, z=1.0))
    assert sensors.pose == pytest.approx(begin, abs=1e-6)


def test_a_wall_is_a_contact_and_does_not_throw_it_over(client):
    client.reset(Pose(3.5, 0.5, 0.0))
    touched = [client.step(Command(x=0.3)).contacts for _ in range(40)]
    assert not touched[0] and touched[-1]
    assert touched[-1][0].collision1_name.startswith("turtlebot3::")
    assert touched[-1][0].collision2_name.startswith("east::")
    for _ in range(20):
        sensors = client.step(Command(x=-0.3))
    assert not sensors.contacts and sensors.twist.linear.x == pytest.approx(-0.3, rel=0.05)
    assert max(map(abs, sensors.pose[2:5])) < 1e-3


def test_camera_and_depth_show_the_room(client):
    pose = Pose(1.0, 0.5, 0.0, yaw=0.4)
    sensors = client.reset(pose)
    assert sensors.rgb.shape == (308, 410, 3) and sensors.depth.shape == (120, 160)
    turn = rotation(pose)
    origin = np.array(pose[:3]) + turn @ CAMERA
    for width, row, height in ((410, 154, 308), (160, 59, 120)):
        focal = width / 2 / math.tan(HALF)
        down = (row + 0.5 - height / 2) / focal
        rays = [turn @ np.array([1.0, -(c + 0.5 - width / 2) / focal, -down]) for c in range(width)]
        hits = [cast(origin, ray) for ray in rays]
        if width == 410:
            assert colour_matches(sensors.rgb, [name for _, name in hits]) > 0.98
        else:
            error = np.abs(sensors.depth[row] - [distance for distance, _ in hits])
            assert np.median(error) < 0.005 and np.mean(error < 0.05) > 0.97
    # Below the horizon the floor is near, so that only the upper half may count.
    assert sensors.depth[60:].min() < 0.2 < 1.0 < sensors.depth[:60].min()


def test_lidar_sees_the_walls_and_not_the_robot(client):
    pose = Pose(2.0, 0.7, 0.0, yaw=0.3)
    sensors = client.reset(pose, seed=5)
    turn = rotation(pose)
    origin = np.array(pose[:3]) + turn @ LIDAR
    angles = -math.pi + np.radians(1) * np.arange(360)
    truth = np.array([cast(origin, turn @ np.array([math.cos(a), math.sin(a), 0.0]))[0] for a in angles])
    near = truth < 3.4
    assert near.sum() > 150 and np.abs(sensors.scan - truth)[near].max() < 0.05
    assert np.all(np.isinf(sensors.scan[truth > 3.6]))


def test_the_same_commands_give_the_same_bytes(client):
    def drive():
        client.reset(START, seed=3)
        commands = [Command(x=0.3, yaw=0.5 if i < 10 else -0.5) for i in range(20)]
        return [client.step(command).digest() for command in commands]

    first = drive()
    client.reset(Pose(3.5, 0.5, 0.0))
    for _ in range(30):
        client.step(Command(x=0.3, yaw=0.2))  # into the wall
    assert drive() == first


# The last test of this module.
def test_free_running_follows_the_topic_and_stops_when_it_is_silent(client):
    client.reset(START)
    publisher = rospy.Publisher("/cmd_vel", Twist, queue_size=1)
    wait(publisher.get_num_connections, "the subscriber")
    switch = rospy.ServiceProxy("/gazebo/set_lockstep", SetBool)
    twist = Twist()
    twist.linear.x = 0.3
    assert switch(False).success
    wait(lambda: (publisher.publish(twist), state().twist.linear.x > 0.28)[-1], "the speed that is asked for")
    silent = client.clock[-1]
    wait(lambda: client.clock[-1] >= silent + 3_000_000_000, "three seconds of simulated time")
    speed = state().twist.linear.x
    assert switch(True).success
    assert abs(speed) < 0.01
