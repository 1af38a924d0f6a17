"""What the end-to-end tests share: commands run as a user runs them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Shell:
    """Runs the project's commands with data and logs below one folder."""

    def __init__(self, folder):
        self.folder = folder
        self.data, self.log = folder / "data", folder / "log"
        self.environment = dict(
            os.environ,
            NAV_PKG_DATA=str(self.data),
            NAV_PKG_LOG=str(self.log),
            ROS_LOG_DIR=str(folder / "ros"),
        )

    def start(self, script, *arguments, name="out"):
        """Start scripts/<script> in the background; its output goes to a file."""
        with open(self.folder / f"{name}.txt", "w") as output:
            return subprocess.Popen(
                [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments)],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
            )

    def output(self, name="out"):
        """What a command printed."""
        return (self.folder / f"{name}.txt").read_text()

    def run(self, script, *arguments, code=0, limit=400, name="out"):
        """Run scripts/<script> to its end; fails unless it ends with the code. Returns its output."""
        process = self.start(script, *arguments, name=name)
        try:
            process.wait(timeout=limit)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=60)
        assert process.returncode == code, self.report(name)
        return self.output(name)

    def report(self, name="out"):
        """Output and, where there is one, the ends of the graphs' logs."""
        logs = [
            f"--- {log}\n{log.read_text(errors='replace')[-6000:]}" for log in self.log.rglob("graph.log")
        ]
        return "\n".join([self.output(name)[-6000:], *logs])


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A shell with a folder of its own; skipped where ROS or the simulator is missing."""
    if shutil.which("roslaunch") is None or not (ROOT / "build" / ".ws" / "devel").exists():
        pytest.skip("ROS or the catkin build is missing (make setup)")
    return Shell(tmp_path_factory.mktemp("e2e"))
