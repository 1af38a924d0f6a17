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

SCRATCH_TAG = "testing_online"
"""The default tag: its log, and a dataset of that name, are always started over."""
LOOPBACK = "127.0.0.1"
"""The address that only this machine reaches."""


@dataclass(frozen=True)
class PlaceConfig:
    """Logs and datasets."""

    log_tag: str = setting(SCRATCH_TAG, "log folder under --summary_dir", types.name, short="-t")
    summary_dir: Path = setting(summary_dir, "folder of all logs", Path)
    data_root: Path = setting(data_root, "folder of all datasets", Path)
    data_location: Optional[str] = setting(
        None, "dataset to record into, under --data_root (default: the tag)", types.name
    )
    owr: bool = setting(False, "delete the log folder and the dataset first")
    create_dataset: bool = setting(False, "record a dataset", short="-ds")
    bag: bool = setting(False, "record a rosbag as well, into the log folder")


@dataclass(frozen=True)
class SimulationConfig:
    """Simulation."""

    number_of_runs: int = setting(1, "number of runs", int, short="-n")
    world: str = setting("esatv3", "world, or plan file (esatv3+7: with textures of seed 7)", str, short="-w")
    robot: str = setting("drone", "robot (config/robot/NAME.yaml)", str)
    random_seed: int = setting(123, "seed of everything", int)
    free_running: bool = setting(False, "in real time instead of lock-step, as on a robot")
    listen: str = setting(LOOPBACK, "address of this machine to listen on, for rviz on another one", str)
    graphics: bool = setting(False, "show Gazebo's window", short="-g")
    shared_master: bool = setting(False, "use the ROS master of ROS_MASTER_URI, not an own one")
    auto_go: bool = setting(False, "accepted: runs always begin by themselves")
    pause_simulator: bool = setting(False, "accepted: lock-step always waits for every answer")


@dataclass(frozen=True)
class SessionPilotConfig:
    """Learner."""

    no_training: bool = setting(False, "the learner flies without learning, also with --online")
    checkpoint_path: Optional[str] = setting(
        None,
        "checkpoint that flies, or that learning in flight (--online) begins with",
        str,
        short="-m",
    )


@dataclass(frozen=True)
class SessionConfig(PlaceConfig, SimulationConfig, FlightConfig, CameraConfig, SessionPilotConfig):
    """All settings of run_script.py; those of main.py are taken as well and passed to the learner.

    Attributes:
        learns: the learner is to learn: `--online` was given, and nothing that forbids it.
    """

    learns: bool = False


SETTINGS = declared(SessionConfig)
"""By key."""


def make_parser() -> Parser:
    """The parser of run_script.py's own flags. One whose default is the robot's own is None if not given."""
    about = "Fly a number of runs in the simulator, watched and repeated until each one counts."
    parser = Parser(prog="run_script.py", description=about)
    add_arguments(parser, SessionConfig)
    return parser
