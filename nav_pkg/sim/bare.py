"""Real-time factor of plain Gazebo with the same world and sensors, as a reference for the lock-step loop."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from typing import List, Optional, Tuple
from xml.etree import ElementTree

from nav_pkg.children import Child
from nav_pkg.core import SimulatorError
from nav_pkg.sim.description import PLUGIN, SimulatorOptions, compose, model_folder
from nav_pkg.sim.display import Display, has_gpu
from nav_pkg.sim.gazebo import LAUNCHER, free_port, without_noise
from nav_pkg.sim.network import listen_environment
from nav_pkg.sim.temporary_folder import TemporaryFolder

SETTLING_TIME = 5.0
"""Wall seconds before the measurement begins: Gazebo does not wait for images before the first one."""

DEPTH_CAMERA = """<sensor name="depth" type="depth">
  <pose>{pose}</pose><always_on>true</always_on><update_rate>{rate}</update_rate>
  <camera>
    <horizontal_fov>{fov}</horizontal_fov>
    <image><width>{width}</width><height>{height}</height></image>
    <clip><near>0.1</near><far>100</far></clip>
    <depth_camera><output>depths</output></depth_camera>
  </camera>
</sensor>"""


def bare_world(options: SimulatorOptions, pose: str) -> str:
    """The SDF text of a run's world without our plugin: only Gazebo's own sensors, always on.

    The robot stays in the air, without gravity, at `pose` (`x y z roll pitch yaw`).
    """
    root = ElementTree.fromstring(compose(options))
    world = root.find("world")
    assert world is not None
    size = (0, 0)
    for plugin in list(world.findall("plugin")):
        if plugin.get("filename") == PLUGIN:
            size = (int(plugin.findtext("depth_width") or 0), int(plugin.findtext("depth_height") or 0))
            world.remove(plugin)
    for model in world.findall("model"):
        if model.find("link/sensor") is not None:
            for name in model.findall("pose"):
                model.remove(name)
            ElementTree.SubElement(model, "pose").text = pose
    for link in world.iter("link"):
        for sensor in link.findall("sensor"):
            gravity = link.find("gravity")
            if gravity is None:
                gravity = ElementTree.SubElement(link, "gravity")
            gravity.text = "false"
            always = sensor.find("always_on")
            if always is None:
                always = ElementTree.SubElement(sensor, "always_on")
            always.text = "true"
            if sensor.get("type") == "camera" and size[0]:
                text = DEPTH_CAMERA.format(
                    pose=sensor.findtext("pose") or "0 0 0 0 0 0",
                    rate=sensor.findtext("update_rate"),
                    fov=sensor.findtext("camera/horizontal_fov"),
                    width=size[0],
                    height=size[1],
                )
                link.append(ElementTree.fromstring(text))
    return ElementTree.tostring(root, encoding="unicode")


def real_time_ratio(
    world: str = "esatv3",
    robot: str = "drone",
    seconds: float = 40.0,
    limit: float = 120.0,
    pose: str = "-50 -3 1 0 0 0",
    options: Optional[SimulatorOptions] = None,
) -> float:
    """Measure simulated over wall seconds of `gzserver --lockstep` at full speed, without ROS and clients.

    Args:
        world: as in SimulatorOptions.
        robot: as in SimulatorOptions.
        seconds: simulated seconds to measure.
        limit: wall seconds for everything.
        pose: of the robot, which stays in the air there (`x y z roll pitch yaw`).
        options: sizes, rates and the physics step; None: those of the robot file.

    Raises:
        SimulatorError: it did not start, or did not simulate enough time within the limit.
    """
    options = replace(options or SimulatorOptions(), world=world, robot=robot, lockstep=False)
    deadline = time.monotonic() + limit
    base_environment = listen_environment(os.environ)
    server = watcher = display = None
    try:
        with TemporaryFolder("nav_pkg-bare-") as folder:
            display = Display(base_environment, folder)
            file = folder / "bare.world"
            file.write_text(bare_world(options, pose))
            gz = folder / "gz"  # the launcher starts the program whose name it is called by
            gz.symlink_to(LAUNCHER)
            environment = {**base_environment, **display.environment}
            environment["GAZEBO_MASTER_URI"] = f"http://127.0.0.1:{free_port()}"
            environment["GAZEBO_MODEL_PATH"] = str(model_folder(world))
            if not has_gpu():
                environment["LIBGL_ALWAYS_SOFTWARE"] = "1"
            server = Child([str(LAUNCHER), "--verbose", "--lockstep", str(file)], environment)
            samples: List[Tuple[float, float]] = []
            while not samples or samples[-1][0] - samples[0][0] < seconds:
                if watcher is None or not watcher.running:
                    watcher = Child(["stdbuf", "-oL", str(gz), "stats", "-p"], environment)
                time.sleep(0.1)
                samples = _samples(list(watcher.lines))
                if not server.running or time.monotonic() > deadline:
                    last = (without_noise(list(server.lines)) or ["nothing was printed"])[-1]
                    raise SimulatorError(f"bare gzserver did not simulate {seconds:g} s: {last}")
            (sim_a, real_a), (sim_b, real_b) = samples[0], samples[-1]
            return (sim_b - sim_a) / (real_b - real_a)
    finally:
        for child in (watcher, server):
            if child is not None:
                child.stop(signal.SIGINT)
        if display is not None:
            display.close()


def _samples(lines: List[str]) -> List[Tuple[float, float]]:
    """Parse `gz stats -p` (factor, simulated, wall, paused) to (simulated, wall) seconds after SETTLED."""
    samples = []
    for line in lines:
        parts = [part.strip() for part in line.split(",")]
        try:
            simulated, real = float(parts[1]), float(parts[2])
        except (IndexError, ValueError):
            continue
        if real > SETTLING_TIME:
            samples.append((simulated, real))
    return samples
