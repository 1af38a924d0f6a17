"""The flags of run_script.py: whose each one is, and the flights that they ask for."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple

from nav_pkg.cli import flags, learner_flags
from nav_pkg.cli import main as learner
from nav_pkg.cli.robot_flags import take_robot_defaults
from nav_pkg.core import UsageError
from nav_pkg.data.paths import data_root, summary_dir
from nav_pkg.flight.schedule import Schedule
from nav_pkg.flight.starts import SAYS
from nav_pkg.sim import description
from nav_pkg.sim.network import LOOPBACK
from nav_pkg.world import check_world
from nav_pkg.world.plan_file import absolute

SCRATCH_TAG = "testing_online"
"""The default tag: its log, and a dataset of that name, are always begun anew."""
MOST_RUNS = 10**6
"""Of a session, which lists them. A run's name takes more, a person's patience does not."""
NOT_IN_FOLDERS = ('"', "\\", "\n")
"""What roslaunch's arguments and the XML in which they stand do not survive."""
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
"""Flags that users of the cluster's commands give together with ours, and whose they are."""


def parser() -> flags.Parser:
    """The flags of run_script itself; those of main.py are taken as well and passed to the learner."""
    about = "Fly a number of runs in the simulator, watched and repeated until each one counts."
    p = flags.Parser(prog="run_script.py", description=about)
    add = p.add_argument
    add("-t", "--log_tag", type=flags.name, default=SCRATCH_TAG, help="log folder under --summary_dir")
    add("--summary_dir", type=Path, default=summary_dir(), help="folder of all logs")
    add("--data_root", type=Path, default=data_root(), help="folder of all datasets")
    add(
        "--data_location",
        type=flags.name,
        help="dataset to record into, under --data_root (default: the tag)",
    )
    add("-n", "--number_of_runs", type=int, default=1, help="number of runs")
    add("-w", "--world", default="esatv3", help="world, or plan file (esatv3+7: with textures of seed 7)")
    add("--robot", default="drone", help="robot (config/robot/NAME.yaml)")
    add("--random_seed", type=int, default=123, help="seed of everything")
    add("--owr", action="store_true", help="delete the log folder and the dataset first")
    add("-ds", "--create_dataset", action="store_true", help="record a dataset")
    add("--bag", action="store_true", help="record a rosbag as well, into the log folder")
    add("--alpha", type=float, default=1.0, help="probability per frame that the expert flies")
    add("--alpha_schedule", default="constant", help="of alpha over the runs: constant, linear, exponential")
    add("--alpha_end", type=float, default=0.0, help="where alpha ends")
    add("--alpha_runs", type=int, default=10, help="runs that a linear change of alpha takes")
    add("--alpha_decay", type=float, default=0.5, help="factor of an exponential change, per run")
    add("--epsilon", type=float, default=0.0, help="probability of a random turn where the learner flies")
    add("--epsilon_decay", type=float, default=0.0, help="rate at which epsilon falls, per run")
    add(
        "--takeover_distance",
        type=float,
        default=0.0,
        help="metres from the route beyond which the expert takes over; 0: never",
    )
    add(
        "--takeover_clearance",
        type=float,
        default=0.0,
        help="metres to the nearest obstacle below which the expert takes over; 0: never",
    )
    add("-e", "--evaluation", action="store_true", help="every run: the learner flies alone")
    add("--evaluate_every", type=int, default=-1, help="every N-th run is an evaluation; -1: none")
    add("--final_evaluation_runs", type=int, default=0, help="evaluations after the number of runs")
    add("--shard", default="", help="k/n: fly only every n-th run, from the k-th on; empty: all")
    add("--no_training", action="store_true", help="the learner flies without learning, also with --online")
    add(
        "-m",
        "--checkpoint_path",
        help="checkpoint that flies, or that learning in flight (--online) begins with",
    )
    add("--expert", default="bang_bang", help="bang_bang or continuous")
    add("--speed", type=float, help="forward speed, m/s (the robot's own: 0.8)")
    add("--turn_speed", type=float, help="forward speed while turning, m/s (the robot's own: 0.8)")
    add("--z_pos", type=float, help="height, m (1)")
    add("--start", default="varied", help=SAYS)
    add("--reverse", action="store_true", help="fly the route clockwise")
    add("--control_delay", type=float, default=0.1, help="simulated seconds from image to command")
    add("--noise", default="none", help="none, ou, uni or gau")
    add("--ou_theta", type=float, default=0.05, help="pull-back of the OU noise")
    for axis in ("x", "y", "z", "yaw"):
        add(f"--sigma_{axis}", type=float, default=0.0, help=f"noise in {axis}")
    add("--max_duration", type=float, default=0.0, help="simulated seconds a run; 0: the world's own")
    add("--min_depth", type=float, default=0.0, help="collision distance, m; 0: the world's own")
    add("--width", type=int, help="camera width, pixels (the robot's own: 640)")
    add("--height", type=int, help="camera height, pixels (the robot's own: 360)")
    add("--depth_width", type=int, help="depth camera width, pixels (the robot's own: 160)")
    add("--depth_height", type=int, help="depth camera height, pixels (the robot's own: 90)")
    add("--physics_step", type=float, default=0.005, help="physics step, s")
    add("--free_running", action="store_true", help="in real time instead of lock-step, as on a robot")
    add("--listen", default=LOOPBACK, help="address of this machine to listen on, for rviz on another one")
    add("-g", "--graphics", action="store_true", help="show Gazebo's window")
    add("--shared_master", action="store_true", help="use the ROS master of ROS_MASTER_URI, not an own one")
    add("--auto_go", action="store_true", help="accepted: runs always begin by themselves")
    add("--pause_simulator", action="store_true", help="accepted: lock-step always waits for every answer")
    return p


