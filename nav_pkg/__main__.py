"""`python -m nav_pkg COMMAND ...`: the commands that need no ROS, for where only pip was used."""

from __future__ import annotations

import importlib
import sys

from nav_pkg.cli import flags
from nav_pkg.core import UsageError, nearest_name

COMMANDS = ("main", "dataset", "clean_dataset", "bag_to_dataset", "make_world")


def main(argv=None):
    """Run a command by its name."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in ("", "-h", "--help"):
        print(f"usage: python -m nav_pkg {{{','.join(COMMANDS)}}} ...")
        return 0 if name else UsageError.code
    if name not in COMMANDS:
        raise UsageError(f"python -m nav_pkg: unknown command {name!r}{nearest_name(name, list(COMMANDS))}")
    del sys.argv[1]
    return importlib.import_module(f"nav_pkg.cli.{name}").main()


if __name__ == "__main__":
    flags.run(main)
