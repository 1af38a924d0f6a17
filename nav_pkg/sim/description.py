"""Composes the world file of a run: one SDF text from a world, a robot and the plugin's settings.

The robot's model replaces its <include>. Camera size, rates and the physics step are therefore those of the
run, and no file in the checkout changes.
"""

from __future__ import annotations

import copy
import functools
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Union
from xml.etree import ElementTree

from nav_pkg import schemas
from nav_pkg.core import ROOT, DataError, UsageError, nearest_name
from nav_pkg.reading import read_yaml
from nav_pkg.sim import cameras
from nav_pkg.sim.network import LOOPBACK, check_address
from nav_pkg.world import known_worlds, load_plan
from nav_pkg.world.making import check_made, ensure
from nav_pkg.world.plan_file import is_plan_file, split_name

PLUGIN = "libnav_pkg_gazebo.so"


@dataclass(frozen=True)
class SimulatorOptions:
    """Settings of a simulator.

    Attributes:
        world: name of a world (worlds/NAME.world), or path of a plan file or world file.
        robot: name of a robot (config/robot/NAME.yaml) or path of a robot file.
        seed: of Gazebo's random numbers, and of sensor noise until the first reset.
        width, height: of the camera, pixels; None: those of the robot file.
        rate: of all sensors, Hz; None: that of the robot file.
        depth_width, depth_height: of the depth image, pixels; 0: no depth image; None: those of the robot
            file.
        physics_step: seconds; the sensors' period has to be a multiple of it.
        lockstep: simulated time advances only by /gazebo/step; otherwise it runs freely.
        real_time: only without lockstep: run in real time, not as fast as possible.
        gui: show Gazebo's window on the current X display.
        listen: IPv4 address of this machine that the simulator listens on.
    """

    world: str = "esatv3"
    robot: str = "drone"
    seed: int = 0
    width: Optional[int] = None
    height: Optional[int] = None
    rate: Optional[float] = None
    depth_width: Optional[int] = None
    depth_height: Optional[int] = None
    physics_step: float = 0.005
    lockstep: bool = True
    real_time: bool = False
    gui: bool = False
    listen: str = LOOPBACK

    def check(self) -> None:
        """Check all values; raise UsageError for an invalid one."""
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"--seed has to be 0 to {2**32 - 1}, not {self.seed}")
        for flag in ("width", "height"):
            value = getattr(self, flag)
            if value is not None and not 16 <= value <= 4096:
                raise UsageError(f"--{flag} has to be 16 to 4096 pixels, not {value}")
        for flag in ("depth_width", "depth_height"):
            value = getattr(self, flag)
            if value is not None and not 0 <= value <= 4096:
                raise UsageError(f"--{flag} has to be 0 (no depth images) to 4096 pixels, not {value}")
        if self.rate is not None and not 0.1 <= self.rate <= 200:
            raise UsageError(f"--rate has to be 0.1 to 200 Hz, not {self.rate}")
        if not 0.0001 <= self.physics_step <= 0.02:
            raise UsageError(f"--physics_step has to be 0.0001 to 0.02 s, not {self.physics_step}")
        check_address(self.listen)


def find_world(world: str) -> Path:
    """Find the file of a world, and generate it if necessary.

    A world of the package is in worlds/ and must match its floor plan. A world with other textures
    (NAME+SEED), or of a plan file elsewhere, is generated in the user's cache if it is not there (4 s).

    Raises:
        UsageError: no such world.
        DataError: the floor plan is wrong, or the world on disk does not match it.
    """
    if not is_plan_file(world) and (world.endswith((".world", ".sdf")) or "/" in world):
        path = Path(world).expanduser()
        if not path.is_file():
            raise UsageError(f"there is no world file {path}")
        return path.resolve()
    name, seed = split_name(world)
    path = ROOT / "worlds" / f"{world}.world"
    if not is_plan_file(world) and name not in known_worlds():
        if path.is_file():  # a world file of the user, without a plan
            return path
        known = sorted({file.stem for file in (ROOT / "worlds").glob("*.world")} | set(known_worlds()))
        raise UsageError(f"unknown world {world!r}{nearest_name(world, known)}")
    plan = load_plan(world)
    if name != plan.name or seed is not None:
        return _generated_world(plan.name, plan.digest, world)
    if not path.is_file():
        raise UsageError(f"the world {world!r} is not made yet; make it with scripts/make_world.py {world}")
    _check_world(plan.name, plan.digest, ROOT)
    return path


# The check takes 0.1 s; once per process is enough.