def split(argv: Optional[Sequence[str]]) -> Tuple[Any, List[str]]:
    """Parse our flags; check the rest against the learner's.

    Returns:
        Our flags (`learns`: whether the learner is to learn), and those of the learner node.

    Raises:
        UsageError: a flag that neither knows.
    """
    own = parser()
    argv = [a for a in (sys.argv[1:] if argv is None else argv) if ":=" not in a]  # roslaunch's own
    args, rest = own.parse_known_args(learner_flags.absolute_network(argv))
    take_robot_defaults(args)
    # The nodes run in another folder: to them a relative path would mean another place.
    args.summary_dir, args.data_root = (
        path.expanduser().resolve() for path in (args.summary_dir, args.data_root)
    )
    args.world = absolute(args.world)
    for flag in ("summary_dir", "data_root", "world"):
        for character in NOT_IN_FOLDERS:
            if character in str(getattr(args, flag)):
                raise UsageError(
                    f"run_script.py: --{flag} {str(getattr(args, flag))!r}: roslaunch takes no path with "
                    f"{character!r} in it: choose another"
                )
    for flag in (word.split("=")[0] for word in rest):
        for owner, names in OTHERS.items():
            if flag in names:
                raise UsageError(f"run_script.py: {flag} belongs to {owner}; give it there")
    known = learner.make_parser().flags()
    for flag in (word.split("=")[0] for word in rest if word.startswith("--")):
        if flag not in known:
            hint = flags.nearest_name(flag, own.flags() + known)
            hint = hint if "did you mean" in hint else "; see run_script.py --help"
            raise UsageError(f"run_script.py: unknown flag {flag!r}{hint}")
    args.learns = "--online" in rest and not (args.no_training or args.evaluation)
    rest = ["--online", *(word for word in rest if word != "--online")]
    if not args.learns:
        rest.insert(1, "--no_training")
    learner.parse(rest)
    return args, rest


def schedule(args: Any) -> Schedule:
    """The flights that the flags ask for, checked."""
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
    made = Schedule(
        world=args.world,
        runs=args.number_of_runs + args.final_evaluation_runs,
        seed=args.random_seed,
        **{
            field.name: getattr(args, field.name)
            for field in dataclasses.fields(Schedule)
            if field.name not in ("world", "runs", "first_run", "seed")
        },
    )
    made.check()
    return made


def check_simulator(args: Any) -> None:
    """Refuse what the simulator would refuse.

    Args:
        args: run_script's flags.

    Raises:
        UsageError: a value that can't be.
        DataError: a world or robot file that is not one.
    """
    options = description.Options(
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
    check_world(description.find_world(args.world))
    description.compose(options)
    if not (args.depth_width and args.depth_height):
        raise UsageError("--depth_width and --depth_height: a flight needs depth images, 0 can't be")
