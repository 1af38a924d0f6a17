"""Run Gazebo with a world, a robot and the lock-step plugin until Ctrl-C.

Examples:
    simulator.py --world esatv3 --robot turtlebot3
    simulator.py --free_running --real_time --gui
"""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import Optional, Sequence

from nav_pkg.config.setting import parse
from nav_pkg.config.simulator import SimulatorConfig
from nav_pkg.core import UsageError
from nav_pkg.sim import preflight
from nav_pkg.sim.alone import run_until_stopped
from nav_pkg.sim.description import SimulatorOptions


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command: return 0 after SIGINT or SIGTERM; raise SimulatorError if the simulator fails."""
    given = sys.argv[1:] if argv is None else list(argv)
    # roslaunch appends __name:=... and __log:=... to the arguments of every node.
    own = [argument for argument in given if ":=" not in argument]
    config = parse(SimulatorConfig, own, "simulator.py", str(__doc__))
    if config.real_time and not config.free_running:
        raise UsageError("--real_time needs --free_running; in lock-step, time waits for /gazebo/step")
    same = {field.name: getattr(config, field.name, None) for field in fields(SimulatorOptions)}
    options = SimulatorOptions(**{**same, "lockstep": not config.free_running})
    options.check()
    preflight.check(window=config.gui)
    run_until_stopped(options, config.gazebo_port, config.start_limit, config.verbose)
    return 0
