"""demo.py: the whole path in one go: collect, clean, train, fly, report.

Runs the ordinary commands as a user would, each printed before it runs, and ends with a page. All
that it makes lies in one folder, which it may delete and make again.
"""

from __future__ import annotations

import signal
import sys
import time
from typing import Optional, Sequence

from nav_pkg.core import NavError
from nav_pkg.sim import preflight
from nav_pkg.studies.demo import Demo, parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The command."""
    args = parser().parse_args(argv)
    begin = time.monotonic()
    demo = Demo(args)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the step that runs ends first
    preflight.check()
    try:
        page = demo.run()
    except NavError:
        if demo.steps:
            print(f"what was done so far lies in {demo.folder}", file=sys.stderr)
        raise
    steps = sum(step["wall"] for step in demo.steps)
    rest = time.monotonic() - begin - steps
    print(f"\n{steps / 60:.1f} minutes for the steps, {rest:.0f} s for the page. The page: {page.resolve()}")
    return 0
