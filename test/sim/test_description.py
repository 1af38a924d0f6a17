"""A run's world file, made of a world, a robot and options."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nav_pkg.core import DataError, UsageError
from nav_pkg.sim import description
from nav_pkg.sim.description import ROOT, SimulatorOptions, compose
from nav_pkg.world import load_plan, making
from nav_pkg.world.plan_file import PLANS

ROOM = str(Path(__file__).parent / "room.world")


def composed(**options):
    return ElementTree.fromstring(compose(SimulatorOptions(world=ROOM, **options))).find("world")


def test_the_robot_stands_where_the_world_says():
    world = composed()
    assert world.find("include") is None
    (robot,) = [model for model in world.findall("model") if model.get("name") == "drone"]
    assert robot.findtext("pose") == "-2 0 0.06 0 0 0"
    link = robot.find("link")
    inertia = {key: float(link.findtext(f"inertial/inertia/{key}")) for key in ("ixx", "iyy", "izz")}
    assert float(link.findtext("inertial/mass")) == 0.5
    assert inertia == {"ixx": 0.01152, "iyy": 0.01152, "izz": 0.0218}


def test_options_reach_camera_plugin_and_physics():
    world = composed(
        width=160, height=120, rate=20.0, depth_width=80, depth_height=60, physics_step=0.01, seed=7
    )
    camera = next(sensor for sensor in world.iter("sensor") if sensor.get("type") == "camera")
    assert camera.findtext("camera/image/width") == "160" and camera.findtext("camera/image/height") == "120"
    assert {sensor.findtext("update_rate") for sensor in world.iter("sensor")} == {"20"}
    (plugin,) = world.findall("plugin")
    values = {
        key: plugin.findtext(key) for key in ("depth_width", "depth_height", "seed", "lockstep", "robot")
    }
    assert values == dict(depth_width="80", depth_height="60", seed="7", lockstep="true", robot="drone")
    assert plugin.findtext("topics/rgb") == "/camera/rgb/image_raw"
    assert world.findtext("physics/max_step_size") == "0.01"
    assert world.findtext("physics/real_time_update_rate") == "0"


def test_real_time_is_for_free_running():
    assert composed(lockstep=False, real_time=True).findtext("physics/real_time_update_rate") == "200"
    assert composed(lockstep=False).findtext("physics/real_time_update_rate") == "0"
    assert composed(lockstep=True, real_time=True).findtext("physics/real_time_update_rate") == "0"


def test_no_depth_images():
    (plugin,) = composed(depth_width=0).findall("plugin")
    assert plugin.findtext("depth_width") == plugin.findtext("depth_height") == "0"


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(seed=-1), "--seed"),
        (dict(width=3), "--width has to be 16 to 4096"),
        (dict(rate=0.0001), "--rate"),
        (dict(physics_step=0.5), "--physics_step"),
        (dict(physics_step=0.003), "does not divide"),
        (dict(depth_height=-1), "--depth_height"),
        (dict(robot="drome"), "did you mean 'drone'"),
        (dict(robot="/nowhere/x.yaml"), "unknown robot"),
    ],
)
def test_options_that_can_not_be(options, words):
    with pytest.raises(UsageError, match=words):
        composed(**options)


@pytest.mark.parametrize(
    "world, words", [("esatv4", "unknown world 'esatv4'"), ("/no/such.world", "no world file")]
)
def test_unknown_worlds(world, words):
    with pytest.raises(UsageError, match=words):
        compose(SimulatorOptions(world=world))


@pytest.mark.parametrize(
    "text, words",
    [
        ("<sdf version='1.6'>\n<world name='w'>\n<model></sdf>", "bad.world, line 3, column"),
        ("<sdf version='1.6'/>", "not an SDF world"),
        ("", "line 1"),
    ],
)
def test_worlds_that_do_not_parse(tmp_path, text, words):
    path = tmp_path / "bad.world"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        compose(SimulatorOptions(world=str(path)))


@pytest.mark.parametrize(
    "text, words",
    [
        ("{", "is not YAML"),
        ("name: x", "no 'topics'"),
        ("topics: {rgb: /a}", "no 'name'"),
        ("topics: {rgb: /a}\nname: x\nmodel: models/none.sdf", "cannot read the robot model"),
    ],
)
def test_robot_files_that_can_not_be_used(tmp_path, text, words):
    path = tmp_path / "robot.yaml"
    path.write_text(text)
    with pytest.raises((DataError, UsageError), match=words):
        compose(SimulatorOptions(world=ROOM, robot=str(path)))


def test_the_plugin_knows_every_topic_and_frame_of_the_robot_file():
    import yaml

    known = (ROOT / "src" / "config.cpp").read_text()
    content = yaml.safe_load((ROOT / "config" / "robot" / "drone.yaml").read_text())
    for group in ("topics", "frames"):
        for key in content[group]:
            assert f'Take({group}, "{key}"' in known


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A checkout in which esatv3 is made, of a few files, and a cache of the test's own."""
    monkeypatch.setattr(
        making,
        "generate",
        lambda plan: {
            f"worlds/{plan.name}.world": f"<sdf>model://{plan.name}</sdf>".encode(),
            f"models/{plan.name}/model.sdf": b"<sdf/>",
        },
    )
    monkeypatch.setattr(description, "ROOT", tmp_path / "checkout")
    monkeypatch.setenv("NAV_PKG_WORLDS", str(tmp_path / "cache"))
    for function in (description._generated_world, description._check_world):
        function.cache_clear()
    making.make(load_plan("esatv3"), tmp_path / "checkout")
    yield tmp_path
    for function in (description._generated_world, description._check_world):
        function.cache_clear()


def test_a_world_that_is_not_what_its_plan_gives_is_refused(made):
    world = made / "checkout" / "worlds" / "esatv3.world"
    assert description.find_world("esatv3") == world
    description._check_world.cache_clear()
    (made / "checkout" / "models" / "esatv3" / "model.sdf").write_text("<sdf>longer</sdf>")
    with pytest.raises(DataError, match=r"model\.sdf has been changed\); run make_world.py esatv3"):
        description.find_world("esatv3")
    world.unlink()
    with pytest.raises(UsageError, match="is not made yet; make it with scripts/make_world.py esatv3"):
        description.find_world("esatv3")


def test_worlds_that_the_package_does_not_bring_are_made_in_the_cache(made):
    before = sorted((made / "checkout").rglob("*"))
    raw = json.loads((PLANS / "esatv3.json").read_text())
    (made / "longer.json").write_text(json.dumps({**raw, "name": "longer"}))
    for world, name in (
        ("esatv3+7", "esatv3+7"),
        (f"{made}/longer.json", "longer"),
        (f"{made}/longer.json+7", "longer+7"),
    ):
        world_file = description.find_world(world)
        assert made / "cache" in world_file.parents and f"model://{name}<" in world_file.read_text()
        assert description.model_folder(world) == world_file.parents[1] / "models"
    first = description.find_world(f"{made}/longer.json")
    (made / "longer.json").write_text(json.dumps({**raw, "name": "longer", "title": "Another"}))
    assert description.find_world(f"{made}/longer.json") not in (first, None)
    assert sorted((made / "checkout").rglob("*")) == before
    for world, problem in (
        ("esatv3+x", r"behind the \+ stands the seed of its textures"),
        ("esat+7", r"unknown world 'esat\+7'"),
        (f"{made}/none.json", "cannot read the floor plan"),
    ):
        with pytest.raises(UsageError, match=problem):
            description.find_world(world)
