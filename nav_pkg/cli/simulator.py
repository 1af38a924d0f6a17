"""Run Gazebo with a world, a robot and the lock-step plugin until Ctrl-C.

Examples:
    simulator.py --world esatv3 --robot turtlebot3
    simulator.py --free_running --real_time --gui
"""

from __future__ import annotations

import signal
import sys
import threading
from typing import Optional, Sequence

from nav_pkg.config.parser import Parser
from nav_pkg.core import UsageError
from nav_pkg.sim import preflight
from nav_pkg.sim.description import SimulatorOptions
from nav_pkg.sim.gazebo import Gazebo
from nav_pkg.sim.network import LOOPBACK


def parser() -> Parser:
    """Make the parser."""
    flags = Parser(prog="simulator.py", description=__doc__)
    add = flags.add_argument
    add(
        "--world",
        default="esatv3",
        help="name of a world (worlds/NAME.world), or path of a plan file or world file",
    )
    add("--robot", default="drone", help="name of a robot (config/robot/NAME.yaml), or path of a robot file")
    add("--seed", type=int, default=0, help="seed of the simulator's random numbers")
    add("--width", type=int, help="camera width, pixels (default: as in the robot file)")
    add("--height", type=int, help="camera height, pixels (default: as in the robot file)")
    add("--rate", type=float, help="rate of all sensors, Hz (default: as in the robot file)")
    add(
        "--depth_width",
        type=int,
        help="width of depth images, pixels; 0: none (default: as in the robot file)",
    )
    add(
        "--depth_height",
        type=int,
        help="height of depth images, pixels; 0: none (default: as in the robot file)",
    )
    add(
        "--physics_step",
        type=float,
        default=0.005,
        help="physics step, s; must divide the period of the sensors",
    )
    add(
        "--free_running",
        action="store_true",
        help="let simulated time run as fast as possible, without lock-step",
    )
    add("--real_time", action="store_true", help="with --free_running: no faster than real time")
    add(
        "--listen",
        default=LOOPBACK,
        help="address of this machine on which to listen, e.g. for rviz on another machine",
    )
    add("--gui", action="store_true", help="show Gazebo's window on the X display in DISPLAY")
    add("--gazebo_port", type=int, help="TCP port of Gazebo's own master (default: any free port)")
    add("--start_limit", type=float, default=90.0, help="seconds within which Gazebo must have started")
    add("--verbose", action="store_true", help="show all output of Gazebo, not only errors")
    return flags


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command: return 0 after SIGINT or SIGTERM; raise SimulatorError if the simulator fails."""
    given = sys.argv[1:] if argv is None else list(argv)
    # roslaunch appends __name:=... and __log:=... to the arguments of every node.
    args = parser().parse_args([argument for argument in given if ":=" not in argument])
    if args.real_time and not args.free_running:
        raise UsageError("--real_time needs --free_running; in lock-step, time waits for /gazebo/step")
    options = SimulatorOptions(
        world=args.world,
        robot=args.robot,
        seed=args.seed,
        width=args.width,
        height=args.height,
        rate=args.rate,
        depth_width=args.depth_width,
        depth_height=args.depth_height,
        physics_step=args.physics_step,
        lockstep=not args.free_running,
        real_time=args.real_time,
        gui=args.gui,
        listen=args.listen,
    )
    options.check()
    preflight.check(window=args.gui)

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: _interrupt(stop))

    def show(line: str) -> None:
        if args.verbose or "[Err]" in line or "[nav_pkg]" in line:
            print(line, flush=True)

    try:
        with Gazebo(options, args.gazebo_port, args.start_limit, show) as gazebo:
            stop.wait(0)
            gazebo.wait(stop)
    except _Interrupted:
        pass
    return 0


class _Interrupted(Exception):
    """A signal arrived during the start or the end of the simulator."""


def _interrupt(stop: threading.Event) -> None:
    """On the first signal, end the wait; it also interrupts a slow start."""
    if not stop.is_set():
        stop.set()
        raise _Interrupted
