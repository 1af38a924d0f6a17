"""The command demo.py: the whole pipeline once."""

from __future__ import annotations

import signal
import sys
import time
from typing import Optional, Sequence

from nav_pkg.config.demo import parse
from nav_pkg.core import NavError
from nav_pkg.sim import preflight
from nav_pkg.studies.demo import Demo


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    begin = time.monotonic()
    config = parse(argv)
    demo = Demo(config)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: the running step ends first
    if config.simulator == "gazebo":
        preflight.check()
    try:
        page = demo.run()
    except NavError:
        if demo.steps:
            print(f"the output so far is in {demo.folder}", file=sys.stderr)
        raise
    steps = sum(step["wall"] for step in demo.steps)
    rest = time.monotonic() - begin - steps
    print(f"\n{steps / 60:.1f} minutes for the steps, {rest:.0f} s for the page. The page: {page.resolve()}")
    return 0
