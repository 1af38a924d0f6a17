"""Print the shell line that connects rostopic, rviz and other ROS tools to a running session.

Each session has a ROS master of its own. Run the line in a second terminal.

Examples:
    eval "$(rosrun nav_pkg attach.py)"        # connect to the newest session
    rosrun nav_pkg attach.py --list
"""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.config.setting import parse
from nav_pkg.config.simulator import AttachConfig
from nav_pkg.core import UsageError
from nav_pkg.sim.graph import sessions


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    args = parse(AttachConfig, argv, "attach.py", str(__doc__))
    running = sessions()
    if args.list:
        for session in running:
            print(f"{session['master']}  {session['folder']}")
        if not running:
            print("no session is running here")
        return 0
    if args.tag:
        running = [session for session in running if f"/{session['folder']}".endswith(f"/{args.tag}")]
    if not running:
        with_tag = f" with log folder {args.tag!r}" if args.tag else ""
        raise UsageError(f"no session{with_tag} is running here; see attach.py --list")
    newest = running[-1]
    print(f"export ROS_MASTER_URI={newest['master']} ROS_IP={newest.get('address', '127.0.0.1')}")
    return 0
