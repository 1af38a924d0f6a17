"""Side cameras in robot files, and in the world that is made of one."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from nav_pkg.core import DataError
from nav_pkg.sim.cameras import side_cameras
from nav_pkg.sim.description import ROOT, SimulatorOptions, compose, read_robot

ROOM = str(Path(__file__).parent / "room.world")


def world_of(robot, **options):
    return ElementTree.fromstring(compose(SimulatorOptions(world=ROOM, robot=robot, **options))).find("world")


@pytest.mark.parametrize("robot, degrees", [("drone_recovery", 30), ("drone_recovery_60", 60)])
def test_the_model_has_three_cameras_at_one_place(robot, degrees):
    world = world_of(robot, width=160, height=90, rate=20)
    sensors = [sensor for sensor in world.iter("sensor") if sensor.get("type") == "camera"]
    poses = {s.get("name"): [float(word) for word in s.findtext("pose").split()] for s in sensors}
    turn = math.radians(degrees)
    assert poses["camera"] == [0.1, 0, 0.1, 0, 0, 0]
    assert poses["camera_left"] == pytest.approx([0.1, 0, 0.1, 0, 0, turn])
    assert poses["camera_right"] == pytest.approx([0.1, 0, 0.1, 0, 0, -turn])
    for sensor in sensors:
        assert sensor.findtext("camera/image/width") == "160" and sensor.findtext("update_rate") == "20"
    (plugin,) = world.findall("plugin")
    settings = [[child.text for child in camera] for camera in plugin.findall("camera")]
    assert settings == [
        [
            f"camera_{name}",
            f"/camera_{name}/rgb/image_raw",
            f"/camera_{name}/rgb/camera_info",
            f"camera_{name}_link",
            f"camera_{name}_optical_frame",
        ]
        for name in ("left", "right")
    ]


def test_the_ordinary_drone_has_one():
    world = world_of("drone")
    assert [s.get("name") for s in world.iter("sensor")] == ["camera", "lidar"]
    assert world.find("plugin/camera") is None


def test_a_base_is_put_under_its_file(tmp_path):
    drone, recovery, wide = (read_robot(name) for name in ("drone", "drone_recovery", "drone_recovery_60"))
    assert recovery["topics"] == drone["topics"] and "base" not in recovery
    assert [camera.yaw for camera in side_cameras(wide)] == [60, -60]
    assert side_cameras(wide)[0].rgb == side_cameras(recovery)[0].rgb == "/camera_left/rgb/image_raw"
    own = tmp_path / "own.yaml"
    own.write_text(f"base: {own}\nname: own\n")
    with pytest.raises(DataError, match="is its own 'base'"):
        read_robot(str(own))


@pytest.mark.parametrize(
    "cameras, words",
    [
        ({"left": {"yaw": -30}}, "cameras/left/yaw is -30; it has to be above 0"),
        ({"right": {"yaw": 30}}, "cameras/right/yaw is 30; it has to be at least -90"),
        ({"left": {"yaw": 120}}, "at most 90"),
        ({"left": {}}, "yaw is None"),
        ({"left": {"yaw": True}}, "yaw is True"),
        ({"left": 30}, "cameras/left is 30"),
        ({"lift": {"yaw": 30}}, "did you mean 'left'"),
        ({"left": {"yaw": 30, "rbg": "/x"}}, "did you mean 'rgb'"),
        ([30], "has to map left and right"),
    ],
)
def test_entries_that_can_not_be(tmp_path, cameras, words):
    content = dict(read_robot("drone"), name="odd", cameras=cameras)
    file = tmp_path / "odd.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(DataError, match=words):
        compose(SimulatorOptions(world=ROOM, robot=str(file)))


def test_a_model_without_camera_can_not_have_them(tmp_path):
    text = (ROOT / "models" / "drone" / "model.sdf").read_text()
    (tmp_path / "blind.sdf").write_text(text.replace('type="camera"', 'type="altimeter"'))
    content = dict(read_robot("drone_recovery"), model=str(tmp_path / "blind.sdf"))
    (tmp_path / "blind.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(DataError, match="no camera"):
        compose(SimulatorOptions(world=ROOM, robot=str(tmp_path / "blind.yaml")))
