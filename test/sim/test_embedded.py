"""The embedded simulator alone: the same bytes for a seed, exact rays and contacts, clear refusals."""

from __future__ import annotations

import ctypes.util
import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import embedded_golden as golden
import numpy as np
import pytest
from embedded_flight import OPTIONS, flight

from nav_pkg.core import CONTROL_PERIOD_NS, ROOT, Command, DataError, Pose, SimulatorError, UsageError
from nav_pkg.sim.description import SimulatorOptions
from nav_pkg.sim.embedded import building, robot_description
from nav_pkg.sim.embedded.physics import Physics
from nav_pkg.sim.embedded.simulator import EmbeddedSimulator
from nav_pkg.world import load_plan

HERE = Path(__file__).parent
PLAN = load_plan("esatv3")
STILL = [(Command(), CONTROL_PERIOD_NS)]


@pytest.fixture(scope="module")
def world():
    return building.read(PLAN)


@pytest.fixture(scope="module")
def robot():
    return robot_description.read(OPTIONS)


@pytest.fixture
def physics(world, robot):
    return Physics(world, robot, 0.005)


@pytest.fixture
def embedded():
    with EmbeddedSimulator(OPTIONS) as simulator:
        yield simulator


def process(*words, **environment):
    """Run Python in another process: (exit code, its output)."""
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        env=dict(os.environ, PYTHONPATH=path, **environment),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    return done.returncode, (done.stdout + done.stderr).strip()


def test_a_seed_gives_the_same_bytes(embedded):
    first = flight(embedded)
    embedded.reset(Pose(-20.0, -4.0, 1.4, 0.3, 0.1, 2.0), seed=3)
    embedded.step([(Command(2.0, -1.0, 1.0, 2.0), CONTROL_PERIOD_NS)])
    assert flight(embedded) == first
    assert flight(embedded, seed=8) != first
    embedded.close()
    assert process(HERE / "embedded_flight.py") == (0, first)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        assert process(HERE / "embedded_flight.py", LP_NUM_THREADS="2") == (0, first)
    finally:
        busy.kill()
        busy.wait()


def test_two_in_a_process_do_not_disturb_each_other(embedded):
    alone = [embedded.reset(Pose(-20.0, -3.0, 1.0), 0).rgb, embedded.step(STRAIGHT).rgb]
    with EmbeddedSimulator(OPTIONS) as other:
        both = [embedded.reset(Pose(-20.0, -3.0, 1.0), 0).rgb]
        assert np.array_equal(other.reset(Pose(-20.0, -3.0, 1.0), 0).rgb, alone[0])
        both.append(embedded.step(STRAIGHT).rgb)
        assert np.array_equal(other.step(STRAIGHT).rgb, alone[1])
    assert all(map(np.array_equal, both, alone))
    assert np.array_equal(embedded.reset(Pose(-20.0, -3.0, 1.0), 0).rgb, alone[0])
    embedded.close()
    embedded.close()


STRAIGHT = [(Command(0.8), CONTROL_PERIOD_NS)]
TRY = """
from nav_pkg.sim.embedded import context
try:
    print(context.create()[1])
except context.UsageError as error:
    print(error)
"""


def test_without_opengl_one_line_says_what_to_install():
    code, text = process("-c", TRY, NAV_PKG_GL="egl", GLCONTEXT_LINUX_LIBEGL="/nowhere/libEGL.so.1")
    assert code == 0 and "\n" not in text and "no OpenGL 3.3" in text and "apt-get install libegl1" in text
    code, text = process("-c", TRY, NAV_PKG_GL="glx")
    assert code == 0 and text == "NAV_PKG_GL is 'glx'; it has to be egl or osmesa"


def test_osmesa_takes_the_place_of_egl_with_the_same_bytes(embedded):
    expected = flight(embedded)
    missing = {"GLCONTEXT_LINUX_LIBEGL": "/nowhere/libEGL.so.1"}
    code, text = process("-c", TRY, **missing)
    if ctypes.util.find_library("OSMesa") is None and text != "osmesa":
        assert code == 0 and "egl: " in text and "osmesa: no libOSMesa.so.8" in text and "apt-get" in text
        pytest.skip("no OSMesa here (apt-get install libosmesa6)")
    assert (code, text) == (0, "osmesa")
    assert process(HERE / "embedded_flight.py", **missing) == (0, expected)


@pytest.fixture
def own_copy(tmp_path, monkeypatch):
    """A copy of the world's files that a test may damage."""
    source = building.world_folder(PLAN)
    for part in ("meshes", "materials/textures"):
        shutil.copytree(source / "models" / PLAN.name / part, tmp_path / "models" / PLAN.name / part)
    monkeypatch.setattr(building, "world_folder", lambda plan: tmp_path)
    return tmp_path / "models" / PLAN.name