@functools.lru_cache(maxsize=None)
def _generated_world(name: str, _digest: str, world: str) -> Path:
    return ensure(load_plan(world)) / "worlds" / f"{name}.world"


@functools.lru_cache(maxsize=None)
def _check_world(name: str, _digest: str, root: Path) -> None:
    check_made(load_plan(name), root)


def load_robot(robot: str) -> Dict[str, Any]:
    """Read a robot file of a simulated robot.

    Raises:
        UsageError: no such robot.
        DataError: not a robot file, or that of a real robot.
    """
    content = read_robot(robot)
    if "model" not in content:
        raise DataError(f"robot {robot}: a real one, without 'model': it can't be simulated")
    return content


def read_robot(robot: str) -> Dict[str, Any]:
    """Read a robot file of a simulated or a real robot.

    Raises:
        UsageError: no such robot.
        DataError: not a robot file.
    """
    return _without_nulls(_read_robot(robot, []))


def _read_robot(robot: str, derived: List[str]) -> Dict[str, Any]:
    """Read a robot file merged over its `base`; `derived`: the robots that lead to it through `base`."""
    folder = ROOT / "config" / "robot"
    path = Path(robot).expanduser() if robot.endswith(".yaml") else folder / f"{robot}.yaml"
    if robot in derived:
        raise DataError(f"{path}: is its own 'base'")
    if not os.path.lexists(path):
        known = [file.stem for file in folder.glob("*.yaml")]
        raise UsageError(f"unknown robot {robot!r}{nearest_name(robot, known)}")
    content = read_yaml(path, schemas.ROBOT)
    if "base" in content:
        content = _merged(_read_robot(str(content.pop("base")), [*derived, robot]), content)
    if not content.get("topics"):
        raise DataError(f"{path}: not a robot file: no 'topics'; see config/robot/drone.yaml")
    if not content.get("name"):
        raise DataError(f"{path}: not a robot file: no 'name'; see config/robot/drone.yaml")
    return content


def _merged(base: Dict[str, Any], own: Dict[str, Any]) -> Dict[str, Any]:
    """Merge a mapping over another one, recursively."""
    merged = dict(base)
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _without_nulls(value: Dict[str, Any]) -> Dict[str, Any]:
    """A mapping without its nulls (unknown values), recursively."""
    return {
        key: _without_nulls(item) if isinstance(item, dict) else item
        for key, item in value.items()
        if item is not None
    }


def dataset_description(
    robot: Dict[str, Any], width: int = 0, height: int = 0, depth_width: int = 0, depth_height: int = 0
) -> Dict[str, Any]:
    """The content of dataset.json for a dataset that is recorded with a robot.

    Args:
        robot: the content of the robot file.
        width: of the camera, pixels; 0: that of the robot file (likewise the others).
        height: of the camera, pixels.
        depth_width: of the depth image, pixels.
        depth_height: of the depth image, pixels.
    """
    own = {key: value for key, value in robot.items() if key != "guard"}  # for fly.launch only
    camera, depth = dict(own["camera"]), dict(own["depth"])
    camera.update(width=width or camera["width"], height=height or camera["height"])
    depth.update(width=depth_width or depth["width"], height=depth_height or depth["height"])
    return {
        "robot": {**own, "camera": camera, "depth": depth},
        "action_space": {
            "x": "m/s forward",
            "y": "m/s left",
            "z": "m/s up",
            "yaw": "rad/s counter-clockwise",
        },
        "control_rate": 10,
    }


def is_ground(robot: Dict[str, Any]) -> bool:
    """Whether a robot stays on the floor (`drive: ground` in its file)."""
    return robot.get("drive", "flight") == "ground"


def _parse(path: Path, kind: str) -> ElementTree.Element:
    try:
        return ElementTree.parse(path).getroot()
    except OSError as error:
        raise UsageError(f"cannot read the {kind} {path}: {error.strerror}") from None
    except ElementTree.ParseError as error:
        line, column = error.position
        reason = str(error).split(":")[0]
        raise DataError(f"{path}, line {line}, column {column + 1}: not well-formed XML ({reason})") from None


def _set(element: ElementTree.Element, path: str, value: Any) -> None:
    """Set the text of a descendant element; create missing elements."""
    for name in path.split("/"):
        child = element.find(name)
        if child is None:
            child = ElementTree.SubElement(element, name)
        element = child
    element.text = f"{value:.12g}" if isinstance(value, float) else str(value)


def _model_path(model: str) -> Path:
    path = Path(model).expanduser()
    return path if path.is_absolute() else ROOT / path


