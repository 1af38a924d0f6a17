"""How the drone flies, measured in Gazebo."""

from __future__ import annotations

import math

import numpy as np
import pytest
import rospy

from gazebo_msgs.srv import GetModelState
from nav_pkg.core import Command, Pose

START = Pose(-2.0, 0.5, 1.2)
FINE = 2  # physics steps between samples (10 ms)


@pytest.fixture(scope="module")
def state(client):
    """The drone's state at any physics step, from the service."""
    service = rospy.ServiceProxy("/gazebo/get_model_state", GetModelState, persistent=True)
    yield lambda: service("drone", "")
    service.close()


def response(client, state, command, seconds):
    """Velocity in the world frame (x, y, z, yaw rate) and tilt (rad) every 10 ms after a step command."""
    client.reset(START)
    samples = []
    for _ in range(int(seconds / 0.01)):
        reply = client.raw_step(command, FINE)
        assert reply.success, reply.message
        now = state()
        v, q = now.twist.linear, now.pose.orientation
        up = 1 - 2 * (q.x * q.x + q.y * q.y)
        samples.append([v.x, v.y, v.z, now.twist.angular.z, math.acos(max(-1.0, min(1.0, up)))])
    return np.array(samples)


@pytest.mark.parametrize(
    "axis, command, low, high",
    [
        (0, Command(x=0.8), 0.22, 0.38),
        (1, Command(y=0.5), 0.22, 0.38),
        (2, Command(z=0.5), 0.10, 0.33),
        (3, Command(yaw=1.0), 0.10, 0.20),
    ],
)
def test_step_response_is_of_first_order(client, state, axis, command, low, high):
    wanted = command[axis]
    velocity = response(client, state, command, 1.5)[:, axis]
    time_63 = 0.01 * (1 + int(np.argmax(velocity >= 0.632 * wanted)))
    assert low <= time_63 <= high
    assert velocity.max() <= 1.03 * wanted
    assert abs(velocity[-1] - wanted) < 0.02 * wanted


def test_leans_when_it_accelerates_and_is_level_when_it_cruises(client, state):
    tilt = response(client, state, Command(x=0.8), 2.0)[:, 4]
    assert math.degrees(tilt.max()) > 8
    assert math.degrees(tilt[-1]) < 0.5


def test_hovers_on_the_spot(client):
    begin = client.reset(START).pose
    for _ in range(100):
        end = client.step().pose
    assert math.dist(begin[:3], end[:3]) < 0.02
    assert abs(end.yaw - begin.yaw) < 0.01


def test_holds_height_while_it_flies_and_turns(client):
    client.reset(Pose(-3.0, 0.5, 1.2))
    heights = [client.step(Command(x=0.8, yaw=0.5)).pose.z for _ in range(20)]
    assert max(abs(z - 1.2) for z in heights) < 0.03


def test_does_not_skid_in_a_curve(client):
    client.reset(Pose(-2.0, 0.0, 1.2))
    for _ in range(20):
        sensors = client.step(Command(x=0.8, yaw=1.0))
    assert abs(sensors.twist.linear.y) < 0.1
    assert sensors.twist.linear.x == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("yaw", [0.0, 0.5, math.pi / 2, 2.5, -3.0, -1.0])
def test_a_teleport_turns_by_the_whole_angle(client, yaw):
    pose = Pose(-1.0, 0.3, 1.5, 0.1, -0.2, yaw)
    sensors = client.reset(pose)
    assert np.allclose(sensors.pose, pose, atol=1e-9)
    assert np.allclose(np.abs(np.dot(sensors.quaternion, pose.quaternion())), 1.0, atol=1e-12)
    t = sensors.twist
    assert [t.linear.x, t.linear.y, t.linear.z, t.angular.x, t.angular.y, t.angular.z] == [0.0] * 6


def test_commands_are_in_the_heading_frame(client):
    client.reset(Pose(0.0, 0.0, 1.0, 0.0, 0.0, math.pi / 2))
    for _ in range(15):
        sensors = client.step(Command(x=0.5))
    assert sensors.pose.y > 0.4 and abs(sensors.pose.x) < 0.02
    assert abs(sensors.twist.linear.x - 0.5) < 0.02  # the twist is in the body frame


@pytest.mark.parametrize(
    "command", [Command(x=2.0), Command(x=1.0, y=-1.0, z=-1.0), Command(z=-2.0, yaw=2.0)]
)
def test_flies_on_after_a_collision(client, command):
    client.reset(Pose(2.5, 0.5, 0.8))
    touched = False
    for _ in range(40):
        sensors = client.step(command)
        touched = touched or bool(sensors.contacts)
        assert all(map(math.isfinite, sensors.pose))
        assert max(abs(sensors.pose.roll), abs(sensors.pose.pitch)) < 1.2
        assert sensors.pose.z > 0 and sensors.pose.x < 4 and sensors.pose.y > -2
    assert touched
    for _ in range(30):
        sensors = client.step(Command(x=-0.5, z=0.2))
    assert abs(sensors.pose.roll) < 0.05 and abs(sensors.pose.pitch) < 0.05
    assert sensors.twist.linear.x == pytest.approx(-0.5, abs=0.05)


def test_turns_over_when_it_lies_on_its_back(client):
    client.reset(Pose(0.0, 0.0, 2.5, math.pi, 0.0, 0.0))
    for _ in range(30):
        sensors = client.step()
    assert abs(sensors.pose.roll) < 0.05 and abs(sensors.pose.pitch) < 0.05


def test_contacts_name_what_was_touched(client):
    assert not client.reset(Pose(3.0, 0.0, 1.0)).contacts
    names = set()
    for _ in range(20):
        names |= {state.collision2_name for state in client.step(Command(x=1.0)).contacts}
    assert names == {"east::link::wall"}
    for _ in range(30):
        states = client.step(Command(x=-1.0, z=-1.0)).contacts
    assert {state.collision2_name for state in states} == {"ground::link::floor"}
    assert {state.collision1_name for state in states} == {"drone::base_link::hull"}
    assert states[0].total_wrench.force.z > 0  # the floor carries it