@pytest.mark.parametrize("name, damage", [
    ("materials/textures/esatv3_floor.jpg", lambda path: path.unlink()),
    ("materials/textures/esatv3_floor.jpg", lambda path: path.write_bytes(b"\xff\xd8 no picture")),
    ("materials/textures/esatv3_floor.jpg", lambda path: path.write_bytes(path.read_bytes()[:5000])),
    ("meshes/floor.dae", lambda path: path.write_bytes(path.read_bytes()[:60000])),
    ("meshes/collision.dae", lambda path: path.write_bytes(path.read_bytes()[:-400])),
    ("meshes/collision.dae", lambda path: path.write_bytes(b"\xff\xfe\x00")),
])  # fmt: skip
def test_a_damaged_world_is_one_clear_line(own_copy, name, damage):
    building.read(PLAN)
    damage(own_copy / name)
    with pytest.raises(DataError) as caught:
        building.read(PLAN)
    assert (
        name in str(caught.value) and "\n" not in str(caught.value) and "make_world.py" in str(caught.value)
    )


@pytest.mark.parametrize("old, new, complaint", [
    ("</model>", "<link name='second'/></model>", "one link with one box"),
    ("<size>0.35 0.35 0.1</size>", "<size>0.35 0.35</size>", "<size> is '0.35 0.35'"),
    ('<collision name="hull">', '<collision name="second"/><collision name="hull">', "one link with one box"),
    ("<sphere><radius>0.035</radius></sphere>", "<mesh><uri>a.dae</uri></mesh>", "'nose' is not a box"),
    ("<radius>0.035</radius>", "<radius>thin</radius>", "visual 'nose': <geometry/sphere/radius> is 'thin'"),
    ("<mass>0.5</mass>", "<mass>light</mass>", "<inertial/mass> is 'light'"),
])  # fmt: skip
def test_a_robot_that_only_gazebo_simulates_is_named(tmp_path, old, new, complaint):
    model = (ROOT / "models" / "drone" / "model.sdf").read_text()
    assert old in model
    (tmp_path / "model.sdf").write_text(model.replace(old, new))
    robot = (ROOT / "config" / "robot" / "drone.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(
        robot.replace("models/drone/model.sdf", str(tmp_path / "model.sdf")).replace(
            "name: drone", "name: mine"
        )
    )
    with pytest.raises((DataError, UsageError), match=complaint):
        robot_description.read(dataclasses.replace(OPTIONS, robot=str(tmp_path / "mine.yaml")))


def free_poses(count, seed, height=None):
    """Poses on the free floor."""
    rng = np.random.default_rng(seed)
    while count:
        at = PLAN.route.pose_at(rng.uniform(0, PLAN.route.length))
        x, y = at.x + rng.uniform(-1, 1), at.y + rng.uniform(-1, 1)
        z = rng.uniform(0.3, 2.2) if height is None else height
        if PLAN.inside(x, y, z) and PLAN.clearance(x, y, z) > 0.2:
            count -= 1
            yield Pose(x, y, z, 0.0, 0.0, rng.uniform(-math.pi, math.pi))


def test_rays_end_where_the_plan_says(physics, robot):
    lidar = dataclasses.replace(robot.lidar, noise=0.0)
    angles = lidar.first + lidar.step * np.arange(lidar.rays)
    returned, errors = 0, []
    for pose in free_poses(60, 1):
        physics.place(pose)
        scan = physics.scan(lidar, 0, 0)
        x = pose.x + math.cos(pose.yaw) * lidar.pose.x - math.sin(pose.yaw) * lidar.pose.y
        y = pose.y + math.sin(pose.yaw) * lidar.pose.x + math.cos(pose.yaw) * lidar.pose.y
        truth = PLAN.ray_cast([(x, y)], pose.yaw + angles, height=pose.z + lidar.pose.z)[0]
        near = np.isfinite(scan)
        assert np.array_equal(near, truth < lidar.range_max)
        errors.extend(np.abs(scan[near] - np.maximum(truth[near], lidar.range_min)))
        returned += near.sum()
    assert returned > 10000 and max(errors) < 1e-6


def mix(x):
    """SplitMix64's output function."""
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def gaussian(seed, frame, ray):
    """src/core/noise.h once more."""
    key = mix(mix(mix(seed) ^ frame) ^ ray)
    u = ((mix(key) >> 11) + 1) / 2**53
    v = (mix(key ^ 0x5851F42D4C957F2D) >> 11) / 2**53
    return math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)


def test_the_noise_of_a_scan_depends_on_seed_frame_and_ray_only(physics, robot):
    lidar = robot.lidar
    assert lidar.noise == 0.01
    physics.place(Pose(-20.0, -4.0, 1.0))
    exact = physics.scan(dataclasses.replace(lidar, noise=0.0), 0, 0).astype(np.float64)
    for seed, frame in ((5, 0), (5, 17), (2**64 - 1, 3)):
        noisy = physics.scan(lidar, seed, frame)
        wanted = exact + [0.01 * gaussian(seed, frame, ray) for ray in range(lidar.rays)]
        inner = np.isfinite(exact) & (wanted < lidar.range_max - 1e-6) & (wanted > lidar.range_min + 1e-6)
        assert inner.sum() > 100 and np.abs(noisy[inner] - wanted[inner]).max() < 1e-6
        assert np.array_equal(np.isfinite(noisy), np.isfinite(exact) & (wanted < lidar.range_max))


