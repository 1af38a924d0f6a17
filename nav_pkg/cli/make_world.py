"""Write the files of a world that Gazebo loads, from its floor plan.

Sessions do this on their own when a file is missing. The files of a world of the package go into the
checkout. Those of a world with other textures, or of a plan file elsewhere, go into the user's cache.

Examples:
    make_world.py esatv3+7
    make_world.py my_worlds/office.json --output office
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional, Sequence

from nav_pkg.config.setting import parse
from nav_pkg.config.simulator import MakeWorldConfig
from nav_pkg.core import ROOT, UsageError
from nav_pkg.world import FloorPlan, making
from nav_pkg.world.plan_file import known_worlds, load_plan
from nav_pkg.world.room import tight_spots


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    args = parse(MakeWorldConfig, argv, "make_world.py", str(__doc__))
    if (args.world is None) == (args.world_flag is None):
        raise UsageError("make_world.py: give one world: make_world.py esatv3, or --world FOLDER/mine.json")
    plan = load_plan(args.world or args.world_flag)
    output = args.output or _where_sessions_look(plan)
    if args.check:
        count = making.compare(plan, output)
        print(f"{plan.name}: {count} files below {output} match the plan")
        return 0
    up_to_date = making.up_to_date(plan, output)
    if not up_to_date:
        making.ensure(plan) if output == making.made_folder(plan) else making.make(plan, output)
        _warn(plan)
    text = "up to date in" if up_to_date else "written to"
    print(f"{plan.name}: {text} {output / 'worlds'} and {output / 'models' / plan.name}")
    return 0


def _where_sessions_look(plan: FloorPlan) -> Path:
    return ROOT if plan.name in known_worlds() else making.made_folder(plan)


def _warn(plan: FloorPlan) -> None:
    """Warn of points where the route is unnecessarily close to a wall."""
    for spot in tight_spots(plan):
        (x, y), place = spot.better, f"({spot.x:.2f}, {spot.y:.2f})"
        print(
            f"warning: plan {plan.name}: near waypoints[{spot.waypoint}] the route passes {place}, "
            f"{spot.clearance:.2f} m from a wall; ({x:.2f}, {y:.2f}) has {spot.possible:.2f} m: "
            "move the waypoint there",
            file=sys.stderr,
        )
