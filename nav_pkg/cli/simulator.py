"""Run a simulator on the ROS master until Ctrl-C: Gazebo with the lock-step plugin, or the embedded one.

Examples:
    simulator.py --world esatv3 --robot turtlebot3
    simulator.py --free_running --real_time --gui
    simulator.py --simulator embedded
"""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import Optional, Sequence

from nav_pkg.config.setting import parse
from nav_pkg.config.simulator import SimulatorConfig
from nav_pkg.core import UsageError
from nav_pkg.sim import preflight
from nav_pkg.sim.alone import listen_on, run_until_stopped, until_signal
from nav_pkg.sim.description import SimulatorOptions


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command: return 0 after SIGINT or SIGTERM; raise SimulatorError if the simulator fails."""
    given = sys.argv[1:] if argv is None else list(argv)
    # roslaunch appends __name:=... and __log:=... to the arguments of every node.
    own = [argument for argument in given if ":=" not in argument]
    config = parse(SimulatorConfig, own, "simulator.py", str(__doc__))
    if config.simulator == "embedded":
        for flag, given_value in (
            ("--free_running", config.free_running),
            ("--real_time", config.real_time),
            ("--gui", config.gui),
            ("--gazebo_port", config.gazebo_port),
        ):
            if given_value:
                launch = " (sim.launch: lockstep:=true)" if flag == "--free_running" else ""
                raise UsageError(
                    f"{flag}: the embedded simulator has lock-step only, and no window: leave it out{launch} "
                    "or use --simulator gazebo"
                )
    if config.real_time and not config.free_running:
        raise UsageError("--real_time needs --free_running; in lock-step, time waits for /gazebo/step")
    same = {field.name: getattr(config, field.name, None) for field in fields(SimulatorOptions)}
    options = SimulatorOptions(**{**same, "lockstep": not config.free_running})
    options.check()
    if config.simulator == "embedded":
        _run_embedded(options, given)
        return 0
    preflight.check(window=config.gui)
    run_until_stopped(options, config.gazebo_port, config.start_limit, config.verbose)
    return 0


def _run_embedded(options: SimulatorOptions, arguments: Sequence[str]) -> None:
    """Run the embedded simulator's node until a signal."""
    listen_on(options.listen, arguments)
    with until_signal() as stop:
        try:
            from nav_pkg.ros import embedded_node
        except ImportError as error:
            raise UsageError(
                f"simulator.py runs a ROS node, and {error.name or error} is missing: run 'make setup' and "
                "'source env.sh' (run_script.py --simulator embedded needs no ROS)"
            ) from None
        embedded_node.run(options, stop)