@pytest.mark.parametrize("yaw, reach", [(0.0, 0.175), (math.pi / 4, 0.175 * math.sqrt(2))])
def test_the_hull_touches_a_wall_at_its_size(physics, yaw, reach):
    # The longest wall from the floor to the ceiling; the free floor lies to its left.
    tall = [wall for wall in PLAN.walls if wall.top - wall.bottom > 2.4]
    wall = max(tall, key=lambda wall: math.dist(wall.start, wall.end))
    start, end = np.array(wall.start), np.array(wall.end)
    along = (end - start) / np.linalg.norm(end - start)
    inwards = np.array([-along[1], along[0]])
    heading = math.atan2(along[1], along[0]) + yaw
    for gap, touches in ((-0.001, True), (0.001, False), (0.5, False)):
        x, y = (start + end) / 2 + inwards * (reach + gap)
        physics.place(Pose(x, y, 1.0, yaw=heading))
        assert bool(physics.advance(Command(), 1)) == touches, gap


@pytest.mark.parametrize("height, touches", [(0.049, True), (0.06, False), (2.44, False), (2.451, True)])
def test_the_hull_touches_floor_and_ceiling(physics, height, touches):
    physics.place(Pose(-20.0, -4.0, height))
    assert bool(physics.advance(Command(), 1)) == touches


def test_images_are_the_same_with_and_without_hidden_triangles(embedded):
    rng = np.random.default_rng(5)
    renderer, view = embedded._renderer, embedded._view
    left_out = 0
    for index in range(240):
        at = PLAN.route.pose_at(rng.uniform(0, PLAN.route.length))
        spread = (1.2, 1.2, 8.0)[index % 3]  # a third of them mostly in walls and outside
        pose = Pose(
            at.x + rng.uniform(-spread, spread),
            at.y + rng.uniform(-spread, spread),
            rng.uniform(0.1, 2.3),
            *np.radians(rng.uniform(-20, 20, 2)),
            rng.uniform(-math.pi, math.pi),
        )
        body = np.array([*pose[:3], *pose.quaternion()])
        renderer.culling = True
        rgb, depth = view.render(body)
        left_out += renderer._ends[-1] < 0.5 * len(renderer._triangles)
        renderer.culling = False
        all_rgb, all_depth = view.render(body)
        assert np.array_equal(rgb, all_rgb) and np.array_equal(depth, all_depth), pose
    assert left_out > 120


def test_side_cameras_see_the_rotors_and_the_first_camera_does_not():
    _, found = golden.images("drone_recovery")
    for name, image in found.items():
        if image.ndim == 3:
            red = (image == (153, 20, 16)).all(axis=-1).sum()
            assert red == (0 if name.endswith("rgb") else 161), name


@pytest.mark.parametrize("robot_name", golden.ROBOTS)
def test_images_are_those_of_the_golden_file(robot_name):
    """Exact with the same OpenGL driver. Another may round otherwise: nearly the same, with a warning."""
    content = json.loads(golden.FILE.read_text())
    driver, found = golden.images(robot_name)
    assert set(found) == set(content["images"][robot_name])
    for name, image in found.items():
        expected = content["images"][robot_name][name]
        wanted, seen = np.array(expected["coarse"]), golden.coarse(image)
        limit = 1.5 if image.ndim == 3 else 0.01 + 0.002 * wanted
        assert (np.abs(seen - wanted) <= limit).all(), f"{name}: {np.abs(seen - wanted).max()}"
        if driver == content["driver"]:
            assert golden.digest(image) == expected["sha256"], f"{name} has other bytes than before"
    if driver != content["driver"]:
        warnings.warn(
            f"compared roughly only: the golden images are of {content['driver']}, this is {driver}",
            stacklevel=1,
        )


def test_bad_use_is_refused(embedded):
    with pytest.raises(SimulatorError, match="step before the first reset"):
        embedded.step(STILL)
    with pytest.raises(SimulatorError, match="start pose is not finite"):
        embedded.reset(Pose(math.nan, 0, 1), 0)
    embedded.reset(Pose(0, 0, 1.0), 0)
    with pytest.raises(SimulatorError, match="command is not finite"):
        embedded.step([(Command(x=math.inf), CONTROL_PERIOD_NS)])
    with pytest.raises(SimulatorError, match="no multiple of the physics step"):
        embedded.step([(Command(), CONTROL_PERIOD_NS + 1)])
    embedded.close()
    for use in (lambda: embedded.step(STILL), embedded.image, lambda: embedded.reset(Pose(0, 0, 1.0), 0)):
        with pytest.raises(SimulatorError, match="the simulator is closed"):
            use()
    with pytest.raises(UsageError, match="use --simulator gazebo"):
        EmbeddedSimulator(SimulatorOptions(lockstep=False))
