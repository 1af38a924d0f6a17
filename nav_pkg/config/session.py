"""The settings of run_script.py: a session of flights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from nav_pkg.config import types
from nav_pkg.config.flight import CameraConfig, FlightConfig
from nav_pkg.config.parser import Parser
from nav_pkg.config.paths import data_root, summary_dir
from nav_pkg.config.setting import add_arguments, declared, setting

ABOUT = """Fly a number of runs in the simulator, and record them with -ds.

A run in which the simulator fails is repeated. Flags of main.py apply to the learner.

Examples:
    run_script.py -t collect -w esatv3 --number_of_runs 2 --alpha 1 -ds --owr
    run_script.py -t own -w my_worlds/office.json -ds --owr
    run_script.py -t fly --number_of_runs 3 --checkpoint_path my_training --alpha 0 --start route
"""
SCRATCH_TAG = "testing_online"
"""The default tag: its log, and a dataset of that name, are always started over."""
SIMULATORS = ("gazebo", "embedded")
"""Gazebo 11 with ROS; or the embedded simulator, which needs neither and flies the same flights."""
TAR, FILES = STORAGES = ("tar", "files")
"""How a run keeps its images: in one tar a camera, or in a file each."""
LOOPBACK = "127.0.0.1"
"""The address that only this machine reaches."""


@dataclass(frozen=True)
class PlaceConfig:
    """Logs and datasets."""

    log_tag: str = setting(SCRATCH_TAG, "log folder below --summary_dir", types.name, short="-t")
    summary_dir: Path = setting(summary_dir, "folder of all logs", Path)
    data_root: Path = setting(data_root, "folder of all datasets", Path)
    data_location: Optional[str] = setting(
        None, "name of the dataset to record, below --data_root (default: the tag)", types.name
    )
    owr: bool = setting(False, "delete an existing log folder and dataset first")
    create_dataset: bool = setting(False, "record a dataset", short="-ds")
    storage: str = setting(
        TAR, "images of a recorded run: in one tar a camera, or in a file each", str, choices=STORAGES
    )
    bag: bool = setting(False, "also record a rosbag into the log folder")


@dataclass(frozen=True)
class SimulationConfig:
    """Simulation."""

    number_of_runs: int = setting(1, "number of runs", int, short="-n")
    world: str = setting(
        "esatv3", "world (esatv3+7 has the textures of seed 7), or plan file", str, short="-w"
    )
    robot: str = setting("drone", "robot (config/robot/NAME.yaml)", str)
    simulator: str = setting(
        "gazebo",
        "gazebo; or embedded, which needs neither ROS nor Gazebo and is several times faster",
        str,
        choices=SIMULATORS,
    )
    jobs: int = setting(
        1, "with --simulator embedded: number of processes that fly side by side", types.integer(1, 256)
    )
    random_seed: int = setting(123, "seed of all random draws", int)
    free_running: bool = setting(False, "run in real time instead of lock-step, as on a robot")
    listen: str = setting(
        LOOPBACK, "address of this machine on which to listen, e.g. for rviz on another machine", str
    )
    graphics: bool = setting(False, "show Gazebo's window", short="-g")
    shared_master: bool = setting(False, "use the ROS master in ROS_MASTER_URI instead of a private one")
    auto_go: bool = setting(False, "has no effect: runs always begin by themselves")
    pause_simulator: bool = setting(False, "has no effect: lock-step always waits for every answer")


@dataclass(frozen=True)
class SessionPilotConfig:
    """Learner."""

    no_training: bool = setting(False, "fly the learner without learning, also with --online")
    checkpoint_path: Optional[str] = setting(
        None,
        "checkpoint that flies, or from which learning in flight (--online) starts",
        str,
        short="-m",
    )


@dataclass(frozen=True)
class SessionConfig(PlaceConfig, SimulationConfig, FlightConfig, CameraConfig, SessionPilotConfig):
    """All settings of run_script.py; run_script.py also takes those of main.py, for the learner.

    Attributes:
        learns: the learner is to learn: `--online` was given, and nothing that forbids it.
    """

    learns: bool = False


SETTINGS = declared(SessionConfig)
"""By key."""


def make_parser() -> Parser:
    """The parser of run_script.py's own flags. A flag with a default of the robot is None if not given."""
    parser = Parser(prog="run_script.py", description=ABOUT)
    add_arguments(parser, SessionConfig)
    return parser
