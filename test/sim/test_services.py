"""The gazebo_msgs interface, as ROS users know it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import rospy
from geometry_msgs.msg import Pose as PoseMessage
from ros_client import wait
from std_srvs.srv import Empty, SetBool
from tf2_msgs.msg import TFMessage

from gazebo_msgs.msg import ModelState, ModelStates
from gazebo_msgs.srv import (
    DeleteModel,
    GetModelState,
    GetPhysicsProperties,
    GetWorldProperties,
    SetModelState,
    SetPhysicsProperties,
    SpawnModel,
)
from nav_pkg.core import Command, Pose

BOX = """<sdf version="1.6"><model name="box"><pose>0 0 0 0 0 0</pose><link name="link">
<inertial><mass>1</mass></inertial>
<collision name="hull"><geometry><box><size>0.4 0.4 0.4</size></box></geometry></collision>
<visual name="hull"><geometry><box><size>0.4 0.4 0.4</size></box></geometry>
<material><ambient>1 0 1 1</ambient></material></visual></link></model></sdf>"""
HOME = Pose(-2.0, 0.0, 1.0)


@pytest.fixture
def call():
    """Call a service by its name under /gazebo."""
    return lambda name, kind, *args: rospy.ServiceProxy(f"/gazebo/{name}", kind)(*args)


def model_state(name, pose, frame="", forward=0.0):
    state = ModelState(model_name=name, reference_frame=frame)
    q = state.pose.orientation
    state.pose.position.x, state.pose.position.y, state.pose.position.z = pose[:3]
    q.x, q.y, q.z, q.w = pose.quaternion()
    state.twist.linear.x = forward
    return state


def pose_of(reply):
    p, q = reply.pose.position, reply.pose.orientation
    return Pose.from_quaternion((p.x, p.y, p.z), (q.x, q.y, q.z, q.w))


def test_set_and_get_a_model_state(client, call):
    client.reset(HOME)
    pose = Pose(1.0, 0.5, 1.5, 0.0, 0.0, 0.8)
    assert call("set_model_state", SetModelState, model_state("drone", pose, forward=0.3)).success
    reply = call("get_model_state", GetModelState, "drone", "")
    assert reply.success and np.allclose(pose_of(reply), pose, atol=1e-9)
    assert reply.twist.linear.x == pytest.approx(0.3)
    sensors = client.step()
    assert sensors.pose.y == pytest.approx(0.5, abs=0.05) and sensors.pose.yaw == pytest.approx(0.8, abs=0.01)


def test_states_relative_to_another_model(client, call):
    client.reset(Pose(1.0, 1.0, 1.0, 0.0, 0.0, math.pi / 2))
    ahead = model_state("drone", Pose(0.5, 0.0, 0.2, 0.0, 0.0, 0.1), "drone")
    assert call("set_model_state", SetModelState, ahead).success
    assert np.allclose(
        pose_of(call("get_model_state", GetModelState, "drone", "world")),
        Pose(1.0, 1.5, 1.2, 0.0, 0.0, math.pi / 2 + 0.1),
        atol=1e-9,
    )
    reply = call("get_model_state", GetModelState, "drone", "east")
    assert np.allclose(pose_of(reply)[:3], (1.0 - 4.0, 1.5, 1.2 - 1.5), atol=1e-9)
    assert reply.header.frame_id == "east"


def test_unknown_names_are_refused(client, call):
    assert "nothing" in call("get_model_state", GetModelState, "nothing", "").status_message
    assert not call("get_model_state", GetModelState, "drone", "nothing").success
    assert not call("set_model_state", SetModelState, model_state("nothing", HOME)).success
    assert not call("set_model_state", SetModelState, model_state("drone", HOME, "nothing")).success
    bad = model_state("drone", HOME._replace(x=math.nan))
    assert not call("set_model_state", SetModelState, bad).success
    assert not call("delete_model", DeleteModel, "nothing").success
    assert not call("delete_model", DeleteModel, "drone").success
    assert not call("spawn_sdf_model", SpawnModel, "x", "<no/>", "", PoseMessage(), "").success


def test_set_model_state_as_a_topic(client, call):
    client.reset(HOME)
    publisher = rospy.Publisher("/gazebo/set_model_state", ModelState, queue_size=1)
    wait(publisher.get_num_connections, "the subscriber")
    publisher.publish(model_state("drone", Pose(0.5, 0.5, 1.5)))
    wait(
        lambda: abs(pose_of(call("get_model_state", GetModelState, "drone", "")).x - 0.5) < 1e-9,
        "the drone to be where the topic says",
    )
    publisher.unregister()


def test_spawn_see_and_delete(client, call):
    stamp = client.reset(Pose(-2.0, 0.0, 1.0)).stamp
    before = client.step()
    place = PoseMessage()
    place.position.x, place.position.z, place.orientation.w = -1.0, 1.1, 1.0
    reply = call("spawn_sdf_model", SpawnModel, "box_1", BOX, "", place, "")
    assert reply.success, reply.status_message
    assert not call("spawn_sdf_model", SpawnModel, "box_1", BOX, "", place, "").success
    assert "box_1" in call("get_world_properties", GetWorldProperties).model_names
    assert pose_of(call("get_model_state", GetModelState, "box_1", "")).z == 1.1  # no time has passed
    assert client.raw_step(Command(), 0).stamp.to_nsec() == stamp + 100_000_000
    after = client.step()
    assert after.stamp == stamp + 200_000_000
    assert before.depth[45, 80] > 3 and after.depth[45, 80] < 1.2
    reply = call("delete_model", DeleteModel, "box_1")
    assert reply.success, reply.status_message
    assert "box_1" not in call("get_world_properties", GetWorldProperties).model_names
    assert client.step().depth[45, 80] > 3


def test_a_reset_brings_other_models_back(client, call):
    client.reset(HOME)
    place = PoseMessage()
    place.position.x, place.position.z, place.orientation.w = 1.0, 1.5, 1.0
    assert call("spawn_sdf_model", SpawnModel, "box_2", BOX, "", place, "").success
    for _ in range(10):
        client.step()
    assert pose_of(call("get_model_state", GetModelState, "box_2", "")).z < 0.3
    for service in ("reset_world", "reset_simulation"):
        call(service, Empty)
        assert pose_of(call("get_model_state", GetModelState, "box_2", "")).z == 1.5
        assert pose_of(call("get_model_state", GetModelState, "drone", ""))[:3] == (-2.0, 0.0, 0.06)
        for _ in range(3):
            client.step()
    assert call("delete_model", DeleteModel, "box_2").success


def test_world_and_physics_properties(client, call):
    world = call("get_world_properties", GetWorldProperties)
    assert world.success and {"drone", "ground", "north"} <= set(world.model_names)
    old = call("get_physics_properties", GetPhysicsProperties)
    assert old.success and old.time_step == 0.005 and old.gravity.z == -9.8 and not old.pause
    assert old.ode_config.sor_pgs_iters > 0
    new = call("set_physics_properties", SetPhysicsProperties, 0.002, 0.0, old.gravity, old.ode_config)
    assert new.success, new.status_message
    assert call("get_physics_properties", GetPhysicsProperties).time_step == 0.002
    begin = client.reset(HOME).stamp
    assert client.raw_step(Command(), 50).stamp.to_nsec() == begin + 100_000_000
    assert not call(
        "set_physics_properties", SetPhysicsProperties, 0.0, 0.0, old.gravity, old.ode_config
    ).success
    odd = call("set_physics_properties", SetPhysicsProperties, 0.003, 0.0, old.gravity, old.ode_config)
    assert not odd.success and "divide" in odd.status_message
    call("set_physics_properties", SetPhysicsProperties, 0.005, 0.0, old.gravity, old.ode_config)
    client.reset(HOME)


def test_pause_stops_free_running_time(client, call):
    client.reset(HOME)
    call("pause_physics", Empty)
    assert client.step().stamp  # lock-step goes on: it stands still between steps anyway
    assert call("set_lockstep", SetBool, False).success
    assert call("get_physics_properties", GetPhysicsProperties).pause
    now = [call("get_world_properties", GetWorldProperties).sim_time for _ in range(2)]
    assert now[0] == now[1]
    assert call("set_model_state", SetModelState, model_state("drone", HOME)).success
    call("unpause_physics", Empty)
    wait(lambda: call("get_world_properties", GetWorldProperties).sim_time > now[1] + 0.5, "the time to pass")
    assert call("set_lockstep", SetBool, True).success
    client.reset(HOME)


def test_model_states_and_frames(client):
    states, frames = [], []
    subscribers = [
        rospy.Subscriber("/gazebo/model_states", ModelStates, states.append),
        rospy.Subscriber("/tf", TFMessage, frames.append),
        rospy.Subscriber("/tf_static", TFMessage, frames.append),
    ]
    wait(lambda: all(s.get_num_connections() for s in subscribers), "all publishers")
    client.reset(Pose(-1.0, 0.5, 1.0))
    for _ in range(100):
        client.step(Command(x=0.5))
        if len(states) > 2 and len(frames) > 3:
            break
    for subscriber in subscribers:
        subscriber.unregister()
    index = states[-1].name.index("drone")
    assert states[-1].pose[index].position.y == pytest.approx(0.5, abs=0.05)
    edges = {(t.header.frame_id, t.child_frame_id) for message in frames for t in message.transforms}
    assert edges == {
        ("world", "base_link"),
        ("base_link", "camera_link"),
        ("camera_link", "camera_optical_frame"),
        ("base_link", "laser"),
    }
