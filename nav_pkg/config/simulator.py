"""The settings of the commands about the simulator: simulator.py, make_world.py, attach.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from nav_pkg.config.session import SimulationConfig
from nav_pkg.config.setting import setting, shared


@dataclass(frozen=True)
class SimulatorConfig:
    """Simulator."""

    world: str = setting(
        "esatv3", "name of a world (worlds/NAME.world), or path of a plan file or world file", str
    )
    robot: str = setting("drone", "name of a robot (config/robot/NAME.yaml), or path of a robot file", str)
    simulator: str = shared(SimulationConfig, "simulator")
    seed: int = setting(0, "seed of the simulator's random numbers", int)
    width: Optional[int] = setting(None, "camera width, pixels (default: as in the robot file)", int)
    height: Optional[int] = setting(None, "camera height, pixels (default: as in the robot file)", int)
    rate: Optional[float] = setting(None, "rate of all sensors, Hz (default: as in the robot file)", float)
    depth_width: Optional[int] = setting(
        None, "width of depth images, pixels; 0: none (default: as in the robot file)", int
    )
    depth_height: Optional[int] = setting(
        None, "height of depth images, pixels; 0: none (default: as in the robot file)", int
    )
    physics_step: float = setting(0.005, "physics step, s; must divide the period of the sensors", float)
    free_running: bool = setting(False, "let simulated time run as fast as possible, without lock-step")
    real_time: bool = setting(False, "with --free_running: no faster than real time")
    listen: str = shared(SimulationConfig, "listen")
    gui: bool = setting(False, "show Gazebo's window on the X display in DISPLAY")
    gazebo_port: Optional[int] = setting(
        None, "TCP port of Gazebo's own master (default: any free port)", int
    )
    start_limit: float = setting(90.0, "seconds within which Gazebo must have started", float)
    verbose: bool = setting(False, "show all output of Gazebo, not only errors")


@dataclass(frozen=True)
class MakeWorldConfig:
    """World."""

    world: Optional[str] = setting(
        None,
        "name of a world (esatv3; esatv3+7 has the textures of seed 7), or a plan file (FOLDER/mine.json)",
        str,
        positional=True,
        nargs="?",
    )
    world_flag: Optional[str] = setting(
        None, "the world as a flag", str, flag="--world", short="-w", metavar="WORLD"
    )
    output: Optional[Path] = setting(
        None, "folder for worlds/ and models/ (default: the one that sessions use)", Path
    )
    check: bool = setting(False, "compare the existing files with the plan, and write nothing")


@dataclass(frozen=True)
class AttachConfig:
    """Session."""

    tag: Optional[str] = setting(
        None, "log folder of the session (default: the newest session)", str, positional=True, nargs="?"
    )
    list: bool = setting(False, "list the running sessions")
