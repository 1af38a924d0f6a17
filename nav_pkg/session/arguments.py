"""The flags of run_script.py: which script owns each flag, and the schedule of flights that they give."""

from __future__ import annotations

import dataclasses
import sys
from typing import List, Optional, Sequence, Tuple

from nav_pkg.config import learner, types
from nav_pkg.config import session as session_config
from nav_pkg.config.flight import FlightConfig
from nav_pkg.config.parser import check_known
from nav_pkg.config.session import SessionConfig
from nav_pkg.config.setting import from_values
from nav_pkg.core import UsageError
from nav_pkg.flight.schedule import FlightSchedule
from nav_pkg.session.robot_defaults import robot_defaults
from nav_pkg.sim import description
from nav_pkg.sim.embedded import robot_description
from nav_pkg.world import check_world
from nav_pkg.world.plan_file import absolute

MOST_RUNS = 10**6
"""Most runs of a session, which makes a list of them; run names would allow more."""
NOT_IN_FOLDERS = ('"', "\\", "\n")
"""Characters that break roslaunch's arguments and the XML that holds them."""
OTHERS = {
    "clean_dataset.py": (
        "--min_rgb",
        "--max_rgb",
        "--val_len",
        "--test_len",
        "--min_distance",
        "--destination",
    ),
    "dag_create_data.py": ("--number_of_recorders", "--wall_time_rec", "--rammem"),
}
"""Flags that users of the cluster commands often add to ours, by the script that owns them."""


def split(argv: Optional[Sequence[str]]) -> Tuple[SessionConfig, List[str]]:
    """Parse our flags and check the remaining ones against the learner's parser.

    Returns:
        Our flags (`learns`: whether the learner trains in flight), and the flags of the learner node.

    Raises:
        UsageError: a flag is unknown to both parsers, belongs to another script, or has a bad value.
    """
    own = session_config.make_parser()
    argv = [a for a in (sys.argv[1:] if argv is None else argv) if ":=" not in a]  # roslaunch's
    parsed, rest = own.parse_known_args(types.absolute_network(argv))
    values = {**vars(parsed), **robot_defaults(vars(parsed))}
    # The nodes run in another working directory, where a relative path points elsewhere.
    for flag in ("summary_dir", "data_root"):
        values[flag] = values[flag].expanduser().resolve()
    values["world"] = absolute(values["world"])
    for flag in ("summary_dir", "data_root", "world"):
        for character in NOT_IN_FOLDERS:
            if character in str(values[flag]):
                raise UsageError(
                    f"run_script.py: --{flag} {str(values[flag])!r}: roslaunch takes no path with "
                    f"{character!r} in it: choose another"
                )
    for flag in (word.split("=")[0] for word in rest):
        for owner, names in OTHERS.items():
            if flag in names:
                raise UsageError(f"run_script.py: {flag} belongs to {owner}; give it there")
    known = own.flags() + learner.make_parser().flags()
    check_known("run_script.py", rest, known, "; see run_script.py --help")
    learns = "--online" in rest and not (values["no_training"] or values["evaluation"])
    rest = ["--online", *(word for word in rest if word != "--online")]
    if not learns:
        rest.insert(1, "--no_training")
    learner.parse(rest)
    return from_values(SessionConfig, {**values, "learns": learns}), rest


def schedule(args: SessionConfig) -> FlightSchedule:
    """Make and check the schedule of flights that the flags give.

    Raises:
        UsageError: a number of runs is out of range, or the world has no floor plan.
    """
    if not 1 <= args.number_of_runs <= MOST_RUNS:
        raise UsageError(f"--number_of_runs is {args.number_of_runs}; it must be between 1 and {MOST_RUNS}")
    if not 0 <= args.final_evaluation_runs <= MOST_RUNS:
        raise UsageError(
            f"--final_evaluation_runs is {args.final_evaluation_runs}; it must be between 0 and {MOST_RUNS}"
        )
    if args.world.endswith((".world", ".sdf")):
        check_world(description.find_world(args.world))
        raise UsageError(
            f"-w {args.world}: a flight needs a floor plan, which has the route: give a world's name or a "
            "plan file (.json); simulator.py and sim.launch take world files"
        )
    flight_schedule = FlightSchedule(
        world=args.world,
        runs=args.number_of_runs + args.final_evaluation_runs,
        seed=args.random_seed,
        **{field.name: getattr(args, field.name) for field in dataclasses.fields(FlightConfig)},
    )
    flight_schedule.check()
    return flight_schedule


def simulator_options(args: SessionConfig) -> description.SimulatorOptions:
    """The simulator that the flags describe."""
    return description.SimulatorOptions(
        world=args.world,
        robot=args.robot,
        seed=args.random_seed,
        width=args.width,
        height=args.height,
        depth_width=args.depth_width,
        depth_height=args.depth_height,
        physics_step=args.physics_step,
        listen=args.listen,
    )


def uses_ros(args: SessionConfig) -> bool:
    """Whether the session flies in a ROS graph: in Gazebo, or because something of ROS is requested."""
    wants_ros = args.bag or args.shared_master or args.listen != session_config.LOOPBACK
    return args.simulator == "gazebo" or wants_ros


def check_simulator(args: SessionConfig) -> None:
    """Raise the errors that the simulator would raise for these flags.

    Args:
        args: run_script's flags.

    Raises:
        UsageError: a value is not possible.
        DataError: a world or robot file is not valid.
    """
    options = simulator_options(args)
    if args.simulator == "embedded":
        for flag in ("free_running", "graphics"):
            if getattr(args, flag):
                raise UsageError(f"--{flag}: the embedded simulator has lock-step only, and no window")
        options.check()
        robot_description.read(options)
    else:
        check_world(description.find_world(args.world))
        description.compose(options)
    if args.jobs > 1 and (uses_ros(args) or args.learns):
        why = "a learner needs its runs in order" if args.learns else "ROS sessions have one simulator"
        raise UsageError(f"--jobs {args.jobs}: {why}: leave it out")
    if not (args.depth_width and args.depth_height):
        raise UsageError("--depth_width and --depth_height: a flight needs depth images, 0 can't be")
