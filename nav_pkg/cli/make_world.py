"""make_world.py: write the files of a world that Gazebo loads, from its floor plan."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional, Sequence

from nav_pkg.cli.flags import Parser
from nav_pkg.world import making
from nav_pkg.world.plan import FloorPlan, load_plan
from nav_pkg.world.room import tight_spots

ROOT = Path(__file__).resolve().parents[2]


def parser() -> Parser:
    """The command's flags."""
    flags = Parser(prog="make_world.py", description=__doc__)
    flags.add_argument(
        "world",
        help="a world's name (esatv3; esatv3+7: with textures of seed 7), or the path of a floor plan file",
    )
    flags.add_argument("--output", type=Path, default=ROOT, help="folder that gets worlds/ and models/")
    flags.add_argument("--check", action="store_true", help="write nothing; compare with what is there")
    return flags


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    args = parser().parse_args(argv)
    plan = load_plan(args.world)
    if args.check:
        count = making.compare(plan, args.output)
        print(f"{plan.name}: {count} files below {args.output} are what the plan gives")
    elif making.make(plan, args.output):
        _warn(plan)
        print(f"{plan.name}: written to {args.output / 'worlds'} and {args.output / 'models' / plan.name}")
    else:
        print(f"{plan.name}: up to date in {args.output}")
    return 0


def _warn(plan: FloorPlan) -> None:
    """Name the places where a pilot that follows the route comes needlessly near a wall."""
    for spot in tight_spots(plan):
        (x, y), place = spot.better, f"({spot.x:.2f}, {spot.y:.2f})"
        print(
            f"warning: plan {plan.name}: near waypoints[{spot.waypoint}] the route passes {place}, "
            f"{spot.clearance:.2f} m from a wall; ({x:.2f}, {y:.2f}) has {spot.possible:.2f} m: "
            "move the waypoint there",
            file=sys.stderr,
        )