def robot_model(options: SimulatorOptions, description: Dict[str, Any]) -> ElementTree.Element:
    """The robot's <model> with the camera and rates of this run.

    Raises:
        UsageError, DataError: the model file is missing or not a model.
    """
    path = _model_path(str(description["model"]))
    model = _parse(path, "robot model").find("model")
    if model is None:
        raise DataError(f"{path} is not an SDF model: it has no <model> in <sdf>")
    model.set("name", str(description["name"]))
    camera = description.get("camera") or {}
    rate = options.rate or float(description.get("control_rate", 10.0))
    period = 1.0 / rate
    if abs(period / options.physics_step - round(period / options.physics_step)) > 1e-6:
        raise UsageError(
            f"--physics_step {options.physics_step} s does not divide the sensors' period of {period:.6g} s"
        )
    for sensor in model.iter("sensor"):
        _set(sensor, "update_rate", rate)
        if sensor.get("type") == "camera":
            _set(sensor, "camera/image/width", options.width or camera.get("width", 640))
            _set(sensor, "camera/image/height", options.height or camera.get("height", 360))
            _set(sensor, "camera/horizontal_fov", float(camera.get("horizontal_fov", math.radians(80))))
    cameras.add_sensors(model, cameras.side_cameras(description))
    return model


def plugin_element(options: SimulatorOptions, description: Dict[str, Any]) -> ElementTree.Element:
    """The <plugin> element of the plugin (docs/simulator.md lists its settings)."""
    plugin = ElementTree.Element("plugin", name="nav_pkg", filename=PLUGIN)
    depth = description.get("depth") or {}

    def given(value: Optional[int], name: str) -> int:
        return int(depth.get(name, 0)) if value is None else value

    width, height = given(options.depth_width, "width"), given(options.depth_height, "height")
    if not width or not height:
        width = height = 0
    _set(plugin, "robot", description["name"])
    if is_ground(description):
        _set(plugin, "drive", "ground")
    _set(plugin, "lockstep", str(options.lockstep).lower())
    _set(plugin, "depth_width", width)
    _set(plugin, "depth_height", height)
    _set(plugin, "seed", options.seed)
    _set(plugin, "scan_noise", float((description.get("scan") or {}).get("noise", 0.0)))
    _set(plugin, "command_timeout", float((description.get("command") or {}).get("timeout", 0.5)))
    for group in ("topics", "frames"):
        for key, value in (description.get(group) or {}).items():
            _set(plugin, f"{group}/{key}", value)
    plugin.extend(cameras.plugin_elements(cameras.side_cameras(description)))
    return plugin


def compose(options: SimulatorOptions) -> str:
    """Compose the SDF text of a run's world.

    Raises:
        UsageError, DataError: a setting, the world, the robot or its model is invalid.
    """
    options.check()
    path = find_world(options.world)
    root = _parse(path, "world file")
    world = root.find("world") if root.tag == "sdf" else None
    if world is None:
        raise DataError(f"{path} is not an SDF world: it has no <world> in <sdf>")
    description = load_robot(options.robot)
    model = robot_model(options, description)

    # The robot's pose is that of the <include> that names a robot; without one, that of its model.
    names = {"drone", str(description["name"]), _model_path(str(description["model"])).parent.name}
    place = None
    for include in list(world.findall("include")):
        uri = (include.findtext("uri") or "").strip()
        if uri.startswith("model://") and uri[8:] in names:
            place = include.findtext("pose") or place
            world.remove(include)
    if place:
        words = place.split()
        if is_ground(description):  # worlds state a drone's height; on the floor, the model's own holds
            words[2] = (model.findtext("pose") or "0 0 0").split()[2]
        _set(model, "pose", " ".join(words))
    world.append(model)

    for plugin in list(world.findall("plugin")):
        if plugin.get("filename") == PLUGIN:
            world.remove(plugin)
    world.append(plugin_element(options, description))

    physics = world.find("physics")
    if physics is None:
        physics = ElementTree.SubElement(world, "physics", type="ode")
    _set(physics, "max_step_size", options.physics_step)
    paced = options.real_time and not options.lockstep
    _set(physics, "real_time_update_rate", 1.0 / options.physics_step if paced else 0)
    _set(physics, "real_time_factor", 1.0)
    return ElementTree.tostring(copy.deepcopy(root), encoding="unicode")


def model_folder(world: Union[str, Path]) -> Path:
    """The folder of models of a world file (models/ beside worlds/)."""
    return find_world(str(world)).parent.parent / "models"
